// SPDX-License-Identifier: Apache-2.0
/// @file Launchers of the CUDA backend, one per op, each in csrc/gpu/<op>.cpp. A launcher picks the kernel instance,
/// fills its parameters and launches it. Arguments were validated in lib/ops; what an op does not support on CUDA was
/// refused there (lib/ops/supports.ts), and throws Error(PW_UNSUPPORTED) here.
#pragma once
#include <functional>

#include "core/matrix/pack.h"
#include "gpu/context.h"
#include "pagewarp/activation.h"
#include "pagewarp/attention.h"
#include "pagewarp/embedding.h"
#include "pagewarp/key_bounds.h"
#include "pagewarp/kvcache.h"
#include "pagewarp/linear.h"
#include "pagewarp/norm.h"
#include "pagewarp/quantize.h"
#include "pagewarp/rope.h"
#include "pagewarp/rope_append.h"
#include "pagewarp/sample.h"
#include "pagewarp/tensor.h"
#include "pagewarp/verify.h"

namespace pw::gpu {

/// Element-wise copy between tensors of one shape; converts when the dtypes differ.
void copy(Context& context, const pw_tensor& from, const pw_tensor& to);
/// Sets every element.
void fill(Context& context, const pw_tensor& to, double value);

/// Over weights of f32, f16 and bf16.
void linearDense(Context& context, const pw_linear_args& args);
void embedding(Context& context, const pw_embedding_args& args);
void gatherRows(Context& context, const pw_gather_rows_args& args);
void rmsNorm(Context& context, const pw_rmsnorm_args& args);
void ropeTable(Context& context, const pw_rope_table_args& args);
void rope(Context& context, const pw_rope_args& args);
void gated(Context& context, const pw_gated_args& args);
void sample(Context& context, const pw_sample_args& args);
void argmax(Context& context, const pw_argmax_args& args);
void verify(Context& context, const pw_verify_args& args);
void drawCandidates(Context& context, const pw_candidates_args& args);

void attention(Context& context, const pw_attention_args& args);
void mergeStates(Context& context, const pw_merge_states_args& args);
void appendKv(Context& context, const pw_append_kv_args& args);
void ropeAppendKv(Context& context, const pw_rope_append_kv_args& args);
void gatherKv(Context& context, const pw_gather_kv_args& args);
void keyBounds(Context& context, const pw_key_bounds_args& args);
void copyPages(Context& context, const pw_copy_pages_args& args);
void moveSlots(Context& context, const pw_move_slots_args& args);
/// Copies host bytes to the device in stream order; they are read before it returns.
using CopyIn = std::function<void(void* to, const void* from, size_t bytes)>;
/// Brings rows of weights to the device, range after range, and packs them there.
void packMatrix(Context& context, const PackMatrix& args, const CopyIn& copyIn);
/// Rounds a floating tensor to q4_0, q4_1 or q8_0.
void quantizePacked(Context& context, const pw_quantize_args& args);
/// linear and embedding over packed weights.
void linearPacked(Context& context, const pw_linear_args& args);
void embeddingPacked(Context& context, const pw_embedding_args& args);

}  // namespace pw::gpu
