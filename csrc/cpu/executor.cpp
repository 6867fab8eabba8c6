// SPDX-License-Identifier: Apache-2.0
#include "cpu/executor.h"

#include "core/quantizer/quantizer.h"
#include "cpu/activation/activation.h"
#include "cpu/attention/attention.h"
#include "cpu/copy/copy.h"
#include "cpu/embedding/embedding.h"
#include "cpu/keybounds/keybounds.h"
#include "cpu/kvcache/kvcache.h"
#include "cpu/linear/linear.h"
#include "cpu/matrix/matrix.h"
#include "cpu/norm/norm.h"
#include "cpu/quantizer/gram.h"
#include "cpu/rope/rope.h"
#include "cpu/sample/sample.h"
#include "cpu/verify/verify.h"

namespace pw::cpu {

void CpuExecutor::copy(const pw_tensor& from, const pw_tensor& to) { cpu::copy(from, to); }
void CpuExecutor::upload(const void* from, const pw_tensor& to) { cpu::copy(contiguousView(from, to), to); }
void CpuExecutor::download(const pw_tensor& from, void* to) { cpu::copy(from, contiguousView(to, from)); }
void CpuExecutor::fill(const pw_tensor& to, double value) { cpu::fill(to, value); }
void CpuExecutor::attention(const pw_attention_args& args) { cpu::attention(args, context_); }
void CpuExecutor::mergeStates(const pw_merge_states_args& args) { cpu::mergeStates(args, context_); }
void CpuExecutor::appendKv(const pw_append_kv_args& args) { cpu::appendKv(args, context_); }
void CpuExecutor::ropeAppendKv(const pw_rope_append_kv_args& args) { cpu::ropeAppendKv(args, context_); }
void CpuExecutor::keyBounds(const pw_key_bounds_args& args) { cpu::keyBounds(args, context_); }
void CpuExecutor::gatherKv(const pw_gather_kv_args& args) { cpu::gatherKv(args, context_); }
void CpuExecutor::copyPages(const pw_copy_pages_args& args) { cpu::copyPages(args, context_); }
void CpuExecutor::moveSlots(const pw_move_slots_args& args) { cpu::moveSlots(args, context_); }
void CpuExecutor::packMatrix(const PackMatrix& args) { pw::packMatrix(args, context_.pool()); }
void CpuExecutor::quantize(const pw_quantize_args& args) { cpu::quantize(args, context_); }
void CpuExecutor::gram(const pw_gram_args& args) { cpu::gram(args, context_); }
void CpuExecutor::quantizeWeights(const pw_quantizer_args& args) { pw::quantizeWeights(args, context_.pool()); }
void CpuExecutor::linear(const pw_linear_args& args) { cpu::linear(args, context_); }
void CpuExecutor::embedding(const pw_embedding_args& args) { cpu::embedding(args, context_); }
void CpuExecutor::gatherRows(const pw_gather_rows_args& args) { cpu::gatherRows(args, context_); }
void CpuExecutor::rmsNorm(const pw_rmsnorm_args& args) { cpu::rmsNorm(args, context_); }
void CpuExecutor::ropeTable(const pw_rope_table_args& args) { cpu::ropeTable(args, context_); }
void CpuExecutor::rope(const pw_rope_args& args) { cpu::rope(args, context_); }
void CpuExecutor::gated(const pw_gated_args& args) { cpu::gated(args, context_); }
void CpuExecutor::argmax(const pw_argmax_args& args) { cpu::argmax(args, context_); }
void CpuExecutor::sample(const pw_sample_args& args) { cpu::sample(args, context_); }
void CpuExecutor::verify(const pw_verify_args& args) { cpu::verify(args, context_); }
void CpuExecutor::drawCandidates(const pw_candidates_args& args) { cpu::drawCandidates(args, context_); }

}  // namespace pw::cpu
