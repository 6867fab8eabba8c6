// SPDX-License-Identifier: Apache-2.0
import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Interrupt } from '../../lib/generate/interrupt.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const never = new Promise<never>(() => {});

describe('Interrupt', () => {
  it('settles as the promise does, until a signal is aborted', async () => {
    const [first, second] = [new AbortController(), new AbortController()];
    using interrupt = new Interrupt([first.signal, second.signal]);
    expect(await interrupt.wait(Promise.resolve(3))).toBe(3);
    await expect(interrupt.wait(Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    const waits = [interrupt.wait(never), interrupt.wait(never)];
    second.abort('enough');
    for (const wait of waits) await expect(wait).rejects.toBe('enough');
    await expect(interrupt.wait(Promise.resolve(4))).rejects.toBe('enough');
    await expect(interrupt.wait(Promise.reject(new Error('late')))).rejects.toBe('enough');
    expect(() => new Interrupt([first.signal, second.signal])).toThrow('enough');
  });

  it('does not listen after it was disposed', async () => {
    const controller = new AbortController();
    const interrupt = new Interrupt([controller.signal]);
    const wait = interrupt.wait(new Promise((resolve) => setTimeout(resolve, 5, 'done')));
    interrupt.dispose();
    controller.abort();
    expect(await wait).toBe('done');
  });

  it('has one listener for all that share a signal, so that Node does not take many for a leak', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const interrupts = Array.from({ length: 20 }, () => new Interrupt([signal]));
    const waits = interrupts.map((interrupt) => interrupt.wait(never));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    for (const interrupt of interrupts.splice(0, 5)) interrupt.dispose();
    controller.abort('enough');
    for (const wait of waits.slice(5)) await expect(wait).rejects.toBe('enough');
    const other = new AbortController();
    const [first, second] = [new Interrupt([other.signal]), new Interrupt([other.signal])];
    first.dispose();
    first.dispose();
    expect(getEventListeners(other.signal, 'abort')).toHaveLength(1);
    second.dispose();
    expect(getEventListeners(other.signal, 'abort')).toHaveLength(0);
  });

  it('keeps nothing of the waits that are over', async () => {
    using interrupt = new Interrupt([new AbortController().signal]);
    const results: WeakRef<object>[] = [];
    for (let step = 0; step < 100; step++) {
      const result = { step };
      results.push(new WeakRef(result));
      await interrupt.wait(Promise.resolve(result));
    }
    await new Promise((resolve) => setTimeout(resolve, 0)); // a WeakRef holds its object until the turn is over
    collectGarbage();
    const left = results.filter((result) => result.deref() !== undefined).length;
    expect(left).toBeLessThan(5);
    await expect(Promise.race([interrupt.wait(never), Promise.resolve('alive')])).resolves.toBe('alive');
  });
});
