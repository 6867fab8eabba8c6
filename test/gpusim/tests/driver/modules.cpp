// SPDX-License-Identifier: Apache-2.0
// Images, functions, launches, devices, names.
#include <cstring>
#include <string>
#include <vector>

#include "device/device_description.h"
#include "driver/fatbin.h"
#include "unit.h"

namespace {

void put(std::vector<char>& to, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) to.push_back(static_cast<char>(value >> (8 * i)));
}

// A fatbin entry as nvcc writes it, without compression.
void addEntry(std::vector<char>& fatbin, unsigned kind, unsigned target, const std::string& payload,
              uint64_t flags = 0) {
  const size_t padded = (payload.size() + 1 + 7) / 8 * 8;
  put(fatbin, kind, 2);
  put(fatbin, 0x101, 2);
  put(fatbin, 64, 4);
  put(fatbin, padded, 8);
  put(fatbin, 0, 8);
  put(fatbin, 0, 2);
  put(fatbin, 8, 2);
  put(fatbin, target, 4);
  put(fatbin, 0, 8);
  put(fatbin, 0x11 | flags, 8);
  put(fatbin, 0, 16);
  fatbin.insert(fatbin.end(), payload.begin(), payload.end());
  fatbin.resize(fatbin.size() + padded - payload.size());
}

std::vector<char> wrap(const std::vector<char>& entries) {
  std::vector<char> fatbin;
  put(fatbin, 0xba55ed50, 4);
  put(fatbin, 1, 2);
  put(fatbin, 16, 2);
  put(fatbin, entries.size(), 8);
  fatbin.insert(fatbin.end(), entries.begin(), entries.end());
  return fatbin;
}

std::string ptxFor(int target) { return ".version 8.0\n.target sm_" + std::to_string(target) + "\n"; }

std::vector<char> sample() {
  std::vector<char> entries;
  addEntry(entries, 1, 75, ptxFor(75));
  addEntry(entries, 2, 80, "machine code");
  addEntry(entries, 1, 86, ptxFor(86));
  addEntry(entries, 1, 90, ptxFor(90), 0x100000);
  return wrap(entries);
}

}  // namespace

TEST(fatbin_gives_the_highest_fitting_ptx) {
  const std::vector<char> fatbin = sample();
  const auto chosen = [&](int target) { return gpusim::selectPtx(fatbin.data(), fatbin.size(), target); };
  EXPECT(chosen(80).ptx == ptxFor(75));
  EXPECT(chosen(89).ptx == ptxFor(86));
  EXPECT(chosen(90).ptx == ptxFor(90));
  EXPECT(chosen(100).ptx == ptxFor(86));
  EXPECT(chosen(70).status == CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT(chosen(70).log.find("compute_75, sm_80, compute_86, compute_90a") != std::string::npos);
}

TEST(damaged_fatbins_are_refused) {
  const std::vector<char> fatbin = sample();
  for (size_t length = 4; length < fatbin.size(); ++length) {
    const std::vector<char> cut(fatbin.begin(), fatbin.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT(gpusim::selectPtx(cut.data(), cut.size(), 89).status == CUDA_ERROR_INVALID_IMAGE);
  }
  std::vector<char> bad = fatbin;
  bad[16 + 4] = 1;  // an entry whose header is too short
  EXPECT(gpusim::selectPtx(bad.data(), bad.size(), 89).status == CUDA_ERROR_INVALID_IMAGE);
}

TEST(images_that_cannot_run) {
  unit::Fixture f;
  CUmodule module = nullptr;
  EXPECT_STATUS(cuModuleLoadData(&module, "garbage"), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_STATUS(cuModuleLoadData(&module,
                                 "\x7f"
                                 "ELF"),
                CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_STATUS(cuModuleLoadData(&module, ".version 9.9\n.target sm_80\n"), CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
  EXPECT_STATUS(cuModuleLoad(&module, "/nonexistent.ptx"), CUDA_ERROR_FILE_NOT_FOUND);
  char log[200] = {};
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  const char* broken = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k( { ret; }\n";
  EXPECT_STATUS(cuModuleLoadDataEx(&module, broken, 2, options, values), CUDA_ERROR_INVALID_PTX);
  EXPECT(std::strlen(log) > 0 && reinterpret_cast<size_t>(values[1]) == std::strlen(log) + 1);
}

TEST(hostile_texts_are_refused) {
  unit::Fixture f;
  auto times = [](const std::string& text) {
    std::string all;
    for (int i = 0; i < 100000; ++i) all += text;
    return all;
  };
  auto inKernel = [](const std::string& body) {
    return ".visible .entry k() { .reg .b32 r; .reg .b64 d; " + body + " ret; }";
  };
  auto moved = [&](const std::string& constant) { return inKernel("mov.b32 r, " + constant + ";"); };
  const std::vector<std::string> refused = {
      moved(times("(") + "1" + times(")")),
      moved(times("~") + "1"),
      moved(times("1?") + "1" + times(":1")),
      moved(times("!") + "1"),
      inKernel(times("{") + times("}")),
      inKernel("mov.b32 r, " + times("[d,") + "d" + times("]") + ";"),
      ".global .b32 x[4] = " + times("{") + "1" + times("}") + ";",
      ".global .b64 x = " + times("generic(") + "x" + times(")") + ";",
      ".global .b8 x[4294967296][4294967296];",
      ".global .align 0 .b8 x;",
      inKernel(".shared .b8 x[-4];"),
      inKernel(".local .b8 x[9999999999];"),
      inKernel(".local .b8 x[500000]; .local .b8 y[500000];"),
      inKernel(".reg .v4 .b32 q<500000>;"),
  };
  for (auto& text : refused) {
    CUmodule module = nullptr;
    EXPECT_STATUS(cuModuleLoadData(&module, (ptxFor(80) + text + "\n").c_str()), CUDA_ERROR_INVALID_PTX);
  }
  for (auto& text : {moved("((((1+2)*3)))"), inKernel("{{{{}}}}"), inKernel(".local .align 16 .b8 x[500000];")}) {
    CUmodule module = nullptr;
    EXPECT_OK(cuModuleLoadData(&module, (ptxFor(80) + text + "\n").c_str()));
    EXPECT_OK(cuModuleUnload(module));
  }
}

TEST(functions_and_variables_by_name) {
  unit::Fixture f;
  CUfunction function = nullptr;
  CUdeviceptr address = 0;
  size_t bytes = 0;
  EXPECT_STATUS(cuModuleGetFunction(&function, f.module, "absent"), CUDA_ERROR_NOT_FOUND);
  EXPECT_OK(cuModuleGetGlobal_v2(&address, &bytes, f.module, "counter"));
  unsigned value = 0;
  EXPECT_OK(cuMemcpyDtoH_v2(&value, address, 4));
  EXPECT(bytes == 4 && value == 7);
  size_t offset = 0, size = 0;
  EXPECT_OK(cuFuncGetParamInfo(f.stepKernel, 1, &offset, &size));
  EXPECT(offset == 8 && size == 4);
  EXPECT_STATUS(cuFuncGetParamInfo(f.stepKernel, 2, &offset, &size), CUDA_ERROR_INVALID_VALUE);
  EXPECT_OK(cuModuleUnload(f.module));
  EXPECT_STATUS(f.step(nullptr, 1), CUDA_ERROR_INVALID_HANDLE);
}

TEST(launch_limits) {
  unit::Fixture f;
  unsigned v = 1;
  void* arguments[] = {&f.word, &v};
  const auto launch = [&](unsigned grid, unsigned block, unsigned shared) {
    return cuLaunchKernel(f.stepKernel, grid, 1, 1, block, 1, 1, shared, nullptr, arguments, nullptr);
  };
  EXPECT_STATUS(launch(0, 1, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(launch(1, 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(launch(1, 1025, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(launch(1, 1, 60000), CUDA_ERROR_INVALID_VALUE);
  EXPECT_OK(cuFuncSetAttribute(f.stepKernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 60000));
  EXPECT_OK(launch(1, 1, 60000));
  EXPECT_STATUS(cuFuncSetAttribute(f.stepKernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 20),
                CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuLaunchCooperativeKernel(f.stepKernel, 100000, 1, 1, 1, 1, 1, 0, nullptr, arguments),
                CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  CUlaunchAttribute cluster{};
  cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  cluster.value.clusterDim = {2, 1, 1};
  const CUlaunchConfig config{2, 1, 1, 1, 1, 1, 0, nullptr, &cluster, 1};
  EXPECT_STATUS(cuLaunchKernelEx(&config, f.stepKernel, arguments, nullptr), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_OK(cuCtxSynchronize());
}

TEST(arguments_as_one_buffer) {
  unit::Fixture f;
  char buffer[16];
  const unsigned v = 5;
  std::memcpy(buffer, &f.word, 8);
  std::memcpy(buffer + 8, &v, 4);
  size_t size = sizeof buffer;
  void* extra[] = {reinterpret_cast<void*>(kLaunchParamBufferPointer), buffer,
                   reinterpret_cast<void*>(kLaunchParamBufferSize), &size, reinterpret_cast<void*>(kLaunchParamEnd)};
  f.set(1);
  EXPECT_OK(cuLaunchKernel(f.stepKernel, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra));
  EXPECT(f.get() == 8);
  size = 8;
  EXPECT_STATUS(cuLaunchKernel(f.stepKernel, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra), CUDA_ERROR_INVALID_VALUE);
}

TEST(library_kernels_launch_like_functions) {
  unit::Fixture f;
  CUlibrary library = nullptr;
  CUkernel kernel = nullptr;
  CUfunction function = nullptr;
  EXPECT_OK(cuLibraryLoadData(&library, unit::kKernels, nullptr, nullptr, 0, nullptr, nullptr, 0));
  EXPECT_STATUS(cuLibraryGetKernel(&kernel, library, "absent"), CUDA_ERROR_NOT_FOUND);
  EXPECT_OK(cuLibraryGetKernel(&kernel, library, "step"));
  unsigned v = 5;
  void* arguments[] = {&f.word, &v};
  EXPECT_OK(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr));
  EXPECT_OK(cuKernelGetFunction(&function, kernel));
  EXPECT_OK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr));
  EXPECT(f.get() == 20);
  EXPECT_OK(cuLibraryUnload(library));
  EXPECT_STATUS(cuKernelGetFunction(&function, kernel), CUDA_ERROR_INVALID_HANDLE);
}

TEST(linked_ptx_loads_again) {
  unit::Fixture f;
  CUlinkState state = nullptr;
  void* image = nullptr;
  size_t size = 0;
  EXPECT_OK(cuLinkCreate_v2(0, nullptr, nullptr, &state));
  EXPECT_OK(cuLinkAddData_v2(state, CU_JIT_INPUT_PTX, const_cast<char*>(unit::kKernels),
                             std::strlen(unit::kKernels) + 1, "kernels", 0, nullptr, nullptr));
  EXPECT_OK(cuLinkComplete(state, &image, &size));
  CUmodule module = nullptr;
  EXPECT_OK(cuModuleLoadData(&module, image));
  EXPECT_OK(cuLinkDestroy(state));
}

namespace {

CUresult linkAll(const std::vector<std::string>& texts, CUmodule& module) {
  CUlinkState state = nullptr;
  void* image = nullptr;
  EXPECT_OK(cuLinkCreate_v2(0, nullptr, nullptr, &state));
  for (const std::string& text : texts)
    EXPECT_OK(cuLinkAddData_v2(state, CU_JIT_INPUT_PTX, const_cast<char*>(text.c_str()), text.size() + 1, "part", 0,
                               nullptr, nullptr));
  EXPECT_OK(cuLinkComplete(state, &image, nullptr));
  const CUresult status = cuModuleLoadData(&module, image);
  EXPECT_OK(cuLinkDestroy(state));
  return status;
}

std::string ptxText(const std::string& body) { return ".version 8.0\n.target sm_80\n.address_size 64\n" + body; }

}  // namespace

TEST(several_ptx_texts_are_linked) {
  unit::Fixture f;
  // each has a function and a variable of its own called alike, which must stay apart
  const std::string own = R"(
    .global .align 4 .u32 factor = NUMBER;
    .func (.param .b32 r) scaled(.param .b32 x)
    { .reg .b32 %r<3>; ld.param.b32 %r0, [x]; ld.global.u32 %r1, [factor]; mul.lo.u32 %r2, %r0, %r1;
      st.param.b32 [r], %r2; ret; })";
  auto with = [&](const char* number, const std::string& rest) {
    std::string text = own;
    return ptxText(text.replace(text.find("NUMBER"), 6, number) + rest);
  };
  const std::string user = with("3", R"(
    .extern .func (.param .b32 r) elsewhere(.param .b32 x);
    .extern .global .align 4 .u32 total;
    .weak .global .align 4 .u32 common = 1;
    .visible .entry run(.param .u64 out)
    { .reg .b32 %r<6>; .reg .b64 %d; .param .b32 a; .param .b32 b; mov.u32 %r0, %tid.x; st.param.b32 [a], %r0;
      call (b), elsewhere, (a); ld.param.b32 %r1, [b]; call (b), scaled, (a); ld.param.b32 %r2, [b];
      add.u32 %r1, %r1, %r2; ld.global.u32 %r3, [total]; add.u32 %r1, %r1, %r3; ld.global.u32 %r3, [common];
      add.u32 %r1, %r1, %r3; ld.param.u64 %d, [out]; mad.wide.u32 %d, %r0, 4, %d; st.global.u32 [%d], %r1; ret; })");
  const std::string library = with("100", R"(
    .visible .global .align 4 .u32 total = 7000;
    .weak .global .align 4 .u32 common = 1;
    .visible .func (.param .b32 r) elsewhere(.param .b32 x)
    { .reg .b32 %r<2>; .param .b32 a; .param .b32 b; ld.param.b32 %r0, [x]; st.param.b32 [a], %r0;
      call (b), scaled, (a); ld.param.b32 %r1, [b]; st.param.b32 [r], %r1; ret; })");
  for (const auto& texts : {std::vector<std::string>{user, library}, {library, user}}) {
    CUmodule module = nullptr;
    EXPECT_OK(linkAll(texts, module));
    CUfunction run = nullptr;
    EXPECT_OK(cuModuleGetFunction(&run, module, "run"));
    CUdeviceptr out = 0;
    EXPECT_OK(cuMemAlloc_v2(&out, 128));
    void* parameters[] = {&out};
    EXPECT_OK(cuLaunchKernel(run, 1, 1, 1, 32, 1, 1, 0, nullptr, parameters, nullptr));
    unsigned values[32] = {};
    EXPECT_OK(cuMemcpyDtoH_v2(values, out, 128));
    for (unsigned i = 0; i < 32; ++i) EXPECT(values[i] == 103 * i + 7001);
    EXPECT_OK(cuMemFree_v2(out));
    EXPECT_OK(cuModuleUnload(module));
  }
  CUmodule module = nullptr;
  EXPECT_STATUS(linkAll({library, library}, module), CUDA_ERROR_INVALID_PTX);
  EXPECT_STATUS(linkAll({user}, module), CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND);
}

TEST(proc_addresses_follow_versions) {
  void* function = nullptr;
  CUdriverProcAddressQueryResult found{};
  EXPECT_OK(cuGetProcAddress_v2("cuMemAlloc", &function, 13000, 0, &found));
  EXPECT(function == reinterpret_cast<void*>(cuMemAlloc_v2));
  EXPECT_OK(cuGetProcAddress_v2("cuCtxCreate", &function, 11000, 0, &found));
  EXPECT(function == reinterpret_cast<void*>(cuCtxCreate_v2));
  EXPECT_OK(cuGetProcAddress_v2("cuCtxCreate", &function, 13000, 0, &found));
  EXPECT(function == reinterpret_cast<void*>(cuCtxCreate_v4));
  EXPECT_OK(cuGetProcAddress_v2("cuLaunchKernelEx", &function, 11000, 0, &found));
  EXPECT(function == nullptr && found == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
  EXPECT_STATUS(cuGetProcAddress_v2("cuAbsent", &function, 13000, 0, nullptr), CUDA_ERROR_NOT_FOUND);
  EXPECT_OK(
      cuGetProcAddress_v2("cuLaunchKernel", &function, 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, &found));
  EXPECT(function != nullptr && function != reinterpret_cast<void*>(cuLaunchKernel));
}

TEST(every_attribute_and_error_has_a_value) {
  unit::Fixture f;
  int value = 0;
#define GPUSIM_ATTRIBUTE(name, number) EXPECT_OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_##name, 0));
#include "driver/cuda_attributes.def"
#undef GPUSIM_ATTRIBUTE
  EXPECT_OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
  EXPECT(value == 4);
  EXPECT_OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 1));
  EXPECT(value == 9);
  EXPECT_STATUS(cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(9999), 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 2), CUDA_ERROR_INVALID_DEVICE);
  const char* text = nullptr;
  EXPECT_OK(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  EXPECT(std::strcmp(text, "CUDA_ERROR_ILLEGAL_ADDRESS") == 0);
  EXPECT_STATUS(cuGetErrorString(static_cast<CUresult>(12345), &text), CUDA_ERROR_INVALID_VALUE);
}

TEST(contexts_stack_and_end) {
  unit::Fixture f;
  CUcontext own = nullptr, current = nullptr;
  EXPECT_OK(cuCtxCreate_v2(&own, 0, 0));
  EXPECT_OK(cuCtxGetCurrent(&current));
  EXPECT(current == own);
  EXPECT_OK(cuCtxDestroy_v2(own));
  EXPECT_STATUS(cuCtxDestroy_v2(own), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_OK(cuCtxGetCurrent(&current));
  EXPECT(current == f.context);
  EXPECT_STATUS(cuCtxSetCurrent(own), CUDA_ERROR_INVALID_CONTEXT);
}

namespace {

std::string messageOf(const std::string& text) {
  try {
    gpusim::parseDevice(text, "model.txt");
  } catch (const gpusim::DeviceError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST(device_files_are_checked) {
  EXPECT(gpusim::builtInDevices().size() >= 6);
  for (const std::string& name : gpusim::builtInDevices()) EXPECT(gpusim::loadDevice(name).id == name);
  EXPECT(messageOf("smCount\n").find("model.txt:1: expected 'key = value'") == 0);
  EXPECT(messageOf("\nsmCount = many\n").find("model.txt:2: 'many' is not a whole number") == 0);
  EXPECT(messageOf("smCount = 0\n").find("model.txt:1: '0' is not a whole number from 1 to") == 0);
  EXPECT(messageOf("smCount = 4\nsmCount = 4\n").find("model.txt:2: 'smCount' is given twice") == 0);
  EXPECT(messageOf("speed = 4\n").find("model.txt:1: unknown key 'speed'") == 0);
  EXPECT(messageOf("smCount = 4\n").find("is missing") != std::string::npos);
}
