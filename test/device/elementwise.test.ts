// SPDX-License-Identifier: Apache-2.0
import { elementwiseTests } from '../bodies/elementwise.js';
import { cpuJudges } from '../support/judges.js';

elementwiseTests(cpuJudges);
