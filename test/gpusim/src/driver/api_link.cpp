// SPDX-License-Identifier: Apache-2.0
// cuLink*: the linker of PTX. Its "cubin" is the PTX of all inputs, one after the other, which cuModuleLoadData takes
// back and links.
#include "api.h"
#include "jit_options.h"
#include "module.h"

using namespace gpusim;

namespace {

struct LinkState {
  int target = 0;
  JitOptions options;
  std::string ptx;
};

CUresult addInput(LinkState& state, CUjitInputType type, const void* data, size_t size) {
  if (type != CU_JIT_INPUT_PTX && type != CU_JIT_INPUT_FATBINARY) {
    state.options.writeLogs({"", "link: the simulator links PTX only\n"});
    return type == CU_JIT_INPUT_CUBIN ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_ERROR_NOT_SUPPORTED;
  }
  const PtxSelection selected = selectPtx(data, size, state.target);
  if (selected.status != CUDA_SUCCESS) state.options.writeLogs({"", selected.log + "\n"});
  state.ptx += selected.ptx + "\n";
  return selected.status;
}

}  // namespace

CUresult cuLinkCreate_v2(unsigned int numOptions, CUjit_option* options, void** optionValues, CUlinkState* stateOut) {
  return inContext([&](const auto& context) -> CUresult {
    if (!stateOut) return CUDA_ERROR_INVALID_VALUE;
    auto state = std::make_shared<LinkState>();
    state->target = context->device.target();
    const CUresult status = state->options.read(numOptions, options, optionValues);
    if (status == CUDA_SUCCESS) *stateOut = asHandle<CUlinkState>(handles<LinkState>().add(std::move(state)));
    return status;
  });
}

CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void* data, size_t size, const char*, unsigned int,
                          CUjit_option*, void**) {
  return inContext([&](const auto&) -> CUresult {
    const auto link = fromHandle<LinkState>(state);
    if (!link) return CUDA_ERROR_INVALID_HANDLE;
    if (!data) return CUDA_ERROR_INVALID_VALUE;
    return addInput(*link, type, data, size);
  });
}

CUresult cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char* path, unsigned int, CUjit_option*,
                          void**) {
  return inContext([&](const auto&) -> CUresult {
    const auto link = fromHandle<LinkState>(state);
    if (!link) return CUDA_ERROR_INVALID_HANDLE;
    std::string image;
    if (!path) return CUDA_ERROR_INVALID_VALUE;
    if (!readImageFile(path, image)) return CUDA_ERROR_FILE_NOT_FOUND;
    return addInput(*link, type, image.data(), image.size());
  });
}

CUresult cuLinkComplete(CUlinkState state, void** cubinOut, size_t* sizeOut) {
  return inContext([&](const auto&) {
    const auto link = fromHandle<LinkState>(state);
    if (!link) return CUDA_ERROR_INVALID_HANDLE;
    if (!cubinOut || link->ptx.empty()) return CUDA_ERROR_INVALID_VALUE;
    *cubinOut = link->ptx.data();
    if (sizeOut) *sizeOut = link->ptx.size() + 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkDestroy(CUlinkState state) {
  return initialised([&] { return handles<LinkState>().remove(state) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}
