// SPDX-License-Identifier: Apache-2.0
import { cascadeTests } from '../bodies/cascade.js';
import { everyCpu, referenceCpu } from '../support/devices.js';
import { runsFull } from '../support/grid.js';

const devices = [...everyCpu(), { name: 'reference', device: referenceCpu() }];
cascadeTests(devices, () => devices, runsFull ? Number.POSITIVE_INFINITY : 2e7);
