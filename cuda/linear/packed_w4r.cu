// SPDX-License-Identifier: Apache-2.0
/// @file Tables of rows: no tiles of eight strips. Their 512 tables, with a copy for each of the four lanes that read a
/// row's levels at the same time, are 128 KiB; with fewer copies these lanes meet in the same banks. Tiles of four
/// strips have room, but of a matrix of 4096 x 4096 they move more on a GPU of 108 multiprocessors than tiles of two:
/// each block reads all the tables of a tile that it has a part of.
#include "linear/packed_kernel.cuh"

PW_LINEAR_PACKED_LEVELS(w4r_f16, PW_MATRIX_W4T, PW_F16, 8, 2, true)
PW_LINEAR_PACKED_LEVELS(w4r_f16, PW_MATRIX_W4T, PW_F16, 32, 2, true)
PW_LINEAR_PACKED_LEVELS(w4r_f16, PW_MATRIX_W4T, PW_F16, 64, 4, true)
PW_LINEAR_PACKED_LEVELS(w4r_bf16, PW_MATRIX_W4T, PW_BF16, 8, 2, true)
PW_LINEAR_PACKED_LEVELS(w4r_bf16, PW_MATRIX_W4T, PW_BF16, 32, 2, true)
PW_LINEAR_PACKED_LEVELS(w4r_bf16, PW_MATRIX_W4T, PW_BF16, 64, 4, true)
PW_LINEAR_PACKED_LEVELS(w4r_f32, PW_MATRIX_W4T, PW_F32, 8, 2, true)
PW_LINEAR_PACKED_LEVELS(w4r_f32, PW_MATRIX_W4T, PW_F32, 32, 2, true)
