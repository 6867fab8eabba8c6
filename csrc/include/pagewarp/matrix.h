// SPDX-License-Identifier: Apache-2.0
/// @file Weight matrices [n, k]: n output features, k input features. A matrix is not a tensor: its packed formats have
/// no strides and cannot be sliced.
#pragma once
#include <stdint.h>

typedef enum pw_matrix_format {
  PW_MATRIX_F32 = 0,   ///< row-major, as in the file
  PW_MATRIX_F16 = 1,   ///< row-major
  PW_MATRIX_BF16 = 2,  ///< row-major
  /// Packed formats, all in strips of 16 rows; bytes are laid out by matrix_layout.h. `q` are unsigned codes.
  PW_MATRIX_W4 = 3,    ///< scale * (q - 8), q < 16, one f16 scale per 32 (GGUF Q4_0)
  PW_MATRIX_W4M = 4,   ///< scale * q + min, q < 16, f16 scale and min per 32 (GGUF Q4_1)
  PW_MATRIX_W4K = 5,   ///< (d * s) * q - (dmin * m), q < 16; f16 d, dmin per 256, 6-bit s, m per 32 (GGUF Q4_K)
  PW_MATRIX_W8 = 6,    ///< scale * (q - 128), q < 256, one f16 scale per 32 (GGUF Q8_0)
  PW_MATRIX_W6K = 7,   ///< (d * s) * (q - 32), q < 64; f16 d per 256, int8 s per 16 (GGUF Q6_K)
  PW_MATRIX_W5 = 8,    ///< scale * (q - 16), q < 32, one f16 scale per 32 (GGUF Q5_0)
  PW_MATRIX_W5M = 9,   ///< scale * q + min, q < 32, f16 scale and min per 32 (GGUF Q5_1)
  PW_MATRIX_W5K = 10,  ///< (d * s) * q - (dmin * m), q < 32; f16 d, dmin per 256, 6-bit s, m per 32 (GGUF Q5_K)
  PW_MATRIX_W4Z = 11,  ///< scale * (q - zero), q < 16, f16 scale and an integer zero point per 32 (GPTQ, AWQ)
  PW_MATRIX_W4T = 12,  ///< scale * levels[q], q < 16, one f16 scale per 32 (GGUF IQ4_NL; nf4, fp4, any4)
  PW_MATRIX_W4X = 13,  ///< 2^(e - 127) * fp4[q], q < 16, one 8-bit exponent e per 32 (MXFP4)
  PW_MATRIX_W4N = 14,  ///< factor * e4m3(s) * fp4[q], q < 16, one 8-bit float s per 16 (NVFP4)
  PW_MATRIX_W4S = 15,  ///< scale * (q - 8), q < 16, one f16 scale per 16 (4-bit integers in short groups)
} pw_matrix_format;

/// A view; it owns nothing.
typedef struct pw_matrix {
  const void* data;
  pw_matrix_format format;
  int64_t n;
  int64_t k;
  const float*
      levels;  ///< W4T: [level_tables, 16]; W4N: factors [level_tables]; else null; what follows is the backend's
  int64_t level_tables;  ///< 1: one table or factor for the matrix; else one for each row
  const int32_t* order;  ///< [k] or null: column i of the matrix multiplies element order[i] of x (act-order)
} pw_matrix;
