// SPDX-License-Identifier: Apache-2.0
/// @file How attention is cut for a GPU, where a thread block does one row tile of one kv head over a range of keys.
#pragma once
#include <cstdint>
#include <vector>

namespace pw {

/// Packed rows (query rows times the group) of the tiles for a sequence with so many: the smallest of 16, 32, 64 and
/// 128 that holds them all, else 128.
int32_t attentionRowTile(int64_t packedRows);

/// Keys per thread block, so that the blocks' work fills whole waves.
/// @param keys of each row tile, all of equal cost per key
/// @param copies of every tile: kv heads
/// @param workers thread blocks that run at the same time
/// @return the longest piece that leaves at most a tenth of the workers' time idle, or the one that leaves the least; a
///   multiple of 8; 0: do not split
int32_t evenPieceLength(const std::vector<int64_t>& keys, int64_t copies, int64_t workers);

}  // namespace pw
