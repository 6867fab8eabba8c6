// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "core/device.h"
#include "gpu/gpu_stream.h"

namespace pw::gpu {

/// A GPU, opened.
class GpuDevice final : public Device {
 public:
  /// @param memoryLimit bytes that may be allocated at a time; 0: what the GPU has
  /// @throws Error(PW_DEVICE_UNAVAILABLE) naming what is missing
  static Ref<GpuDevice> open(int index, int64_t memoryLimit);

  Ref<Storage> allocate(size_t bytes) override { return makeRef<DeviceStorage>(resources_.memory, bytes, used_); }
  pw_matrix_format matrixFormat(uint32_t blockType) const override;
  int64_t matrixBytes(pw_matrix_format format, int64_t n, int64_t k) const override;
  int64_t paddedRows(int64_t n) const override;
  const DeviceProperties& properties() const noexcept { return resources_.primary->properties(); }
  MemoryStatistics memory() const { return resources_.memory->statistics(); }
  const LaunchCounters& counters() const noexcept { return *resources_.counters; }

  explicit GpuDevice(Resources resources);

 private:
  const Resources resources_;
};

}  // namespace pw::gpu
