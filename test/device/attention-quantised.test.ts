// SPDX-License-Identifier: Apache-2.0
import { quantisedTests } from '../bodies/attention-quantised.js';
import { everyCpu, referenceCpu } from '../support/devices.js';
import { runsFull } from '../support/grid.js';

const devices = everyCpu([2]);
quantisedTests(() => devices, referenceCpu(), runsFull ? Number.POSITIVE_INFINITY : 4e6);
