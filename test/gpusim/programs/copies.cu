// SPDX-License-Identifier: Apache-2.0
// Vectorised copy kernels, and every host-side copy and fill: 2D with pitches, 3D, device to device, memset of each
// width.
#ifdef __CUDACC__
extern "C" __global__ void copy16(const uint4* in, uint4* out, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    __stcs(out + i, __ldcs(in + i));
}
extern "C" __global__ void copy8(const uint2* in, uint2* out, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    __stcg(out + i, __ldcg(in + i));
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const int n = 4096;
  const auto values = harness::randomIntegers<unsigned char>(n, 0, 255);
  harness::Buffer<unsigned char> in(values), out(n);
  out.clear();
  harness::Launch{program.kernel("copy16"), {2}, {64}}(in, out, n / 16);
  report.equal(out.download(), values, "copy16");
  out.clear();
  harness::Launch{program.kernel("copy8"), {2}, {64}}(in, out, n / 8);
  report.equal(out.download(), values, "copy8");

  out.clear();
  CU(cuMemcpyDtoD(out.pointer() + 100, in.pointer() + 7, 1000));
  auto expected = std::vector<unsigned char>(n);
  std::copy(values.begin() + 7, values.begin() + 1007, expected.begin() + 100);
  report.equal(out.download(), expected, "device to device");
  CU(cuMemcpy(out.pointer(), in.pointer(), 50));
  std::copy(values.begin(), values.begin() + 50, expected.begin());
  report.equal(out.download(), expected, "unified copy");

  CUDA_MEMCPY2D plane = {};
  plane.srcMemoryType = CU_MEMORYTYPE_HOST;
  plane.srcHost = values.data();
  plane.srcPitch = 64;
  plane.srcXInBytes = 3;
  plane.srcY = 2;
  plane.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  plane.dstDevice = out.pointer();
  plane.dstPitch = 100;
  plane.dstXInBytes = 5;
  plane.dstY = 1;
  plane.WidthInBytes = 40;
  plane.Height = 20;
  CU(cuMemcpy2D(&plane));
  for (int y = 0; y < 20; ++y)
    for (int x = 0; x < 40; ++x) expected[(y + 1) * 100 + x + 5] = values[(y + 2) * 64 + x + 3];
  report.equal(out.download(), expected, "2D copy");

  CUDA_MEMCPY3D cube = {};
  cube.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  cube.srcDevice = in.pointer();
  cube.srcPitch = 16;
  cube.srcHeight = 8;
  cube.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  cube.dstDevice = out.pointer();
  cube.dstPitch = 20;
  cube.dstHeight = 9;
  cube.WidthInBytes = 10;
  cube.Height = 7;
  cube.Depth = 5;
  CU(cuMemcpy3D(&cube));
  for (int z = 0; z < 5; ++z)
    for (int y = 0; y < 7; ++y)
      for (int x = 0; x < 10; ++x) expected[(z * 9 + y) * 20 + x] = values[(z * 8 + y) * 16 + x];
  report.equal(out.download(), expected, "3D copy");

  CU(cuMemsetD8(out.pointer() + 1, 0xab, 9));
  std::fill_n(expected.begin() + 1, 9, 0xab);
  CU(cuMemsetD16(out.pointer() + 20, 0x1234, 5));
  for (int i = 0; i < 5; ++i) expected[20 + 2 * i] = 0x34, expected[21 + 2 * i] = 0x12;
  CU(cuMemsetD32(out.pointer() + 40, 0xdeadbeef, 3));
  for (int i = 0; i < 12; ++i) expected[40 + i] = (0xdeadbeefu >> (i % 4 * 8)) & 255;
  CU(cuMemsetD2D8(out.pointer() + 500, 30, 7, 10, 4));
  for (int y = 0; y < 4; ++y) std::fill_n(expected.begin() + 500 + y * 30, 10, 7);
  report.equal(out.download(), expected, "memset");

  CUdeviceptr pitched;
  size_t pitch;
  CU(cuMemAllocPitch(&pitched, &pitch, 100, 10, 4));
  report.is(pitch >= 100 && pitch % 32 == 0, "pitch");
  CUdeviceptr base;
  size_t size;
  CU(cuMemGetAddressRange(&base, &size, pitched + 50));
  report.equal(base, pitched, "address range");
  CU(cuMemFree(pitched));
  unsigned type = 0;
  CU(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, in.pointer()));
  report.equal(type, unsigned(CU_MEMORYTYPE_DEVICE), "pointer type");
  size_t available = 0, total = 0;
  CU(cuMemGetInfo(&available, &total));
  report.is(available > 0 && available < total, "memory information");
  return report.finish();
}
#endif
