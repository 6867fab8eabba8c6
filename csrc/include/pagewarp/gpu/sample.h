// SPDX-License-Identifier: Apache-2.0
/// @file Sampling and argmax on CUDA: see pagewarp/sample.h for what they compute.
#pragma once
#include "pagewarp/gpu/error.h"
#include "pagewarp/sample.h"

/// Tokens whose weights are summed as one; a draw finds the block first, then the token in it.
#define PW_GPU_SAMPLE_BLOCK 256
#define PW_GPU_SAMPLE_MOST_TOP 1024  ///< most probable tokens that can be asked for

/// A vector of i32, or i64 when `wide`; data may be null.
typedef struct pw_gpu_vector {
  void* data;
  int64_t stride;  ///< in elements
  int32_t wide;
} pw_gpu_vector;

/// Rows of logits, each contiguous.
typedef struct pw_gpu_logits {
  const void* data;
  int64_t stride;  ///< in elements
  int32_t dtype;
  int32_t size;     ///< the vocabulary
  int32_t aligned;  ///< four neighbours can be loaded at once
} pw_gpu_logits;

/// pw_sampling as kernels see it.
typedef struct pw_gpu_sampling {
  const float* parameters;
  int64_t parameterStride;
  pw_gpu_vector seeds, offsets;
  const int32_t* history;
  int64_t historySize;
  pw_gpu_vector historyBegin, promptLengths;
} pw_gpu_sampling;

/// Memory of one thread block for rows of one size: see pw_gpu_sample_workspace().
typedef struct pw_gpu_sample_workspace {
  char* data;
  int64_t bytes;      ///< per thread block
  int64_t logitsAt;   ///< f32 [size], when rows can be penalised
  int64_t countsAt;   ///< i32 [size], likewise
  int64_t changedAt;  ///< likewise a bit per token, of whole blocks
} pw_gpu_sample_workspace;

/// Thread blocks take rows in turns.
typedef struct pw_gpu_sample_params {
  pw_gpu_logits logits;
  pw_gpu_sampling sampling;
  pw_gpu_sample_workspace workspace;  ///< begins with two f32 per PW_GPU_SAMPLE_BLOCK tokens
  pw_gpu_vector ids;
  float* logprobs;  ///< may be null
  int64_t logprobStride;
  int32_t* topIds;  ///< may be null
  float* topLogprobs;
  int64_t topIdStride, topLogprobStride;
  int32_t topCount;
  int32_t rows;
  pw_gpu_error* error;
} pw_gpu_sample_params;

/// The best of a part of a row.
typedef struct pw_gpu_argmax_part {
  uint64_t best;     ///< order of the logit in the high half, complement of the token in the low half
  uint32_t invalid;  ///< a NaN or +inf was seen
  uint32_t unused;
} pw_gpu_argmax_part;

/// Blocks (part, row), then one warp per row.
typedef struct pw_gpu_argmax_params {
  pw_gpu_logits logits;
  pw_gpu_vector ids;
  pw_gpu_argmax_part* found;  ///< [rows, parts]
  int32_t parts;
  int32_t partSize;  ///< tokens, a multiple of PW_GPU_SAMPLE_BLOCK
  pw_gpu_error* error;
} pw_gpu_argmax_params;
