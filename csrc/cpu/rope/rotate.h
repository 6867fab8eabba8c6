// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/rope.h"

namespace pw::cpu {

/// All heads of row `row` of x go to that row of out, turned as pw_rope_args says: for ops that rotate on the way.
struct RotateRow {
  const pw_tensor& x;
  const pw_tensor& out;
  const pw_tensor& table;
  pw_rope_pairing pairing;
  int64_t row;
};

PW_CPU_DECLARE(rotateRow, RotateRow)

}  // namespace pw::cpu
