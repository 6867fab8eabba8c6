// SPDX-License-Identifier: Apache-2.0
import { mergeStatesTests } from '../bodies/merge-states.js';
import { everyCpu, referenceCpu } from '../support/devices.js';

const reference = referenceCpu();

mergeStatesTests([...everyCpu(), { name: 'reference', device: reference }], reference);
