// SPDX-License-Identifier: Apache-2.0
// Finds the PTX to run in what a program hands to cuModuleLoadData: PTX text, a fatbin, a fatbin wrapper or a cubin.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cuda_types.h"

namespace gpusim {

/// What the 16-bit kind of a fatbin entry says.
enum class FatbinKind : uint16_t { kPtx = 1, kElf = 2 };

enum class FatbinCompression { kNone, kLz4, kZstd };

/// One entry of a fatbin. `data` points into the image and is as long as the payload proper (padding excluded).
struct FatbinEntry {
  FatbinKind kind{};
  int target = 0;                     ///< 80 for sm_80 or compute_80
  bool architectureSpecific = false;  ///< compute_90a: runs on that compute capability only
  bool familySpecific = false;        ///< compute_100f: runs within that major version only
  FatbinCompression compression = FatbinCompression::kNone;
  uint64_t uncompressedSize = 0;
  std::string_view data;
};

/// The entries of a fatbin, or why it is malformed.
struct FatbinListing {
  std::vector<FatbinEntry> entries;
  std::string error;  ///< empty when the whole fatbin was read
};

/// Reads a fatbin's table of entries. `size` bounds every read.
FatbinListing listFatbin(const void* image, size_t size);

/// The PTX chosen for a device, or CUDA's code and a log line why there is none.
struct PtxSelection {
  CUresult status = CUDA_SUCCESS;
  std::string ptx;
  std::string log;
};

/// `size` is the image's length where it is known (a file), or kUnknownSize: the image then says itself how long it is,
/// as cuModuleLoadData requires (NUL-terminated text, or a header with a size).
inline constexpr size_t kUnknownSize = ~size_t{0};

/// Picks the PTX that a driver would compile for a device of compute capability `target` (80 for 8.0): the entry with
/// the highest target that is not above it.
PtxSelection selectPtx(const void* image, size_t size, int target);

}  // namespace gpusim
