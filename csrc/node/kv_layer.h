// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "node/call.h"
#include "pagewarp/kvcache.h"

namespace pw::node {

/// Reads five arguments from `first` on: cache type, k, v, kScale | null, vScale | null.
inline pw_kv_layer kvLayer(Call& call, size_t first) {
  pw_kv_layer layer{};
  layer.type = static_cast<pw_kv_type>(call.integer(first));
  layer.k = call.tensor(first + 1);
  layer.v = call.tensor(first + 2);
  layer.kScale = call.optionalTensor(first + 3);
  layer.vScale = call.optionalTensor(first + 4);
  return layer;
}

}  // namespace pw::node
