// SPDX-License-Identifier: Apache-2.0
// The driver's unit tests: a registry of named tests and the checks that they make.
#pragma once
#include <atomic>
#include <memory>
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

#define TEST(name)                                              \
  static void name();                                           \
  static const unit::Registration register_##name(#name, name); \
  static void name()

#define EXPECT(condition)                                         \
  do {                                                            \
    if (!(condition)) unit::fail(__FILE__, __LINE__, #condition); \
  } while (false)

#define EXPECT_STATUS(call, expected)                                                                             \
  do {                                                                                                            \
    const CUresult status_ = (call);                                                                              \
    if (status_ != (expected))                                                                                    \
      unit::fail(__FILE__, __LINE__, #call " gave " + unit::nameOf(status_) + ", not " + unit::nameOf(expected)); \
  } while (false)

#define EXPECT_OK(call) EXPECT_STATUS(call, CUDA_SUCCESS)

/// PTX of two kernels: `step(u32* x, u32 v)` sets *x = 3 * *x + v, so that the order of launches shows in the result;
/// `fault()` writes to address 0.
extern const char* const kKernels;

/// Holds a stream at this point until it is opened (at the latest by its destructor), so that a test decides what is
/// still pending.
class Gate {
 public:
  explicit Gate(CUstream stream);
  ~Gate() { open(); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  void open();

 private:
  std::shared_ptr<std::atomic<bool>> opened_ = std::make_shared<std::atomic<bool>>(false);
};

/// A word of device memory and the kernels, in a fresh primary context of device 0; released at the end.
class Fixture {
 public:
  Fixture();
  ~Fixture();
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  CUresult step(CUstream stream, unsigned v);
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
