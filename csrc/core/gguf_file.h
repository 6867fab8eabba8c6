// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "core/error.h"
#include "core/gguf.h"
#include "core/mapped_file.h"

namespace pw {

/// A mapped GGUF file with its tables.
class GgufFile final : public RefCounted {
 public:
  /// @throws Error(PW_IO), Error(PW_INVALID_MODEL), both naming the path
  static Ref<GgufFile> open(const std::string& path) {
    Ref<MappedFile> file = MappedFile::open(path);
    try {
      return Ref<GgufFile>(new GgufFile(std::move(file)));
    } catch (const Error& error) {
      throw Error(error.status(), path + ": " + error.what());
    }
  }

  const MappedFile& file() const noexcept { return *file_; }
  const Ref<MappedFile>& mapping() const noexcept { return file_; }
  const gguf::File& tables() const noexcept { return tables_; }
  /// First byte of a tensor of `tables()`.
  const uint8_t* data(const gguf::Tensor& tensor) const noexcept { return file_->data() + tensor.offset; }

 private:
  explicit GgufFile(Ref<MappedFile> file)
      : file_(std::move(file)), tables_(gguf::parse(file_->data(), file_->size())) {}

  const Ref<MappedFile> file_;
  const gguf::File tables_;
};

/// The mapping behind a handle of a GGUF file or of any mapped file; null for other objects.
inline Ref<MappedFile> mappedFile(RefCounted* object) {
  if (auto* gguf = dynamic_cast<GgufFile*>(object)) return gguf->mapping();
  return Ref<MappedFile>(dynamic_cast<MappedFile*>(object));
}

}  // namespace pw
