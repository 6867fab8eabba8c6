// SPDX-License-Identifier: Apache-2.0
/// @file Gathers. They move memory and round once, exactly, so that one version serves every instruction set and is its
/// own reference.
#pragma once
#include "cpu/context.h"
#include "pagewarp/embedding.h"

namespace pw::cpu {

void embedding(const pw_embedding_args& args, Context& context);
void gatherRows(const pw_gather_rows_args& args, Context& context);

}  // namespace pw::cpu
