// SPDX-License-Identifier: Apache-2.0
/// @file arithmetic_prelude.h
/// Everything arithmetic.inl needs, included before any change of the compiler's target so that inline functions of
/// the standard library are the same in every translation unit.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "exec/context.h"
#include "exec/decoder.h"
#include "exec/formats.h"
