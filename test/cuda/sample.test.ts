// SPDX-License-Identifier: Apache-2.0
import { type Case, sampleTests } from '../bodies/sample.js';
import { samplingEdges } from '../bodies/sample-edges.js';
import { cudaInTurn, describeOnGpu } from '../support/cuda.js';
import { sampleSize } from '../support/grid.js';
import { cudaJudges } from '../support/judges.js';

/** A few of the filters over small vocabularies and one over a large one: each draw is some million simulated threads. */
function affordable(cases: Case[]): Case[] {
  const small = cases.filter((one) => one.rows <= 4 && one.vocabulary <= 10_000);
  const large = cases.filter((one) => one.vocabulary > 100_000 && one.topK === 100 && one.topP === 0.9);
  return [...small.filter((_, i) => i % Math.ceil(23 / sampleSize) === 0), ...large.slice(0, sampleSize)];
}

describeOnGpu('on the GPU', () => {
  const judges = cudaJudges();
  sampleTests(judges.devices(), (cases) => judges.select(cases, 'sample', affordable));
  samplingEdges('cuda', cudaInTurn(), 100);
});
