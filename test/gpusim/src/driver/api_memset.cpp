// SPDX-License-Identifier: Apache-2.0
// Fills with 8, 16 and 32-bit values.
#include "api.h"
#include "transfer.h"

using namespace gpusim;

namespace {

CUresult fill(FillWork work) {
  return inContext([&](const auto& context) { return fillNow(context, work); });
}

CUresult fillAsync(FillWork work, CUstream stream) {
  return onStream(stream, [&](const StreamUse& use) { return fillLater(use, work); });
}

FillWork row(CUdeviceptr destination, uint32_t value, unsigned elementSize, size_t count) {
  return {destination, count * elementSize, value, elementSize, count, 1};
}

FillWork rows(CUdeviceptr destination, size_t pitch, uint32_t value, unsigned elementSize, size_t width,
              size_t height) {
  return {destination, pitch, value, elementSize, width, height};
}

}  // namespace

CUresult cuMemsetD8_v2(CUdeviceptr dst, unsigned char value, size_t n) { return fill(row(dst, value, 1, n)); }
CUresult cuMemsetD16_v2(CUdeviceptr dst, unsigned short value, size_t n) { return fill(row(dst, value, 2, n)); }
CUresult cuMemsetD32_v2(CUdeviceptr dst, unsigned int value, size_t n) { return fill(row(dst, value, 4, n)); }

CUresult cuMemsetD2D8_v2(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width, size_t height) {
  return fill(rows(dst, pitch, value, 1, width, height));
}
CUresult cuMemsetD2D16_v2(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width, size_t height) {
  return fill(rows(dst, pitch, value, 2, width, height));
}
CUresult cuMemsetD2D32_v2(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width, size_t height) {
  return fill(rows(dst, pitch, value, 4, width, height));
}

CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t n, CUstream stream) {
  return fillAsync(row(dst, value, 1, n), stream);
}
CUresult cuMemsetD16Async(CUdeviceptr dst, unsigned short value, size_t n, CUstream stream) {
  return fillAsync(row(dst, value, 2, n), stream);
}
CUresult cuMemsetD32Async(CUdeviceptr dst, unsigned int value, size_t n, CUstream stream) {
  return fillAsync(row(dst, value, 4, n), stream);
}
CUresult cuMemsetD2D8Async(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width, size_t height,
                           CUstream stream) {
  return fillAsync(rows(dst, pitch, value, 1, width, height), stream);
}
CUresult cuMemsetD2D16Async(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width, size_t height,
                            CUstream stream) {
  return fillAsync(rows(dst, pitch, value, 2, width, height), stream);
}
CUresult cuMemsetD2D32Async(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width, size_t height,
                            CUstream stream) {
  return fillAsync(rows(dst, pitch, value, 4, width, height), stream);
}
