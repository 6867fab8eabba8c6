// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "core/device.h"
#include "core/error.h"
#include "core/executor.h"
#include "core/matrix/block_formats.h"
#include "cpu/context.h"
#include "pagewarp/matrix_layout.h"

namespace pw::cpu {

/// Runs every op with the kernels of one instruction set.
class CpuExecutor final : public Executor {
 public:
  CpuExecutor(int threads, Isa isa) : context_(threads, isa) {}

  void copy(const pw_tensor& from, const pw_tensor& to) override;
  void upload(const void* from, const pw_tensor& to) override;
  void download(const pw_tensor& from, void* to) override;
  int32_t readIndex(const pw_tensor& index) override { return *static_cast<const int32_t*>(index.data); }
  void fill(const pw_tensor& to, double value) override;
  void attention(const pw_attention_args& args) override;
  void mergeStates(const pw_merge_states_args& args) override;
  void appendKv(const pw_append_kv_args& args) override;
  void ropeAppendKv(const pw_rope_append_kv_args& args) override;
  void gatherKv(const pw_gather_kv_args& args) override;
  void keyBounds(const pw_key_bounds_args& args) override;
  void copyPages(const pw_copy_pages_args& args) override;
  void moveSlots(const pw_move_slots_args& args) override;
  void packMatrix(const PackMatrix& args) override;
  void quantize(const pw_quantize_args& args) override;
  void gram(const pw_gram_args& args) override;
  void quantizeWeights(const pw_quantizer_args& args) override;
  void linear(const pw_linear_args& args) override;
  void embedding(const pw_embedding_args& args) override;
  void gatherRows(const pw_gather_rows_args& args) override;
  void rmsNorm(const pw_rmsnorm_args& args) override;
  void ropeTable(const pw_rope_table_args& args) override;
  void rope(const pw_rope_args& args) override;
  void gated(const pw_gated_args& args) override;
  void argmax(const pw_argmax_args& args) override;
  void sample(const pw_sample_args& args) override;
  void verify(const pw_verify_args& args) override;
  void drawCandidates(const pw_candidates_args& args) override;
  pw_status takeError(std::string* message) override { return context_.takeError(message); }

 private:
  Context context_;
};

class CpuDevice final : public Device {
 public:
  CpuDevice(int threads, Isa isa) : Device(cpuName(), std::make_unique<CpuExecutor>(threads, isa), "pagewarp-cpu") {}
  Ref<Storage> allocate(size_t bytes) override { return makeRef<HostStorage>(bytes, used_); }
  pw_matrix_format matrixFormat(uint32_t blockType) const override {
    pw_matrix_format format;
    if (!pw::matrixFormat(blockType, &format))
      throw Error(PW_UNSUPPORTED, "no matrix format for block type " + std::to_string(blockType));
    return format;
  }
  int64_t matrixBytes(pw_matrix_format format, int64_t n, int64_t k) const override {
    return pw::matrixBytes(format, n, k);
  }
  int64_t paddedRows(int64_t n) const override { return stripCount(n) * kStripRows; }
};

}  // namespace pw::cpu
