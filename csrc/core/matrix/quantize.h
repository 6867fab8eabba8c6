// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace pw {

/// Rounds one row of k values to nearest in a GGUF block format: F32, F16, BF16, Q8_0, Q4_0 or Q4_1. `out` receives
/// sourceRowBytes(ggmlId, k) bytes. The scale maps the value of largest magnitude to the end of the code range (Q4_0:
/// to code 0, so that its sign is kept exactly; Q4_1: minimum and maximum to codes 0 and 15).
void quantizeRow(uint32_t ggmlId, const float* x, int64_t k, uint8_t* out);

/// Does quantizeRow know this type?
bool canQuantize(uint32_t ggmlId);

}  // namespace pw
