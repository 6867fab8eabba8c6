// SPDX-License-Identifier: Apache-2.0
/// @file Rows by their numbers.
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/embedding.h"

namespace pw::cpu {

PW_CPU_DECLARE(embedding, pw_embedding_args)
void embedding(const pw_embedding_args& args, Context& context);
/// Moves memory, so that one version serves every instruction set and is its own reference.
void gatherRows(const pw_gather_rows_args& args, Context& context);

}  // namespace pw::cpu
