// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "gpu/kernel.h"
#include "gpu/properties.h"
#include "pagewarp/gpu/error.h"
#include "pagewarp/tensor.h"

namespace pw::gpu {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

/// Where the work of a running command goes: to a stream at once, into a graph that is being captured, or (when a graph
/// is replayed with a newer plan) only the bytes that it uploads. Launchers see it through Context.
class Target {
 public:
  virtual ~Target() = default;
  virtual void launch(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const void* params,
                      size_t paramBytes) = 0;
  virtual void zero(void* p, size_t bytes) = 0;
  virtual void fill(void* p, size_t elementBytes, uint32_t pattern, size_t count) = 0;
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  virtual void* scratch(size_t bytes, size_t capacity) = 0;
  virtual const void* upload(const void* data, size_t bytes, size_t capacity) = 0;
  virtual const void* uploadOnce(uint64_t id, const void* data, size_t bytes, size_t capacity) = 0;
  virtual unsigned gridCapacity(unsigned blocks) = 0;
  virtual pw_gpu_error* errorWord() = 0;
  /// Is the work part of a list that will be replayed?
  virtual bool isCaptured() const noexcept = 0;
};

/// What a launcher (csrc/gpu/<op>.cpp) works with. One per device, used by its engine thread only; every call concerns
/// the command that is running, and its stream.
///
/// **Command lists become CUDA graphs.** The first replay of a list captures it. For later replays, the commands whose
/// inputs can have changed (those that resolve a plan or upload bytes) run once more on the host, with launches
/// compared instead of made: scratch(), upload() and errorWord() return the same addresses as in the capture, uploaded
/// bytes are refilled in stream order, and when every launch has the same kernel, grid, block and parameters as the
/// captured one, the graph is launched. When anything differs, the list is captured anew: never a wrong answer, but
/// slow. So a launcher whose sizes depend on a plan should
///  - ask gridCapacity(blocks) for its grid, and let surplus blocks return at once by a count that lies in uploaded
///  memory;
///  - pass plan-dependent numbers in uploaded memory, not by value in the parameters;
///  - give upload() and scratch() a capacity with room for the next plans (a power of two above the need, say);
///  - zero its parameter struct first, since padding is compared as well.
class Context {
 public:
  /// @param modules, properties outlive the context
  Context(Modules& modules, const DeviceProperties& properties) : modules_(modules), properties_(properties) {}

  const DeviceProperties& properties() const noexcept { return properties_; }

  /// The kernel `entry` of the embedded module `module` ("norm/rmsnorm" for cuda/norm/rmsnorm.cu), loaded on first use.
  /// The reference stays valid as long as the device.
  /// @throws Error(PW_DEVICE_UNAVAILABLE) naming module, entry, architecture and the driver's reason
  const Kernel& kernel(const char* module, const char* entry) { return modules_.kernel(module, entry); }

  /// Thread blocks of this shape that one multiprocessor holds at a time. Cached.
  int residentBlocks(const Kernel& kernel, unsigned threads, unsigned sharedBytes) {
    return modules_.residentBlocks(kernel, threads, sharedBytes);
  }

  /// Launches on the stream of the command that is running. A grid with a zero dimension launches nothing.
  /// @param sharedBytes dynamic shared memory; above 48 KiB the kernel is opted in
  /// @param params the kernel's one parameter, a plain struct, by value
  template <class Params>
  void launch(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const Params& params) {
    static_assert(std::is_trivially_copyable_v<Params>, "kernel parameters are plain structs");
    static_assert(sizeof(Params) <= 4096, "kernel parameters have at most 4 KiB");
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    target_->launch(kernel, grid, block, sharedBytes, &params, sizeof params);
  }

  /// Scratch memory, 256-byte aligned, undefined contents, valid until the command has run.
  /// @param capacity bytes to set aside (>= bytes) in a captured list, for a later replay that needs more
  void* scratch(size_t bytes, size_t capacity = 0) {
    return target_->scratch(bytes, capacity < bytes ? bytes : capacity);
  }

  /// A copy on the device of host bytes that kernels of this command read, valid until the command has run. The host
  /// bytes may go away when this returns.
  /// @param capacity bytes to set aside (>= bytes), for a later replay of a captured list with more of them
  const void* upload(const void* data, size_t bytes, size_t capacity = 0) {
    return target_->upload(data, bytes, capacity < bytes ? bytes : capacity);
  }

  /// Like upload(), for bytes that many commands use and that never change, such as the arrays of a plan: commands that
  /// follow one another on a stream, and all commands of a captured list, share one copy.
  /// @param id the plan's unique number (pw_attention_plan::id); with `data` it identifies the bytes
  const void* uploadOnce(uint64_t id, const void* data, size_t bytes, size_t capacity = 0) {
    return target_->uploadOnce(id, data, bytes, capacity < bytes ? bytes : capacity);
  }

  /// How many blocks to launch where a plan needs `blocks`: just those, or, while a command list is captured, enough
  /// for the plans that it will probably be replayed with.
  unsigned gridCapacity(unsigned blocks) { return target_->gridCapacity(blocks); }

  /// Sets bytes to zero, in stream order.
  void zero(void* p, size_t bytes) {
    if (bytes > 0) target_->zero(p, bytes);
  }
  /// Sets `count` elements of 1, 2 or 4 bytes, in stream order.
  void fill(void* p, size_t elementBytes, uint32_t pattern, size_t count) {
    if (count > 0) target_->fill(p, elementBytes, pattern, count);
  }
  /// Copies bytes within the device, in stream order. The ranges must not overlap.
  void copy(void* to, const void* from, size_t bytes) {
    if (bytes > 0) target_->copy(to, from, bytes);
  }

  /// Where kernels of this command report a data error, with pw_gpu_report(); the same word for the whole command. It
  /// surfaces, with the op's name, at the stream's next synchronisation.
  pw_gpu_error* errorWord() { return target_->errorWord(); }

  /// Is the command part of a list that will be replayed, perhaps with other plans?
  bool isCaptured() const noexcept { return target_->isCaptured(); }

  /// The executor says where the next command's work goes.
  void setTarget(Target* target) noexcept { target_ = target; }
  Target& target() const noexcept { return *target_; }

 private:
  Modules& modules_;
  const DeviceProperties& properties_;
  Target* target_ = nullptr;
};

}  // namespace pw::gpu
