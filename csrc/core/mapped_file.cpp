// SPDX-License-Identifier: Apache-2.0
#include "core/mapped_file.h"

#include <algorithm>

#include "core/error.h"

#if defined(_WIN32)
#include <windows.h>

#include <system_error>
#include <vector>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#endif

namespace pw {

namespace {

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw Error(PW_IO, "cannot read \"" + path + "\": " + reason);
}

#if defined(_WIN32)
std::string lastError() { return std::system_category().message(static_cast<int>(GetLastError())); }

std::vector<wchar_t> wide(const std::string& path) {
  const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.c_str(), -1, nullptr, 0);
  if (length <= 0) fail(path, "the path is not valid UTF-8");
  std::vector<wchar_t> out(static_cast<size_t>(length));
  MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, out.data(), length);
  return out;
}

struct Handle {
  HANDLE value;
  ~Handle() {
    if (value != nullptr && value != INVALID_HANDLE_VALUE) CloseHandle(value);
  }
};

size_t pageSize() {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwPageSize;
}
#else
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

size_t pageSize() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }
#endif

}  // namespace

#if defined(_WIN32)

Ref<MappedFile> MappedFile::open(const std::string& path) {
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_DELETE;
  const Handle file{
      CreateFileW(wide(path).data(), GENERIC_READ, share, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr)};
  if (file.value == INVALID_HANDLE_VALUE) fail(path, lastError());
  LARGE_INTEGER size;
  if (!GetFileSizeEx(file.value, &size)) fail(path, lastError());
  if (size.QuadPart == 0) fail(path, "the file is empty");
  if (static_cast<uint64_t>(size.QuadPart) > SIZE_MAX) fail(path, "the file is larger than the address space");
  const Handle mapping{CreateFileMappingW(file.value, nullptr, PAGE_READONLY, 0, 0, nullptr)};
  if (mapping.value == nullptr) fail(path, lastError());
  const void* data = MapViewOfFile(mapping.value, FILE_MAP_READ, 0, 0, 0);
  if (data == nullptr) fail(path, lastError());
  return Ref<MappedFile>(new MappedFile(path, static_cast<const uint8_t*>(data), static_cast<size_t>(size.QuadPart)));
}

MappedFile::~MappedFile() { UnmapViewOfFile(data_); }

#else

Ref<MappedFile> MappedFile::open(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.value < 0) fail(path, std::strerror(errno));
  struct stat info;
  if (::fstat(file.value, &info) != 0) fail(path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) fail(path, "it is a folder");
  if (!S_ISREG(info.st_mode)) fail(path, "it is not a regular file");
  if (info.st_size == 0) fail(path, "the file is empty");
  if (static_cast<uint64_t>(info.st_size) > SIZE_MAX) fail(path, "the file is larger than the address space");
  const size_t size = static_cast<size_t>(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (data == MAP_FAILED) fail(path, std::strerror(errno));
  return Ref<MappedFile>(new MappedFile(path, static_cast<const uint8_t*>(data), size));
}

MappedFile::~MappedFile() { ::munmap(const_cast<uint8_t*>(data_), size_); }

#endif

void MappedFile::drop(size_t offset, size_t length) const noexcept {
  const size_t page = pageSize();
  const size_t end =
      std::min(size_, length > size_ ? size_ : offset + std::min(length, size_ - std::min(offset, size_)));
  const size_t first = (offset + page - 1) / page * page;
  // The last page of the file may be dropped although it is not full.
  const size_t last = end == size_ ? end : end / page * page;
  if (offset >= size_ || first >= last) return;
  uint8_t* begin = const_cast<uint8_t*>(data_) + first;
#if defined(_WIN32)
  VirtualUnlock(begin, last - first);  // of a range that is not locked: removes it from the working set
#else
  ::madvise(begin, last - first, MADV_DONTNEED);
#endif
}

}  // namespace pw
