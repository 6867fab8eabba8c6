// SPDX-License-Identifier: Apache-2.0
import { describe } from 'vitest';
import { elementwiseTests } from '../bodies/elementwise.js';
import { cudaDevice, hasCuda } from '../support/cuda.js';
import { cudaJudges } from '../support/judges.js';

describe.skipIf(!hasCuda())('on the GPU', () => {
  elementwiseTests(cudaJudges(cudaDevice(), 5));
});
