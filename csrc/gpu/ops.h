// SPDX-License-Identifier: Apache-2.0
/// @file Launchers of the CUDA backend, one per op, each in csrc/gpu/<op>.cpp. A launcher picks the kernel instance,
/// fills its parameters and launches it. Arguments were validated in lib/ops; what an op does not support on CUDA was
/// refused there (lib/ops/supports.ts), and throws Error(PW_UNSUPPORTED) here.
#pragma once
#include "gpu/context.h"
#include "pagewarp/attention.h"
#include "pagewarp/kvcache.h"
#include "pagewarp/tensor.h"

namespace pw::gpu {

/// Sets every element of a contiguous tensor.
void fillContiguous(Context& context, const pw_tensor& to, double value);

void attention(Context& context, const pw_attention_args& args);
void mergeStates(Context& context, const pw_merge_states_args& args);
void appendKv(Context& context, const pw_append_kv_args& args);
void gatherKv(Context& context, const pw_gather_kv_args& args);
void copyPages(Context& context, const pw_copy_pages_args& args);
void moveSlots(Context& context, const pw_move_slots_args& args);

}  // namespace pw::gpu
