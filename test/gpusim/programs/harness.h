// SPDX-License-Identifier: Apache-2.0
// What every program's host side needs: the primary context, the module beside the executable, typed buffers, launches,
// comparisons. Only the CUDA driver API is used, so a program runs on a real driver as it does on the simulated one.
#pragma once

#include <cuda.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace harness {

[[noreturn]] inline void die(const char* what, const char* where, int line) {
  std::fprintf(stderr, "%s:%d: %s\n", where, line, what);
  std::exit(1);
}

inline void check(CUresult result, const char* what, const char* where, int line) {
  if (result == CUDA_SUCCESS) return;
  const char* name = "unknown error";
  cuGetErrorName(result, &name);
  die((std::string(name) + " from " + what).c_str(), where, line);
}

#define CU(call) ::harness::check((call), #call, __FILE__, __LINE__)

/// Primary context of device 0 and the fatbin `EXECUTABLE.fatbin`.
class Program {
 public:
  explicit Program(const char* executable) {
    CU(cuInit(0));
    CU(cuDeviceGet(&device, 0));
    CU(cuDevicePrimaryCtxRetain(&context, device));
    CU(cuCtxSetCurrent(context));
    const std::string path = std::string(executable) + ".fatbin";
    std::ifstream file(path, std::ios::binary);
    image.assign(std::istreambuf_iterator<char>(file), {});
    if (image.empty()) die(("cannot read " + path).c_str(), __FILE__, __LINE__);
    CU(cuModuleLoadData(&module, image.data()));
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    CU(cuModuleUnload(module));
    CU(cuDevicePrimaryCtxRelease(device));
  }

  CUfunction kernel(const char* name) const {
    CUfunction function;
    CU(cuModuleGetFunction(&function, module, name));
    return function;
  }

  int attribute(CUdevice_attribute which) const {
    int value;
    CU(cuDeviceGetAttribute(&value, which, device));
    return value;
  }

  CUdevice device;
  CUcontext context;
  CUmodule module;
  std::vector<char> image;
};

/// Device memory of `count` elements, filled from a host vector or left uninitialised.
template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count) { CU(cuMemAlloc(&pointer_, count * sizeof(T))); }
  explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) { upload(values); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { CU(cuMemFree(pointer_)); }

  void upload(const std::vector<T>& values) { CU(cuMemcpyHtoD(pointer_, values.data(), values.size() * sizeof(T))); }
  std::vector<T> download() const {
    std::vector<T> values(count_);
    CU(cuMemcpyDtoH(values.data(), pointer_, count_ * sizeof(T)));
    return values;
  }
  void clear() { CU(cuMemsetD8(pointer_, 0, count_ * sizeof(T))); }
  CUdeviceptr pointer() const { return pointer_; }
  size_t size() const { return count_; }

 private:
  CUdeviceptr pointer_ = 0;
  size_t count_;
};

/// What is passed to a kernel: a buffer's pointer, or the value itself.
template <typename T>
CUdeviceptr parameter(const Buffer<T>& buffer) {
  return buffer.pointer();
}
template <typename T>
T parameter(T value) {
  return value;
}

struct Shape {
  unsigned x = 1, y = 1, z = 1;
};

struct Launch {
  CUfunction function;
  Shape grid, block;
  unsigned shared = 0;
  CUstream stream = nullptr;

  template <typename... Arguments>
  void operator()(const Arguments&... arguments) const {
    launch(false, parameter(arguments)...);
  }
  template <typename... Arguments>
  void cooperative(const Arguments&... arguments) const {
    launch(true, parameter(arguments)...);
  }

 private:
  template <typename... Values>
  void launch(bool cooperatively, Values... values) const {
    void* pointers[] = {&values..., nullptr};
    if (cooperatively)
      CU(cuLaunchCooperativeKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, stream,
                                   pointers));
    else
      CU(cuLaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, stream, pointers,
                        nullptr));
  }
};

/// Counts comparisons that failed, and prints the first few.
class Report {
 public:
  template <typename T, typename U>
  void equal(const T& actual, const U& expected, const char* what, size_t index = 0) {
    if (actual == expected) return;
    note(what, index, static_cast<double>(actual), static_cast<double>(expected));
  }
  void near(double actual, double expected, double tolerance, const char* what, size_t index = 0) {
    if (std::abs(actual - expected) <= tolerance) return;  // False for NaN.
    note(what, index, actual, expected);
  }
  template <typename T>
  void equal(const std::vector<T>& actual, const std::vector<T>& expected, const char* what) {
    equal(actual.size(), expected.size(), what);
    for (size_t i = 0; i < actual.size() && i < expected.size(); ++i) equal(actual[i], expected[i], what, i);
  }
  void is(bool holds, const char* what) {
    if (!holds) note(what, 0, 0, 1);
  }
  int finish() const {
    if (failures_ > 0) std::fprintf(stderr, "%zu comparisons failed\n", failures_);
    return failures_ == 0 ? 0 : 1;
  }

 private:
  void note(const char* what, size_t index, double actual, double expected) {
    if (++failures_ <= 5) std::fprintf(stderr, "%s[%zu]: %.9g, expected %.9g\n", what, index, actual, expected);
  }
  size_t failures_ = 0;
};

template <typename T>
std::vector<T> randomIntegers(size_t count, int64_t low, int64_t high, unsigned seed = 1) {
  std::mt19937_64 engine(seed);
  std::uniform_int_distribution<int64_t> pick(low, high);
  std::vector<T> values(count);
  for (auto& value : values) value = static_cast<T>(pick(engine));
  return values;
}

inline std::vector<float> randomFloats(size_t count, float low = -1, float high = 1, unsigned seed = 1) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<float> pick(low, high);
  std::vector<float> values(count);
  for (auto& value : values) value = pick(engine);
  return values;
}

/// IEEE half and bfloat16 on the host, rounding to nearest even; for finite inputs.
inline uint16_t toBf16(float value) {
  uint32_t bits;
  static_assert(sizeof bits == sizeof value);
  __builtin_memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline float fromBf16(uint16_t half) {
  const uint32_t bits = uint32_t(half) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
inline float fromHalf(uint16_t half) {
  const int exponent = (half >> 10) & 31, fraction = half & 1023;
  const float magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                          : exponent     ? std::ldexp(1024.0f + fraction, exponent - 25)
                                         : std::ldexp(float(fraction), -24);
  return half & 0x8000 ? -magnitude : magnitude;
}
inline uint16_t toHalf(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::abs(value);
  if (magnitude >= 65520.0) return sign | 0x7c00;
  if (magnitude == 0) return sign;
  int exponent;
  std::frexp(magnitude, &exponent);
  const int step = std::max(exponent - 11, -24);
  const auto rounded = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, -step)));
  return static_cast<uint16_t>(sign | (rounded + (uint32_t(step + 24) << 10)));
}

}  // namespace harness
