// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "core/engine.h"
#include "pagewarp/matrix.h"

namespace pw {

/// A place where tensors live and commands run.
class Device : public RefCounted {
 public:
  Engine& engine() noexcept { return *engine_; }
  const std::string& name() const noexcept { return name_; }
  /// @throws Error(PW_OUT_OF_MEMORY)
  virtual Ref<Storage> allocate(size_t bytes) = 0;
  /// The format in which this device holds a block type's values without loss. @throws Error(PW_UNSUPPORTED)
  virtual pw_matrix_format matrixFormat(uint32_t blockType) const = 0;
  /// Bytes that a weight matrix occupies in this device's layout.
  virtual int64_t matrixBytes(pw_matrix_format format, int64_t n, int64_t k) const = 0;
  /// Rows of a matrix with n rows in whole strips of this device's layout.
  virtual int64_t paddedRows(int64_t n) const = 0;
  /// Bytes of tensors alive on this device.
  int64_t bytesInUse() const noexcept { return used_->load(std::memory_order_relaxed); }

 protected:
  Device(std::string name, std::unique_ptr<Executor> executor, const char* threadName)
      : name_(std::move(name)),
        used_(std::make_shared<std::atomic<int64_t>>(0)),
        engine_(makeRef<Engine>(std::move(executor), threadName)) {}

  std::string name_;
  std::shared_ptr<std::atomic<int64_t>> used_;
  Ref<Engine> engine_;
};

}  // namespace pw
