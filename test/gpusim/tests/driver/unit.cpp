// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace unit {
namespace {

int failures = 0;

}  // namespace

const char* const kKernels = R"(
.version 8.0
.target sm_80
.address_size 64

.visible .global .align 4 .u32 counter = 7;

.visible .entry step(.param .u64 x, .param .u32 v)
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [x];
  ld.param.u32 %r1, [v];
  ld.global.u32 %r4, [%rd1];
  mad.lo.s32 %r5, %r4, 3, %r1;
  st.global.u32 [%rd1], %r5;
  ret;
}

.visible .entry fault()
{
  .reg .b64 %rd<2>;
  mov.u64 %rd1, 0;
  st.global.u32 [%rd1], 1;
  ret;
}
)";

std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

void fail(const char* file, int line, const std::string& what) {
  ++failures;
  std::printf("%s:%d: %s\n", file, line, what.c_str());
}

std::string nameOf(CUresult status) {
  const char* name = nullptr;
  cuGetErrorName(status, &name);
  return name ? name : std::to_string(status);
}

Gate::Gate(CUstream stream) {
  // The host function owns a reference of its own, in case the test is over before the stream gets there.
  auto* shared = new std::shared_ptr<std::atomic<bool>>(opened_);
  const auto wait = [](void* data) {
    auto* flag = static_cast<std::shared_ptr<std::atomic<bool>>*>(data);
    (*flag)->wait(false);
    delete flag;
  };
  EXPECT_OK(cuLaunchHostFunc(stream, wait, shared));
}

void Gate::open() {
  *opened_ = true;
  opened_->notify_all();
}

Fixture::Fixture() {
  EXPECT_OK(cuInit(0));
  EXPECT_OK(cuDevicePrimaryCtxRetain(&context, 0));
  EXPECT_OK(cuCtxSetCurrent(context));
  EXPECT_OK(cuModuleLoadData(&module, kKernels));
  EXPECT_OK(cuModuleGetFunction(&stepKernel, module, "step"));
  EXPECT_OK(cuModuleGetFunction(&faultKernel, module, "fault"));
  EXPECT_OK(cuMemAlloc_v2(&word, 4));
  set(0);
}

Fixture::~Fixture() {
  cuMemFree_v2(word);
  EXPECT_OK(cuDevicePrimaryCtxReset_v2(0));
  EXPECT_OK(cuDevicePrimaryCtxRelease_v2(0));
}

CUresult Fixture::step(CUstream stream, unsigned v) {
  void* arguments[] = {&word, &v};
  return cuLaunchKernel(stepKernel, 1, 1, 1, 1, 1, 1, 0, stream, arguments, nullptr);
}

CUresult Fixture::fault(CUstream stream) {
  return cuLaunchKernel(faultKernel, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr);
}

void Fixture::set(unsigned value) { EXPECT_OK(cuMemcpyHtoD_v2(word, &value, sizeof value)); }

unsigned Fixture::get() {
  unsigned value = 0;
  EXPECT_OK(cuMemcpyDtoH_v2(&value, word, sizeof value));
  return value;
}

CUstream Fixture::stream(unsigned flags) {
  CUstream created = nullptr;
  EXPECT_OK(cuStreamCreate(&created, flags));
  return created;
}

}  // namespace unit

// Runs all tests, or the one named; `--list` prints the names.
int main(int argc, char** argv) {
  setenv("GPUSIM_DEVICE", "small,small89", 1);
  const char* only = argc > 1 ? argv[1] : nullptr;
  int ran = 0;
  for (const unit::Test& test : unit::tests()) {
    if (only && std::strcmp(only, "--list") == 0) {
      std::printf("%s\n", test.name);
      ++ran;
      continue;
    }
    if (only && std::strcmp(only, test.name) != 0) continue;
    ++ran;
    const int before = unit::failures;
    test.run();
    std::printf("%s %s\n", unit::failures == before ? "ok" : "FAILED", test.name);
  }
  if (ran == 0) std::printf("no test is called %s\n", only);
  return ran == 0 || unit::failures > 0;
}
