// SPDX-License-Identifier: Apache-2.0
import { attentionEdges, attentionInLargeCache } from '../bodies/attention-edges.js';
import { invarianceTests, poisonTests } from '../bodies/attention-isolation.js';
import { everyCpu, referenceCpu } from '../support/devices.js';
import { runsFull } from '../support/grid.js';
import { announceSkip } from '../support/skip.js';

const devices = everyCpu();

attentionEdges(devices, referenceCpu());
if (!runsFull) announceSkip('the larger cases of group I; PAGEWARP_FULL=1 runs all');
poisonTests(devices);
invarianceTests(devices, runsFull ? Number.POSITIVE_INFINITY : 2e7);
attentionInLargeCache(devices.filter(({ device }) => device.threads === 2));
