// SPDX-License-Identifier: Apache-2.0
// The two compressions that nvcc uses for fatbin entries.
#pragma once
#include <cstddef>
#include <string_view>

namespace gpusim {

/// Decompresses one LZ4 block to exactly `size` bytes; false when the input is damaged.
bool decompressLz4(std::string_view input, char* output, size_t size);

/// Decompresses Zstandard frames (RFC 8878, no dictionary) to exactly `size` bytes; false when the input is damaged.
bool decompressZstd(std::string_view input, char* output, size_t size);

}  // namespace gpusim
