// SPDX-License-Identifier: Apache-2.0
import { afterAll } from 'vitest';
import { Device } from '../../lib/index.js';
import { sequenceHistories, sequenceTests } from '../bodies/kvcache-sequences.js';

const device = Device.cpu({ threads: 1 });
afterAll(() => device.dispose());

sequenceTests(device);
sequenceHistories(device, [1, 2, 3, 4], 1000);
