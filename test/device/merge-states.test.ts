// SPDX-License-Identifier: Apache-2.0
import { mergeStatesTests } from '../bodies/merge-states.js';
import { everyCpu, referenceCpu } from '../support/devices.js';

const reference = referenceCpu();

const devices = [...everyCpu(), { name: 'reference', device: reference }];
mergeStatesTests(devices, () => devices, reference);
