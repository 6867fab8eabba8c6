// SPDX-License-Identifier: Apache-2.0
import { attentionPlanTests, planTests } from '../bodies/attention-plan.js';
import { attentionReplayTests } from '../bodies/attention-replay.js';
import { everyCpu } from '../support/devices.js';

attentionPlanTests(everyCpu());
attentionReplayTests(everyCpu());
planTests();
