// SPDX-License-Identifier: Apache-2.0
import { attentionEdges, attentionInLargeCache } from '../bodies/attention-edges.js';
import { everyCpu, referenceCpu } from '../support/devices.js';

const devices = everyCpu();

attentionEdges(devices, referenceCpu());
attentionInLargeCache(devices.filter(({ device }) => device.threads === 2));
