// SPDX-License-Identifier: Apache-2.0
import { attentionPlanTests, planTests } from '../bodies/attention-plan.js';
import { everyCpu } from '../support/devices.js';

attentionPlanTests(everyCpu());
planTests();
