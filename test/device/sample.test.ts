// SPDX-License-Identifier: Apache-2.0
import { sampleTests } from '../bodies/sample.js';
import { availableIsas } from '../support/isa.js';
import { cpu } from '../support/judges.js';

sampleTests(
  [...availableIsas().map((isa) => cpu({ isa, threads: 2 })), cpu({ isa: 'portable', threads: 1 })],
  (cases) => cases,
);
