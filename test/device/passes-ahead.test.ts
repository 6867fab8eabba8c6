// SPDX-License-Identifier: Apache-2.0
import { passesAheadTests } from '../bodies/passes-ahead.js';
import { bestCpu } from '../support/devices.js';

const { device } = bestCpu();
passesAheadTests({ device: () => device, tokens: 40, seeds: [1, 2, 3, 4, 5], ends: [1, 2, 5, 9] });
