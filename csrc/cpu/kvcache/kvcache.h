// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/kvcache.h"
#include "pagewarp/rope_append.h"

namespace pw::cpu {

PW_CPU_DECLARE(appendKv, pw_append_kv_args)
PW_CPU_DECLARE(gatherKv, pw_gather_kv_args)
PW_CPU_DECLARE(ropeAppendKv, pw_rope_append_kv_args)

void appendKv(const pw_append_kv_args& args, Context& context);
void gatherKv(const pw_gather_kv_args& args, Context& context);
void ropeAppendKv(const pw_rope_append_kv_args& args, Context& context);
void copyPages(const pw_copy_pages_args& args, Context& context);
void moveSlots(const pw_move_slots_args& args, Context& context);

}  // namespace pw::cpu
