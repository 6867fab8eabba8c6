// SPDX-License-Identifier: Apache-2.0
import { type AttentionRecord, describeAttentionRecord } from '../support/attention-cases.js';
import { everyCpu, referenceCpu } from '../support/devices.js';
import { readCases, runsFull } from '../support/grid.js';

const devices = everyCpu();
const options = { devices: () => devices, reference: referenceCpu(), referenceWork: runsFull ? 2e8 : 8e6 };

for (const record of readCases<AttentionRecord>('attention')) describeAttentionRecord(record, options);
