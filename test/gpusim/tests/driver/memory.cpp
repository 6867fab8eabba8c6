// SPDX-License-Identifier: Apache-2.0
// Allocation, copies, pools, pointers.
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "unit.h"

TEST(allocation_errors) {
  unit::Fixture f;
  CUdeviceptr address = 0;
  EXPECT_STATUS(cuMemAlloc_v2(&address, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuMemAlloc_v2(&address, size_t{1} << 50), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_STATUS(cuMemAlloc_v2(nullptr, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_OK(cuMemFree_v2(0));
  EXPECT_STATUS(cuMemFree_v2(f.word + 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_OK(cuMemAlloc_v2(&address, 16));
  EXPECT_OK(cuMemFree_v2(address));
  EXPECT_STATUS(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE);
}

TEST(memory_information_follows_allocations) {
  unit::Fixture f;
  size_t before = 0, during = 0, total = 0;
  CUdeviceptr address = 0;
  EXPECT_OK(cuMemGetInfo_v2(&before, &total));
  EXPECT(total == size_t{1} << 30);
  EXPECT_OK(cuMemAlloc_v2(&address, 1 << 20));
  EXPECT_OK(cuMemGetInfo_v2(&during, &total));
  EXPECT(before - during >= 1 << 20);
  EXPECT_OK(cuMemFree_v2(address));
}

TEST(copies_are_bounded) {
  unit::Fixture f;
  char bytes[8] = {};
  EXPECT_STATUS(cuMemcpyHtoD_v2(f.word, bytes, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuMemcpyDtoH_v2(bytes, f.word + 2, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuMemcpyDtoD_v2(f.word, f.word + 4096, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuMemcpyHtoD_v2(reinterpret_cast<CUdeviceptr>(bytes), bytes, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuMemsetD32_v2(f.word, 0, 2), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuMemsetD16_v2(f.word + 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
}

TEST(pitched_copy_and_fill) {
  unit::Fixture f;
  constexpr size_t kWidth = 100, kHeight = 3;
  CUdeviceptr image = 0;
  size_t pitch = 0;
  EXPECT_OK(cuMemAllocPitch_v2(&image, &pitch, kWidth, kHeight, 4));
  EXPECT(pitch == 512);
  std::vector<unsigned char> in(kWidth * kHeight), out(kWidth * kHeight);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<unsigned char>(i);
  CUDA_MEMCPY2D up{};
  up.srcMemoryType = CU_MEMORYTYPE_HOST;
  up.srcHost = in.data();
  up.srcPitch = kWidth;
  up.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  up.dstDevice = image;
  up.dstPitch = pitch;
  up.WidthInBytes = kWidth;
  up.Height = kHeight;
  EXPECT_OK(cuMemcpy2D_v2(&up));
  EXPECT_OK(cuMemsetD2D8_v2(image + 10, pitch, 0xee, 5, 2));
  CUDA_MEMCPY2D down{};
  down.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  down.srcDevice = image;
  down.srcPitch = pitch;
  down.dstMemoryType = CU_MEMORYTYPE_HOST;
  down.dstHost = out.data();
  down.dstPitch = kWidth;
  down.WidthInBytes = kWidth;
  down.Height = kHeight;
  EXPECT_OK(cuMemcpy2D_v2(&down));
  for (size_t y = 0; y < 2; ++y)
    for (size_t x = 10; x < 15; ++x) in[y * kWidth + x] = 0xee;
  EXPECT(in == out);
  up.srcPitch = kWidth - 1;
  EXPECT_STATUS(cuMemcpy2D_v2(&up), CUDA_ERROR_INVALID_VALUE);
  EXPECT_OK(cuMemFree_v2(image));
}

TEST(pool_counts_and_refuses_double_free) {
  unit::Fixture f;
  const CUstream s = f.stream();
  CUmemoryPool pool = nullptr;
  CUdeviceptr address = 0;
  uint64_t used = 0, high = 0;
  EXPECT_OK(cuDeviceGetDefaultMemPool(&pool, 0));
  EXPECT_OK(cuMemAllocAsync(&address, 1000, s));
  EXPECT_OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  EXPECT(used == 1000);
  EXPECT_OK(cuMemFreeAsync(address, s));
  EXPECT_STATUS(cuMemFreeAsync(address, s), CUDA_ERROR_INVALID_VALUE);
  EXPECT_OK(cuStreamSynchronize(s));
  EXPECT_OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  EXPECT_OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &high));
  EXPECT(used == 0 && high >= 1000);
}

TEST(pointer_attributes) {
  unit::Fixture f;
  unsigned type = 0, managed = 9;
  CUdeviceptr start = 0;
  EXPECT_OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, f.word + 2));
  EXPECT(type == CU_MEMORYTYPE_DEVICE);
  EXPECT_OK(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, f.word + 2));
  EXPECT(start == f.word);
  int local = 0;
  const auto pageable = reinterpret_cast<CUdeviceptr>(&local);
  EXPECT_STATUS(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pageable), CUDA_ERROR_INVALID_VALUE);
  CUpointer_attribute wanted[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED};
  void* results[] = {&type, &managed};
  EXPECT_OK(cuPointerGetAttributes(2, wanted, results, pageable));
  EXPECT(type == 0 && managed == 0);
  CUdeviceptr shared = 0;
  EXPECT_OK(cuMemAllocManaged(&shared, 64, CU_MEM_ATTACH_GLOBAL));
  EXPECT_OK(cuPointerGetAttributes(2, wanted, results, shared));
  EXPECT(type == CU_MEMORYTYPE_DEVICE && managed == 1);
  std::memset(reinterpret_cast<void*>(shared), 1, 64);
  EXPECT_OK(cuMemFree_v2(shared));
}

TEST(registered_memory_is_reachable) {
  unit::Fixture f;
  std::vector<unsigned> memory(1024, 1);
  EXPECT_OK(cuMemHostRegister_v2(memory.data(), 4096, 0));
  EXPECT_STATUS(cuMemHostRegister_v2(memory.data(), 4096, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  CUdeviceptr address = 0;
  EXPECT_OK(cuMemHostGetDevicePointer_v2(&address, memory.data(), 0));
  unsigned v = 1;
  void* arguments[] = {&address, &v};
  EXPECT_OK(cuLaunchKernel(f.stepKernel, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr));
  EXPECT_OK(cuCtxSynchronize());
  EXPECT(memory[0] == 4);
  EXPECT_OK(cuMemHostUnregister(memory.data()));
  EXPECT_STATUS(cuMemHostUnregister(memory.data()), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

TEST(host_access_to_device_memory_crashes) {
  unit::Fixture f;
  const pid_t child = fork();
  if (child == 0) {
    const volatile int value = *reinterpret_cast<volatile int*>(f.word);
    _exit(value == 0 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT(!WIFEXITED(status) || WEXITSTATUS(status) > 1);
}

TEST(two_devices_have_separate_memory) {
  unit::Fixture f;
  CUcontext other = nullptr;
  EXPECT_OK(cuDevicePrimaryCtxRetain(&other, 1));
  EXPECT_OK(cuCtxPushCurrent_v2(other));
  CUdeviceptr there = 0;
  EXPECT_OK(cuMemAlloc_v2(&there, 4));
  EXPECT_OK(cuMemsetD32_v2(there, 42, 1));
  EXPECT_OK(cuMemcpyPeer(f.word, f.context, there, other, 4));
  EXPECT_OK(cuCtxSynchronize());
  EXPECT_OK(cuMemFree_v2(there));
  EXPECT_OK(cuCtxPopCurrent_v2(nullptr));
  EXPECT(f.get() == 42);
  int ordinal = -1;
  EXPECT_OK(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, f.word));
  EXPECT(ordinal == 0);
  EXPECT_OK(cuDevicePrimaryCtxRelease_v2(1));
}
