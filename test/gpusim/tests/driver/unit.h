// SPDX-License-Identifier: Apache-2.0
// The driver's unit tests: a registry of named tests and the checks that they make.
#pragma once
#include <string>
#include <vector>

#include "driver/cuda_functions.h"

namespace unit {

struct Test {
  const char* name;
  void (*run)();
};

std::vector<Test>& tests();
struct Registration {
  Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

/// Counts a failed check and prints where it is.
void fail(const char* file, int line, const std::string& what);
std::string nameOf(CUresult status);

#define TEST(name)                                          \
  static void name();                                       \
  static const unit::Registration register_##name(#name, name); \
  static void name()

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) unit::fail(__FILE__, __LINE__, #condition);      \
  } while (false)

#define EXPECT_STATUS(call, expected)                                                                              \
  do {                                                                                                             \
    const CUresult status_ = (call);                                                                               \
    if (status_ != (expected))                                                                                     \
      unit::fail(__FILE__, __LINE__, #call " gave " + unit::nameOf(status_) + ", not " + unit::nameOf(expected));  \
  } while (false)

#define EXPECT_OK(call) EXPECT_STATUS(call, CUDA_SUCCESS)

/// PTX of two kernels: `step(u32* x, u32 v, u32 delay)` sets *x = 3 * *x + v after counting to `delay`, so that the order
/// of launches shows in the result; `fault()` writes to address 0.
extern const char* const kKernels;

/// A word of device memory and the kernels, in a fresh primary context of device 0; released at the end.
class Fixture {
 public:
  Fixture();
  ~Fixture();
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  /// Launches `step`; slow enough to be still running when the host goes on.
  CUresult step(CUstream stream, unsigned v, unsigned delay = 20000);
  CUresult fault(CUstream stream);
  void set(unsigned value);
  unsigned get();
  CUstream stream(unsigned flags = CU_STREAM_NON_BLOCKING);

  CUcontext context = nullptr;
  CUmodule module = nullptr;
  CUfunction stepKernel = nullptr, faultKernel = nullptr;
  CUdeviceptr word = 0;
};

}  // namespace unit
