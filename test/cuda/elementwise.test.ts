// SPDX-License-Identifier: Apache-2.0
import { elementwiseTests } from '../bodies/elementwise.js';
import { quantisedNormTests } from '../bodies/norm-quantised.js';
import { overlappingOutputTests } from '../bodies/overlapping-outputs.js';
import { cudaDevices, describeOnGpu } from '../support/cuda.js';
import { cudaJudges } from '../support/judges.js';

describeOnGpu('on the GPU', () => {
  elementwiseTests(cudaJudges(5));
  quantisedNormTests(cudaJudges());
  overlappingOutputTests(cudaDevices().slice(0, 1));
});
