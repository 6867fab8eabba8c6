// SPDX-License-Identifier: Apache-2.0
/// @file Verification and candidates on CUDA: see pagewarp/verify.h for what they compute.
#pragma once
#include "pagewarp/gpu/sample.h"
#include "pagewarp/verify.h"

/// A matrix of i32 or f32 whose rows are contiguous; data may be null.
typedef struct pw_gpu_matrix {
  void* data;
  int64_t stride;  ///< of rows, in elements
  int32_t columns;
} pw_gpu_matrix;

#define PW_GPU_VERIFY_ROW 256  ///< bytes of a node's rows that are looked at again

/// Memory of one thread block beside the two workspaces of its rows.
typedef struct pw_gpu_verify_memory {
  char* data;
  int64_t bytes;   ///< per thread block
  int64_t nodeAt;  ///< after f32 sums of the residual: i32, three per drafted token and four more
  int64_t rowAt;   ///< for PW_VERIFY_BLOCK: PW_GPU_VERIFY_ROW per token of the longest draft
} pw_gpu_verify_memory;

/// Thread blocks take requests in turns. Workspace 2 i is for the target's row of block i, 2 i + 1 for the draft's.
typedef struct pw_gpu_verify_params {
  pw_gpu_logits target, draft;
  int64_t draftLogitRows;
  const int32_t* tokens;
  int64_t total;
  pw_gpu_vector indptr;
  const int32_t* parents;        ///< may be null
  const int32_t* rows;           ///< may be null
  const float* draftParameters;  ///< may be null
  int64_t draftParameterStride;
  pw_gpu_sampling sampling;
  int32_t rule;
  int32_t distinct;
  float threshold, delta;
  pw_gpu_vector acceptedLengths, lastTokens, positions, nextPositions;
  pw_gpu_matrix outTokens, path, logprobs;
  pw_gpu_sample_workspace workspace;
  pw_gpu_verify_memory memory;
  int32_t requests;
  pw_gpu_error* error;
} pw_gpu_verify_params;

/// Thread blocks take rows in turns. The memory's integers are not used.
typedef struct pw_gpu_candidates_params {
  pw_gpu_logits logits;
  pw_gpu_sampling sampling;
  int32_t kind;
  pw_gpu_vector branches;  ///< may be null
  pw_gpu_matrix ids, logprobs, keys;
  const float* firstKeys;  ///< may be null
  int64_t firstKeyStride;
  pw_gpu_sample_workspace workspace;
  pw_gpu_verify_memory memory;
  int32_t rows;
  pw_gpu_error* error;
} pw_gpu_candidates_params;
