// SPDX-License-Identifier: Apache-2.0
#include "cpu/quantizer/kernel.inl"
