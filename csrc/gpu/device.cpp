// SPDX-License-Identifier: Apache-2.0
#include "gpu/device.h"

#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/matrix/block_formats.h"
#include "gpu/executor.h"
#include "pagewarp/gpu/pack.h"
#include "pagewarp/matrix_layout.h"

namespace pw::gpu {
namespace {

bool wantsSynchronous() {
  const char* value = std::getenv("PAGEWARP_CUDA_SYNC");
  return value && std::strcmp(value, "1") == 0;
}

}  // namespace

GpuDevice::GpuDevice(Resources resources)
    : Device(resources.primary->properties().name, std::make_unique<GpuExecutor>(resources), "pagewarp-gpu"),
      resources_(std::move(resources)) {}

pw_matrix_format GpuDevice::matrixFormat(uint32_t blockType) const {
  pw_matrix_format format;
  if (packedFormat(blockType, &format) || (pw::matrixFormat(blockType, &format) && !isPacked(format))) return format;
  throw Error(
      PW_UNSUPPORTED,
      "CUDA kernels have no format for these weights: formats are f32, f16, bf16, q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, "
      "q6_k, q8_0, iq4_nl, mxfp4, int4_zp, int4_g16, lut4, nvfp4");
}

int64_t GpuDevice::matrixBytes(pw_matrix_format format, int64_t n, int64_t k) const {
  return isPacked(format) ? packedBytes(format, n, k) : pw::matrixBytes(format, n, k);
}

int64_t GpuDevice::paddedRows(int64_t n) const { return stripCount(n) * kStripRows; }

Ref<GpuDevice> GpuDevice::open(int index, int64_t memoryLimit) {
  const auto refuse = [index](const std::string& reason) {
    throw Error(PW_DEVICE_UNAVAILABLE, "CUDA device " + std::to_string(index) + " cannot be used: " + reason);
  };
  if (!driver().usable) refuse(driver().reason);
  const std::vector<DeviceProperties> devices = listDevices();
  if (index < 0 || index >= static_cast<int>(devices.size()))
    refuse("there are only " + std::to_string(devices.size()) + ", numbered from 0");
  const DeviceProperties& properties = devices[static_cast<size_t>(index)];
  if (!properties.reason.empty()) refuse(properties.reason);

  Resources resources;
  resources.primary = makeRef<PrimaryContext>(properties);
  resources.memory = makeRef<DeviceMemory>(resources.primary, memoryLimit);
  resources.staging = makeRef<StagingPool>(resources.primary);
  resources.counters = std::make_shared<LaunchCounters>();
  resources.synchronous = wantsSynchronous();
  return makeRef<GpuDevice>(std::move(resources));
}

}  // namespace pw::gpu
