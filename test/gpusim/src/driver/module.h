// SPDX-License-Identifier: Apache-2.0
// Loaded modules, their functions, and context-independent libraries.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "context.h"
#include "fatbin.h"

namespace gpusim {

struct LoadedModule;

/// A kernel of a module in a context, with what cuFuncSetAttribute can change.
struct Function {
  LoadedModule* module = nullptr;
  const Kernel* kernel = nullptr;
  std::atomic<int> maxDynamicShared{0};  ///< as cuFuncGetAttribute reports it
  std::atomic<bool> raised{false};       ///< set by the program: the launch limit is then maxDynamicShared
  std::atomic<int> carveout{-1};
  std::atomic<int> cacheConfig{CU_FUNC_CACHE_PREFER_NONE};
};

struct LoadedModule : std::enable_shared_from_this<LoadedModule> {
  std::shared_ptr<Context> context;
  std::unique_ptr<Module> module;
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<Function>> functions;

  /// The function's handle stays valid until the module is unloaded; null when there is no such kernel.
  std::shared_ptr<Function> function(const std::string& name);
};

/// Compiles PTX for the context's device. `log` receives what a JIT would say.
CUresult loadModule(const std::shared_ptr<Context>& context, const PtxSelection& selected,
                    std::shared_ptr<LoadedModule>& module, JitLog& log);

/// Makes all function handles of a context, or of one module, invalid.
void removeFunctionsOf(const Context& context);
void removeFunctionsOf(const LoadedModule& module);

struct Library;

/// A kernel of a library: a function in each context that uses it.
struct LibraryKernel {
  Library* library = nullptr;
  std::string name;
};

struct Library : std::enable_shared_from_this<Library> {
  std::map<int, PtxSelection> images;  ///< by compute capability of the devices present
  std::mutex mutex;
  std::map<const Context*, std::shared_ptr<LoadedModule>> modules;
  std::map<std::string, std::unique_ptr<LibraryKernel>> kernels;

  CUresult moduleIn(const std::shared_ptr<Context>& context, std::shared_ptr<LoadedModule>& module, JitLog& log);
  std::shared_ptr<LibraryKernel> kernel(const std::string& name);
};

void removeKernelsOf(const Library& library);
void forgetLibraryModulesOf(const Context& context);

/// A CUfunction, or a CUkernel in its place: then its function in `context`.
CUresult resolveFunction(const std::shared_ptr<Context>& context, const void* handle,
                         std::shared_ptr<Function>& function);

}  // namespace gpusim
