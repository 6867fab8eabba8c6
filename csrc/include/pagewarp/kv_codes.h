// SPDX-License-Identifier: Apache-2.0
/// @file What the codes of a quantised KV cache mean, bit for bit the same wherever they are written or read.
///
/// A row of one head has scale = max|x| / largest code and, for each element, the code nearest to x / scale (ties to
/// even; both divisions in f32). A row with a NaN or infinity has the scale NaN and codes 0, so that it poisons what
/// attends to it; a row of zeros has scale 0.
#pragma once
#include <stdint.h>
#include <string.h>

#include "pagewarp/host_device.h"
#include "pagewarp/kvcache.h"

PW_HOST_DEVICE static inline PW_CONSTEXPR int pw_kv_bits(pw_kv_type type) {
  return type == PW_KV_F32 ? 32 : type == PW_KV_F16 || type == PW_KV_BF16 ? 16 : type == PW_KV_I4 ? 4 : 8;
}

/// Of one row, in bytes.
PW_HOST_DEVICE static inline int64_t pw_kv_row_bytes(pw_kv_type type, int64_t headDim) {
  return headDim * pw_kv_bits(type) / 8;
}

PW_HOST_DEVICE static inline PW_CONSTEXPR int pw_kv_is_codes(pw_kv_type type) { return pw_kv_bits(type) < 16; }

/// The largest magnitude that append writes.
PW_HOST_DEVICE static inline float pw_kv_largest_code(pw_kv_type type) {
  return type == PW_KV_I8 ? 127.0f : type == PW_KV_I4 ? 7.0f : 448.0f;
}

PW_HOST_DEVICE static inline uint32_t pw_kv_float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
PW_HOST_DEVICE static inline float pw_kv_bits_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// E4M3 of a number: sign, 4 bits of exponent with bias 7, 3 of mantissa; beyond 448: 448.
PW_HOST_DEVICE static inline uint8_t pw_kv_encode_e4m3(float x) {
  const uint32_t bits = pw_kv_float_bits(x), sign = bits >> 24 & 0x80u, magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x43e00000u) return (uint8_t)(sign | 0x7eu);  // 448
  // Below 2^-6 a multiple of 2^-9: adding 2^14 leaves just these bits of it, rounded.
  const uint32_t code = magnitude < 0x3c800000u ? pw_kv_float_bits(pw_kv_bits_float(magnitude) + 16384.0f) - 0x46800000u
                                                : ((magnitude + 0x7ffffu + (magnitude >> 20 & 1u)) >> 20) - (120u << 3);
  return (uint8_t)(sign | code);
}

/// There is no infinity and, other than in OCP's E4M3, no NaN: 0x7f, which is never written, is 480.
PW_HOST_DEVICE static inline float pw_kv_decode_e4m3(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu;
  const float x =
      magnitude < 8 ? (float)magnitude * (1.0f / 512.0f) : pw_kv_bits_float((magnitude << 20) + (120u << 23));
  return code & 0x80u ? -x : x;
}

/// The low bits of the result are the code of x, a row's element divided by its scale.
PW_HOST_DEVICE static inline uint32_t pw_kv_encode(pw_kv_type type, float x) {
  if (type == PW_KV_FP8_E4M3) return pw_kv_encode_e4m3(x);
  const float most = pw_kv_largest_code(type), clamped = x > most ? most : x < -most ? -most : x;
  // At 1.5 * 2^23 the last bit of a float is worth 1: the sum's low bits are the integer in two's complement.
  const uint32_t integer = pw_kv_float_bits(clamped + 12582912.0f);
  return type == PW_KV_I8 ? integer & 0xffu : integer & 0xfu;
}

/// Element `i` of a row of codes.
PW_HOST_DEVICE static inline float pw_kv_decode(pw_kv_type type, const uint8_t* row, int64_t i) {
  if (type == PW_KV_I8) return (float)(int8_t)row[i];
  if (type == PW_KV_FP8_E4M3) return pw_kv_decode_e4m3(row[i]);
  const int nibble = row[i / 2] >> (i % 2 * 4) & 0xf;
  return (float)((nibble ^ 8) - 8);
}
