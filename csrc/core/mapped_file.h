// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/ref.h"

namespace pw {

/// A read-only memory mapping of a whole file. Pages are read from disk when first touched and belong to the page
/// cache, so that several processes share them.
///
/// A file that another process truncates while it is mapped makes the operating system signal the reader (SIGBUS), as
/// with every mapping: replace model files by renaming, not in place.
class MappedFile final : public RefCounted {
 public:
  /// @param path UTF-8
  /// @throws Error(PW_IO) with the path and the operating system's reason; also for folders and empty files
  static Ref<MappedFile> open(const std::string& path);

  const uint8_t* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  const std::string& path() const noexcept { return path_; }

  /// Tells the system that [offset, offset + length) will not be read again soon: the process's resident memory shrinks
  /// by the whole pages inside the range. The bytes stay valid. Ranges beyond the end are clipped.
  void drop(size_t offset, size_t length) const noexcept;

  ~MappedFile() override;

 private:
  MappedFile(std::string path, const uint8_t* data, size_t size) : path_(std::move(path)), data_(data), size_(size) {}

  const std::string path_;
  const uint8_t* const data_;
  const size_t size_;
};

}  // namespace pw
