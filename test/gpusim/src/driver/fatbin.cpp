// SPDX-License-Identifier: Apache-2.0
#include "fatbin.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "decompress.h"

namespace gpusim {
namespace {

constexpr uint32_t kFatbinMagic = 0xba55ed50;
constexpr uint32_t kWrapperMagic = 0x466243b1;
constexpr uint32_t kElfMagic = 0x464c457f;
constexpr uint64_t kFlagLz4 = 0x2000;
constexpr uint64_t kFlagZstd = 0x8000;
constexpr uint64_t kFlagArchitectureSpecific = 0x100000;
constexpr uint64_t kFlagFamilySpecific = 0x200000;
constexpr uint64_t kMaxUncompressedSize = uint64_t{1} << 30;

struct FatbinHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t headerSize;
  uint64_t size;  // of everything after the header
};
static_assert(sizeof(FatbinHeader) == 16);

struct EntryHeader {
  uint16_t kind;
  uint16_t version;
  uint32_t headerSize;
  uint64_t size;  // of the payload with its padding
  uint32_t compressedSize;
  uint32_t optionsOffset;
  uint16_t minor;
  uint16_t major;
  uint32_t target;
  uint32_t nameOffset;
  uint32_t nameSize;
  uint64_t flags;
  uint64_t reserved;
  uint64_t uncompressedSize;
};
static_assert(sizeof(EntryHeader) == 64);

// __fatBinC_Wrapper_t: what cudart registers and cuModuleLoadFatBinary also takes.
struct Wrapper {
  uint32_t magic;
  uint32_t version;
  const void* data;
  const void* prelinked;
};

std::string_view trimPadding(std::string_view text) {
  const size_t nul = text.find('\0');
  return nul == std::string_view::npos ? text : text.substr(0, nul);
}

// Skips white space and comments.
std::string_view firstDirective(std::string_view text) {
  while (!text.empty()) {
    if (std::isspace(static_cast<unsigned char>(text[0]))) {
      text.remove_prefix(1);
    } else if (text.starts_with("//")) {
      text.remove_prefix(std::min(text.find('\n'), text.size()));
    } else if (text.starts_with("/*")) {
      const size_t end = text.find("*/", 2);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
    } else {
      break;
    }
  }
  return text;
}

bool runsOn(const FatbinEntry& entry, int target) {
  if (entry.architectureSpecific) return entry.target == target;
  if (entry.familySpecific) return entry.target <= target && entry.target / 10 == target / 10;
  return entry.target <= target;
}

PtxSelection fail(CUresult status, std::string log) { return {status, {}, std::move(log)}; }

std::string describeTargets(const FatbinListing& listing) {
  std::string text;
  for (const FatbinEntry& entry : listing.entries) {
    if (!text.empty()) text += ", ";
    text += entry.kind == FatbinKind::kPtx ? "compute_" : "sm_";
    text += std::to_string(entry.target);
    if (entry.architectureSpecific) text += 'a';
    if (entry.familySpecific) text += 'f';
  }
  return text.empty() ? "nothing" : text;
}

PtxSelection unpack(const FatbinEntry& entry) {
  if (entry.compression == FatbinCompression::kNone) return {CUDA_SUCCESS, std::string(trimPadding(entry.data)), {}};
  if (entry.uncompressedSize > kMaxUncompressedSize)
    return fail(CUDA_ERROR_INVALID_IMAGE,
                "fatbin: a compressed PTX entry claims " + std::to_string(entry.uncompressedSize) + " bytes");
  std::string text(entry.uncompressedSize, '\0');
  const bool good = entry.compression == FatbinCompression::kLz4 ? decompressLz4(entry.data, text.data(), text.size())
                                                                 : decompressZstd(entry.data, text.data(), text.size());
  if (!good)
    return fail(CUDA_ERROR_INVALID_IMAGE,
                "fatbin: the compressed PTX entry for compute_" + std::to_string(entry.target) +
                    " is damaged or uses an unknown compression; compile with --compress-mode=none");
  return {CUDA_SUCCESS, std::string(trimPadding(text)), {}};
}

PtxSelection selectFromFatbin(const void* image, size_t size, int target) {
  const FatbinListing listing = listFatbin(image, size);
  if (!listing.error.empty()) return fail(CUDA_ERROR_INVALID_IMAGE, "fatbin: " + listing.error);
  const FatbinEntry* best = nullptr;
  for (const FatbinEntry& entry : listing.entries) {
    if (entry.kind != FatbinKind::kPtx || !runsOn(entry, target)) continue;
    if (!best || entry.target > best->target) best = &entry;
  }
  if (!best)
    return fail(CUDA_ERROR_NO_BINARY_FOR_GPU, "fatbin: no PTX entry runs on sm_" + std::to_string(target) +
                                                  "; the fatbin holds " + describeTargets(listing) +
                                                  " (the simulator runs PTX, not machine code)");
  return unpack(*best);
}

PtxSelection selectFromText(const char* image, size_t size) {
  const std::string_view text(image, size == kUnknownSize ? std::strlen(image) : strnlen(image, size));
  if (!firstDirective(text).starts_with(".version"))
    return fail(CUDA_ERROR_INVALID_IMAGE, "image is neither a fatbin nor PTX: it does not begin with .version");
  return {CUDA_SUCCESS, std::string(text), {}};
}

}  // namespace

FatbinListing listFatbin(const void* image, size_t size) {
  FatbinListing listing;
  const char* bytes = static_cast<const char*>(image);
  FatbinHeader header;
  if (size < sizeof header) {
    listing.error = "shorter than its header";
    return listing;
  }
  std::memcpy(&header, bytes, sizeof header);
  if (header.magic != kFatbinMagic || header.version != 1 || header.headerSize < sizeof header) {
    listing.error = "unknown header version " + std::to_string(header.version);
    return listing;
  }
  if (size != kUnknownSize && (header.headerSize > size || header.size > size - header.headerSize)) {
    listing.error = "truncated: its header says " + std::to_string(header.size) + " bytes follow";
    return listing;
  }
  uint64_t left = header.size;
  const char* at = bytes + header.headerSize;
  while (left > 0) {
    EntryHeader entry;
    if (left < sizeof entry) {
      listing.error = "an entry's header runs past the end";
      return listing;
    }
    std::memcpy(&entry, at, sizeof entry);
    if (entry.headerSize < sizeof entry || entry.headerSize > left || entry.size > left - entry.headerSize) {
      listing.error = "an entry runs past the end";
      return listing;
    }
    const bool compressed = (entry.flags & (kFlagLz4 | kFlagZstd)) != 0;
    if (compressed && entry.compressedSize > entry.size) {
      listing.error = "a compressed payload is longer than its entry";
      return listing;
    }
    FatbinEntry found;
    found.kind = static_cast<FatbinKind>(entry.kind);
    found.target = static_cast<int>(entry.target);
    found.architectureSpecific = (entry.flags & kFlagArchitectureSpecific) != 0;
    found.familySpecific = (entry.flags & kFlagFamilySpecific) != 0;
    if (entry.flags & kFlagLz4) found.compression = FatbinCompression::kLz4;
    if (entry.flags & kFlagZstd) found.compression = FatbinCompression::kZstd;
    found.uncompressedSize = entry.uncompressedSize;
    found.data = {at + entry.headerSize, compressed ? entry.compressedSize : entry.size};
    listing.entries.push_back(found);
    at += entry.headerSize + entry.size;
    left -= entry.headerSize + entry.size;
  }
  return listing;
}

PtxSelection selectPtx(const void* image, size_t size, int target) {
  uint32_t magic = 0;
  if (size < sizeof magic) return fail(CUDA_ERROR_INVALID_IMAGE, "image is too short");
  const size_t peek = size == kUnknownSize ? strnlen(static_cast<const char*>(image), sizeof magic) : sizeof magic;
  std::memcpy(&magic, image, peek);
  if (magic == kElfMagic)
    return fail(CUDA_ERROR_NO_BINARY_FOR_GPU, "image is a cubin: the simulator runs PTX, not machine code");
  if (magic == kFatbinMagic) return selectFromFatbin(image, size, target);
  if (magic == kWrapperMagic) {
    Wrapper wrapper;
    if (size != kUnknownSize) return fail(CUDA_ERROR_INVALID_IMAGE, "a fatbin wrapper holds a pointer: not for files");
    std::memcpy(&wrapper, image, sizeof wrapper);
    if (!wrapper.data) return fail(CUDA_ERROR_INVALID_IMAGE, "fatbin wrapper: null data");
    return selectFromFatbin(wrapper.data, kUnknownSize, target);
  }
  return selectFromText(static_cast<const char*>(image), size);
}

}  // namespace gpusim
