// SPDX-License-Identifier: Apache-2.0
import { cascadeTests } from '../bodies/cascade.js';
import { everyCpu, referenceCpu } from '../support/devices.js';
import { runsFull } from '../support/grid.js';

cascadeTests([...everyCpu(), { name: 'reference', device: referenceCpu() }], runsFull ? Number.POSITIVE_INFINITY : 2e7);
