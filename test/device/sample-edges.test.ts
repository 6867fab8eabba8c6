// SPDX-License-Identifier: Apache-2.0
import { Device } from '../../lib/index.js';
import { samplingArguments, samplingEdges } from '../bodies/sample-edges.js';
import { availableIsas } from '../support/isa.js';

for (const isa of [...availableIsas(), 'reference' as const]) {
  const most = isa === 'reference' || isa === 'portable' ? 20_000 : 200_000;
  samplingEdges(isa, (threads) => Device.cpu({ isa, threads }), most);
}
samplingArguments();
