// SPDX-License-Identifier: Apache-2.0
// Streams, events and the rules for copies: what is asynchronous must be seen to be.
#include <atomic>
#include <cstring>
#include <vector>

#include "unit.h"

TEST(stream_runs_in_order_and_is_asynchronous) {
  unit::Fixture f;
  const CUstream s = f.stream();
  unit::Gate gate(s);
  EXPECT_OK(f.step(s, 1));
  EXPECT_OK(f.step(s, 2));
  EXPECT_STATUS(cuStreamQuery(s), CUDA_ERROR_NOT_READY);
  gate.open();
  EXPECT_OK(cuStreamSynchronize(s));
  EXPECT_OK(cuStreamQuery(s));
  EXPECT(f.get() == 5);
}

TEST(missing_synchronisation_reads_old_data) {
  unit::Fixture f;
  const CUstream s = f.stream();
  unit::Gate gate(s);
  EXPECT_OK(f.step(s, 7));
  EXPECT(f.get() == 0);
  gate.open();
  EXPECT_OK(cuStreamSynchronize(s));
  EXPECT(f.get() == 7);
}

TEST(legacy_stream_orders_blocking_streams) {
  unit::Fixture f;
  const CUstream a = f.stream(CU_STREAM_DEFAULT), b = f.stream(CU_STREAM_DEFAULT);
  EXPECT_OK(f.step(a, 1));
  EXPECT_OK(f.step(nullptr, 1));
  EXPECT_OK(f.step(b, 1));
  EXPECT(f.get() == 13);
  unit::Gate gate(a);
  EXPECT_STATUS(cuStreamQuery(nullptr), CUDA_ERROR_NOT_READY);
  gate.open();
  EXPECT_OK(cuStreamSynchronize(nullptr));
  EXPECT_OK(cuStreamQuery(a));
}

TEST(event_orders_two_streams) {
  unit::Fixture f;
  const CUstream a = f.stream(), b = f.stream();
  CUevent begin = nullptr, end = nullptr, untimed = nullptr;
  EXPECT_OK(cuEventCreate(&begin, CU_EVENT_DEFAULT));
  EXPECT_OK(cuEventCreate(&end, CU_EVENT_DEFAULT));
  EXPECT_OK(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
  float milliseconds = -1;
  EXPECT_STATUS(cuEventElapsedTime_v2(&milliseconds, begin, end), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_OK(cuEventRecord(begin, a));
  unit::Gate gate(a);
  EXPECT_OK(f.step(a, 1));
  EXPECT_OK(f.step(a, 1));
  EXPECT_OK(cuEventRecord(end, a));
  EXPECT_STATUS(cuEventQuery(end), CUDA_ERROR_NOT_READY);
  EXPECT_OK(cuStreamWaitEvent(b, end, 0));
  EXPECT_OK(f.step(b, 2));
  gate.open();
  EXPECT_OK(cuStreamSynchronize(b));
  EXPECT(f.get() == 14);
  EXPECT_OK(cuEventElapsedTime_v2(&milliseconds, begin, end));
  EXPECT(milliseconds > 0);
  EXPECT_OK(cuEventRecord(untimed, a));
  EXPECT_OK(cuEventSynchronize(untimed));
  EXPECT_STATUS(cuEventElapsedTime_v2(&milliseconds, begin, untimed), CUDA_ERROR_INVALID_HANDLE);
}

TEST(pageable_source_is_taken_at_the_call) {
  unit::Fixture f;
  const CUstream s = f.stream();
  std::vector<unsigned> value = {5};
  unit::Gate gate(s);
  EXPECT_OK(cuMemcpyHtoDAsync_v2(f.word, value.data(), 4, s));
  value[0] = 77;
  gate.open();
  EXPECT_OK(cuStreamSynchronize(s));
  EXPECT(f.get() == 5);
}

TEST(pinned_source_is_read_when_the_copy_runs) {
  unit::Fixture f;
  const CUstream s = f.stream();
  unsigned* value = nullptr;
  EXPECT_OK(cuMemAllocHost_v2(reinterpret_cast<void**>(&value), 4));
  *value = 5;
  unit::Gate gate(s);
  EXPECT_OK(cuMemcpyHtoDAsync_v2(f.word, value, 4, s));
  *value = 77;
  gate.open();
  EXPECT_OK(cuStreamSynchronize(s));
  EXPECT(f.get() == 77);
  EXPECT_OK(cuMemFreeHost(value));
}

TEST(copy_to_pageable_memory_waits) {
  unit::Fixture f;
  const CUstream s = f.stream();
  unsigned value = 99;
  EXPECT_OK(f.step(s, 4));
  EXPECT_OK(cuMemcpyDtoHAsync_v2(&value, f.word, 4, s));
  EXPECT(value == 4);
}

namespace {

std::atomic<int> hostCalls{0};
std::atomic<int> apiInHostFunction{CUDA_SUCCESS};

void hostFunction(void* amount) {
  hostCalls += static_cast<int>(reinterpret_cast<intptr_t>(amount));
  CUdeviceptr address = 0;
  apiInHostFunction = cuMemAlloc_v2(&address, 4);
}

}  // namespace

TEST(host_functions_run_in_order_and_may_not_call_the_api) {
  unit::Fixture f;
  const CUstream s = f.stream();
  hostCalls = 0;
  EXPECT_OK(cuLaunchHostFunc(s, hostFunction, reinterpret_cast<void*>(1)));
  EXPECT_OK(cuStreamAddCallback(
      s, [](CUstream, CUresult status, void*) { hostCalls += status == CUDA_SUCCESS ? 100 : 0; }, nullptr, 0));
  EXPECT_OK(cuStreamSynchronize(s));
  EXPECT(hostCalls == 101);
  EXPECT(apiInHostFunction == CUDA_ERROR_NOT_PERMITTED);
}

TEST(wait_value_blocks_until_written) {
  unit::Fixture f;
  const CUstream waiter = f.stream(), writer = f.stream();
  EXPECT_OK(cuStreamWaitValue32_v2(waiter, f.word, 4, CU_STREAM_WAIT_VALUE_GEQ));
  EXPECT_OK(f.step(writer, 3));
  EXPECT_OK(cuStreamSynchronize(writer));
  EXPECT_STATUS(cuStreamQuery(waiter), CUDA_ERROR_NOT_READY);
  EXPECT_OK(cuStreamWriteValue32_v2(writer, f.word, 4, 0));
  EXPECT_OK(cuStreamSynchronize(waiter));
  EXPECT_STATUS(cuStreamWaitValue32_v2(waiter, f.word + 1, 0, 0), CUDA_ERROR_INVALID_VALUE);
}

TEST(fault_is_reported_late_and_sticks_until_reset) {
  unit::Fixture f;
  const CUstream s = f.stream();
  EXPECT_OK(f.fault(s));
  EXPECT_STATUS(cuStreamSynchronize(s), CUDA_ERROR_ILLEGAL_ADDRESS);
  CUdeviceptr address = 0;
  EXPECT_STATUS(cuMemAlloc_v2(&address, 4), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_STATUS(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_OK(cuDevicePrimaryCtxReset_v2(0));
  EXPECT_OK(cuCtxSynchronize());
  EXPECT_STATUS(cuStreamSynchronize(s), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_STATUS(f.fault(nullptr), CUDA_ERROR_INVALID_HANDLE);
}

TEST(per_thread_stream_is_not_the_legacy_stream) {
  unit::Fixture f;
  unsigned long long legacy = 0, mine = 0;
  EXPECT_OK(cuStreamGetId(kStreamLegacy, &legacy));
  EXPECT_OK(cuStreamGetId(kStreamPerThread, &mine));
  EXPECT(legacy != mine);
  EXPECT_OK(f.step(kStreamPerThread, 1));
  EXPECT_OK(f.step(kStreamLegacy, 1));
  EXPECT_OK(f.step(kStreamPerThread, 1));
  EXPECT_OK(cuStreamSynchronize(kStreamPerThread));
  EXPECT(f.get() == 13);
}
