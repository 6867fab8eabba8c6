// SPDX-License-Identifier: Apache-2.0
/// @file Shapes of the tensor-core attention kernels, for the kernels and for those who launch them.
///
/// A block has a row tile of 16 to 128 packed rows. A warp takes 16 of them; the warps of the tile's rows that share
/// keys are a key group, and several groups share the keys of a small tile: every group visits every so-manieth chunk
/// of keys, and the groups' results are joined at the end. Each group has a ring of slots in shared memory, which
/// chunks of keys and of values go through in turns.
#pragma once
#include <stdint.h>

#include "pagewarp/attention.h"
#include "pagewarp/kv_codes.h"

namespace pw {

/// Bytes of what a block knows of a row; see PackedRow.
constexpr int kPackedRowBytes = 40;
/// Columns of a warp's results that are brought into row order at a time, and the floats between rows of them.
constexpr int kStagedColumns = 64, kStagedStride = kStagedColumns + 8;

/// What does not depend on the row tile.
struct AttentionRing {
  int dim;   ///< 64, 128 or 256: the head dimension or the next larger of these
  int bits;  ///< of an element: 16, or 8 or 4 for codes with scales

  PW_HOST_DEVICE constexpr int keys() const { return dim > 128 ? 16 : 32; }  ///< of a chunk
  PW_HOST_DEVICE constexpr bool codes() const { return bits < 16; }
  PW_HOST_DEVICE constexpr int rowBytes() const { return dim * bits / 8; }
  PW_HOST_DEVICE constexpr int scaleBytes() const { return codes() ? keys() * 4 : 0; }
  PW_HOST_DEVICE constexpr int slotBytes() const { return keys() * rowBytes() + scaleBytes(); }
  /// About 24 KiB a ring: a block of four key groups has what a multiprocessor must have under way to be busy, and fits
  /// the 99 KiB of the smallest one.
  PW_HOST_DEVICE constexpr int slots() const { return codes() ? 5 : 24 * 1024 / slotBytes(); }
  PW_HOST_DEVICE constexpr int bytes() const { return slots() * slotBytes(); }
};

PW_HOST_DEVICE constexpr int attentionRowWarps(int tile) { return 1 << tile; }

/// Rings of long rows leave no room for a fourth key group.
PW_HOST_DEVICE constexpr int attentionKeyGroups(int dim, int tile) {
  return tile == 0 ? (dim > 128 ? 3 : 4) : tile == 1 ? 2 : 1;
}
PW_HOST_DEVICE constexpr int attentionWarps(int dim, int tile) {
  return attentionRowWarps(tile) * attentionKeyGroups(dim, tile);
}

/// Queries of a warp's 16 rows in shared memory; 0: they are in registers.
PW_HOST_DEVICE constexpr int attentionQueryBytes(int dim) { return dim > 128 ? 16 * dim * 2 : 0; }

/// What a warp notes of infinite values, two bits for each of its sums; values of codes are finite.
PW_HOST_DEVICE constexpr int attentionMarkBytes(AttentionRing ring) { return ring.codes() ? 0 : 4 * ring.dim; }

/// Where the marks, and where the rings begin in a block's dynamic shared memory, behind rows and queries.
PW_HOST_DEVICE constexpr int attentionMarksAt(int dim, int tile) {
  return pw_attention_tile_rows(tile) * kPackedRowBytes + attentionRowWarps(tile) * attentionQueryBytes(dim);
}
PW_HOST_DEVICE constexpr int attentionRingsAt(AttentionRing ring, int tile) {
  return attentionMarksAt(ring.dim, tile) + attentionWarps(ring.dim, tile) * attentionMarkBytes(ring);
}

/// Dynamic shared memory of a block. Results are joined and reordered at the end in place of the rings.
PW_HOST_DEVICE constexpr int attentionSharedBytes(AttentionRing ring, int tile) {
  const int rings = attentionKeyGroups(ring.dim, tile) * ring.bytes();
  const int joined = (attentionKeyGroups(ring.dim, tile) - 1) * attentionRowWarps(tile) * (ring.dim / 2 + 4) * 32 * 4;
  const int staged = attentionRowWarps(tile) * 16 * kStagedStride * 4;
  const int larger = joined > staged ? joined : staged;
  return attentionRingsAt(ring, tile) + (rings > larger ? rings : larger);
}

}  // namespace pw
