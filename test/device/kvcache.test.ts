// SPDX-License-Identifier: Apache-2.0
import { kvCacheTests } from '../bodies/kvcache.js';
import { everyCpu, referenceCpu } from '../support/devices.js';

kvCacheTests([...everyCpu(), { name: 'reference', device: referenceCpu() }]);
