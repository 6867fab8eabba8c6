// SPDX-License-Identifier: Apache-2.0
import { kvCacheTests } from '../bodies/kvcache.js';
import { fusedCacheTests } from '../bodies/kvcache-fused.js';
import { everyCpu, referenceCpu } from '../support/devices.js';

const devices = [...everyCpu(), { name: 'reference', device: referenceCpu() }];
kvCacheTests(devices);
fusedCacheTests(devices);
