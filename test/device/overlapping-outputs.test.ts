// SPDX-License-Identifier: Apache-2.0
import { overlappingOutputTests } from '../bodies/overlapping-outputs.js';
import { bestCpu } from '../support/devices.js';

overlappingOutputTests([bestCpu()]);
