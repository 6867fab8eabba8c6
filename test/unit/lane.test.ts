// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { Lane, type LaneOwner } from '../../lib/generate/lane.js';
import type { Sampler } from '../../lib/generate/sampler.js';
import type { KvSequence } from '../../lib/kv/sequence.js';

const owner: LaneOwner = {
  wake() {},
  leave() {},
  drafted() {},
  roomFor: () => 100,
  company: () => 0,
  budgetOf: () => undefined,
  follow: () => false,
};
const kv = { length: 5, isDisposed: false, cache: { isDisposed: false, pageSize: 16, freeTokens: 4096 } };

it('a lane that rests is in no step, whatever it was allowed before', async () => {
  const lane = new Lane(owner, kv as KvSequence, {} as Sampler, undefined);
  const token = lane.next(2);
  expect(lane.isReady).toBe(true);
  lane.enqueued(false, true);
  lane.arrive({ drawn: [{ token: 7 }], draft: { tokens: [] }, path: [] });
  expect(await token).toEqual({ token: 7 });
  expect(lane.isReady).toBe(true); // for a step ahead
  lane.rest();
  expect(lane.isReady).toBe(false);
  void lane.next(1);
  expect(lane.isReady).toBe(true);
});
