// SPDX-License-Identifier: Apache-2.0
#include "cpu/rope/rope.h"
#include "cpu/rope/rotate.h"
#include "cpu/rows.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

template <class O, class X>
void rotateHalves(O* out, const X* x, const float* cosines, const float* sines, int64_t half) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= half; i += Vec::kLanes) {
    const Vec u = load(x + i), v = load(x + half + i), c = loadF32(cosines + i), s = loadF32(sines + i);
    store(out + i, u * c - v * s);
    store(out + half + i, u * s + v * c);
  }
  for (; i < half; ++i) {
    const float u = toFloat(x[i]), v = toFloat(x[half + i]);
    fromFloat(u * cosines[i] - v * sines[i], out + i);
    fromFloat(u * sines[i] + v * cosines[i], out + half + i);
  }
}

/// Pairs are brought together in f32 on the stack a piece at a time; the compiler vectorises the stride-two loops.
template <class O, class X>
void rotateInterleaved(O* out, const X* x, const float* cosines, const float* sines, int64_t half) {
  constexpr int64_t kPairs = 64;
  float pairs[2 * kPairs];
  for (int64_t first = 0; first < half; first += kPairs) {
    const int64_t count = half - first < kPairs ? half - first : kPairs;
    const float *c = cosines + first, *s = sines + first;
    const X* from = x + 2 * first;
    O* to = out + 2 * first;
    int64_t i = 0;
    for (; i + Vec::kLanes <= 2 * count; i += Vec::kLanes) storeF32(pairs + i, load(from + i));
    for (; i < 2 * count; ++i) pairs[i] = toFloat(from[i]);
    for (i = 0; i < count; ++i) {
      const float u = pairs[2 * i], v = pairs[2 * i + 1];
      pairs[2 * i] = u * c[i] - v * s[i];
      pairs[2 * i + 1] = u * s[i] + v * c[i];
    }
    for (i = 0; i + Vec::kLanes <= 2 * count; i += Vec::kLanes) store(to + i, loadF32(pairs + i));
    for (; i < 2 * count; ++i) fromFloat(pairs[i], to + i);
  }
}

}  // namespace

void rotateRow(const RotateRow& a, Context&) {
  const pw_tensor &x = a.x, &out = a.out;
  const int64_t heads = x.shape[1], dim = x.shape[2], rotary = a.table.shape[1], half = rotary / 2;
  const auto* cosines = static_cast<const float*>(rowPointer(a.table, a.row));
  const float* sines = cosines + half;
  dispatchFloat(x.dtype, [&](auto* xTag) {
    dispatchFloat(out.dtype, [&](auto* outTag) {
      for (int64_t h = 0; h < heads; ++h) {
        const auto* from = static_cast<decltype(xTag)>(rowPointer(x, a.row * heads + h));
        auto* to = static_cast<decltype(outTag)>(rowPointer(out, a.row * heads + h));
        if (a.pairing == PW_ROPE_HALVES)
          rotateHalves(to, from, cosines, sines, half);
        else
          rotateInterleaved(to, from, cosines, sines, half);
        if (static_cast<const void*>(to) == static_cast<const void*>(from)) continue;
        for (int64_t i = rotary; i < dim; ++i) fromFloat(toFloat(from[i]), to + i);
      }
    });
  });
}

void rope(const pw_rope_args& a, Context& context) {
  const int64_t work = a.q.shape[1] * a.q.shape[2] + (a.k.data ? a.k.shape[1] * a.k.shape[2] : 0);
  context.pool().forRange(a.q.shape[0], 1 + 16384 / (work + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      rotateRow({a.q, a.q_out, a.table, a.pairing, r}, context);
      if (a.k.data) rotateRow({a.k, a.k_out, a.table, a.pairing, r}, context);
    }
  });
}

}  // namespace pw::cpu::PW_ISA
