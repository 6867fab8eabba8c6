// SPDX-License-Identifier: Apache-2.0
/// @file How attention is cut for GPUs: what thread blocks do, how evenly, and the block of bytes that carries it.
#include "plan/attention_plan.h"

#include <algorithm>
#include <cstring>
#include <queue>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "plan/attention_split.h"

using namespace pw;

namespace {

/// A batch of equal sequences over pages of their own, owned here.
struct Batch {
  std::vector<int32_t> queries, keys, pageBegin, pages;
  AttentionPlanInputs inputs;

  Batch(int32_t sequences, int32_t rows, int32_t kv, int32_t heads, int32_t kvHeads, int32_t workers)
      : queries(static_cast<size_t>(sequences), rows), keys(static_cast<size_t>(sequences), kv) {
    constexpr int32_t kPageSize = 16;
    const int32_t perSequence = (kv + kPageSize - 1) / kPageSize;
    for (int32_t s = 0; s <= sequences; ++s) pageBegin.push_back(s * perSequence);
    for (int32_t i = 0; i < sequences * perSequence; ++i) pages.push_back(i);
    inputs.heads = heads;
    inputs.kvHeads = kvHeads;
    inputs.headDim = 128;
    inputs.pageSize = kPageSize;
    inputs.pagesInPool = std::max(1, sequences * perSequence);
    inputs.gpu = true;
    inputs.workers = workers;
  }

  AttentionPlan plan() {
    inputs.queryLengths = {queries.data(), static_cast<int64_t>(queries.size())};
    inputs.kvLengths = {keys.data(), static_cast<int64_t>(keys.size())};
    inputs.pageBegin = {pageBegin.data(), static_cast<int64_t>(pageBegin.size())};
    inputs.pages = {pages.data(), static_cast<int64_t>(pages.size())};
    return AttentionPlan(inputs);
  }
};

int64_t keysOf(const pw_attention_item& item) {
  return item.kvEnd - item.kvBegin -
         std::max(0, std::min(item.kvEnd, item.skipEnd) - std::max(item.kvBegin, item.skipBegin));
}

/// Useful share of the multiprocessors' time when each takes the next block, in order, as soon as it is free.
double waveEfficiency(const pw_attention_plan& plan, int32_t workers) {
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<>> freeAt(
      {}, std::vector<int64_t>(static_cast<size_t>(workers), 0));
  int64_t work = 0, end = 0;
  for (int32_t i = 0; i < plan.itemCount; ++i)
    for (int32_t head = 0; head < plan.kvHeads; ++head) {
      const int64_t done = freeAt.top() + keysOf(plan.items[i]);
      freeAt.pop();
      freeAt.push(done);
      work += keysOf(plan.items[i]);
      end = std::max(end, done);
    }
  return static_cast<double>(work) / static_cast<double>(end * workers);
}

}  // namespace

TEST(decodeFillsWholeWaves) {
  for (const int32_t workers : {108, 132})
    for (const int32_t batch : {1, 4, 16, 64})
      for (const int32_t kv : {512, 2048, 8192, 32768})
        for (const auto& [heads, kvHeads] : {std::pair(32, 8), std::pair(32, 32), std::pair(64, 8)}) {
          const AttentionPlan plan = Batch(batch, 1, kv, heads, kvHeads, workers).plan();
          const double efficiency = waveEfficiency(plan.view(), workers);
          check::that(efficiency >= 0.9,
                      "efficiency " + std::to_string(efficiency) + " of batch " + std::to_string(batch) + ", kv " +
                          std::to_string(kv) + ", heads " + std::to_string(heads) + "/" + std::to_string(kvHeads) +
                          ", " + std::to_string(workers) + " multiprocessors",
                      __FILE__, __LINE__);
        }
}

TEST(raggedDecodeIsEven) {
  Batch batch(6, 1, 9000, 32, 8, 108);
  batch.keys = {9000, 17, 512, 4000, 1, 2500};
  CHECK(waveEfficiency(batch.plan().view(), 108) >= 0.85);
}

TEST(fullMultiprocessorsAreNotSplitFor) {
  CHECK(evenPieceLength(std::vector<int64_t>(64, 4096), 32, 108) == 0);
  CHECK(evenPieceLength({}, 8, 108) == 0);
  CHECK(evenPieceLength({20}, 1, 108) == 0);
  CHECK(evenPieceLength({32768}, 8, 108) % 8 == 0);
}

TEST(piecesCoverEachVisitedKeyOnce) {
  Batch batch(1, 1, 5000, 8, 2, 64);
  batch.inputs.window = 3000;
  batch.inputs.sinkTokens = 40;
  const AttentionPlan plan = batch.plan();
  std::vector<int> seen(5000, 0);
  for (int32_t i = 0; i < plan.view().itemCount; ++i) {
    const pw_attention_item& item = plan.view().items[i];
    for (int32_t key = item.kvBegin; key < item.kvEnd; ++key)
      if (key < item.skipBegin || key >= item.skipEnd) ++seen[static_cast<size_t>(key)];
  }
  CHECK(plan.view().itemCount > 8);
  for (int32_t key = 0; key < 5000; ++key) CHECK(seen[static_cast<size_t>(key)] == (key < 40 || key >= 2000 ? 1 : 0));
}

TEST(rowTilesFitTheirRows) {
  CHECK(attentionRowTile(1) == 16 && attentionRowTile(16) == 16 && attentionRowTile(17) == 32);
  CHECK(attentionRowTile(64) == 64 && attentionRowTile(65) == 128 && attentionRowTile(100000) == 128);
  Batch batch(4, 1, 600, 32, 8, 108);  // a group of 4
  batch.queries = {1, 8, 13, 200};
  batch.inputs.split = AttentionPlanInputs::kSplitNever;
  const AttentionPlan plan = batch.plan();
  const pw_attention_image& image = *plan.view().image;
  // 4, 32 and 52 packed rows; 800 are six tiles of 128 and one of 32.
  const int32_t expected[PW_ATTENTION_TILES] = {1, 2, 1, 6};
  int32_t item = 0;
  for (int32_t tile = 0; tile < PW_ATTENTION_TILES; ++tile) {
    CHECK(image.tileItems[tile] == expected[tile]);
    for (int32_t i = 0; i < image.tileItems[tile]; ++i, ++item) {
      const int32_t packed = plan.view().items[item].rows * 4;
      CHECK(packed <= pw_attention_tile_rows(tile) && (tile == 0 || packed > pw_attention_tile_rows(tile - 1)));
    }
  }
  CHECK(item == plan.view().itemCount);
}

TEST(imageMeansTheSameElsewhere) {
  Batch batch(3, 2, 70, 8, 2, 16);
  const AttentionPlan plan = batch.plan();
  const pw_attention_plan& view = plan.view();
  std::vector<uint64_t> copy(static_cast<size_t>(view.imageBytes) / 8 + 1);
  std::memcpy(copy.data(), view.image, static_cast<size_t>(view.imageBytes));
  const char* base = reinterpret_cast<const char*>(copy.data());
  const pw_attention_image& image = *reinterpret_cast<const pw_attention_image*>(base);
  CHECK(image.itemCount == view.itemCount && image.rows == 6 && image.partialRows == view.partialRows);
  const auto* items = reinterpret_cast<const pw_attention_item*>(base + sizeof image);
  CHECK(std::memcmp(items, view.items, sizeof *items * static_cast<size_t>(view.itemCount)) == 0);
  const auto* pages = reinterpret_cast<const int32_t*>(base + image.pagesAt);
  for (int32_t i = 0; i < view.itemCount; ++i) {
    const pw_attention_item& item = items[i];
    CHECK(item.keys == 70 && item.pageBegin == view.pageBegin[item.sequence]);
    CHECK(pages[item.pageBegin + item.kvBegin / 16] == view.pages[item.pageBegin + item.kvBegin / 16]);
  }
  const auto* masks = reinterpret_cast<const pw_row_mask*>(base + image.rowMasksAt);
  for (int32_t row = 0; row < 6; ++row) CHECK(masks[row].horizon == 69 + row % 2);
  CHECK(image.treeMasksAt == 0 && image.customBitsAt == 0);
}
