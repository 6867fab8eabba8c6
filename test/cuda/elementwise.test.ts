// SPDX-License-Identifier: Apache-2.0
import { elementwiseTests } from '../bodies/elementwise.js';
import { quantisedNormTests } from '../bodies/norm-quantised.js';
import { describeOnGpu } from '../support/cuda.js';
import { cudaJudges } from '../support/judges.js';

describeOnGpu('on the GPU', () => {
  elementwiseTests(cudaJudges(5));
  quantisedNormTests(cudaJudges());
});
