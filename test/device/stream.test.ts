// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { Device, type Event, gatherRows, Tensor } from '../../lib/index.js';
import { runProgram } from '../support/program.js';

describe('Stream', () => {
  it('runs commands in order and replays captured ones', async () => {
    using device = Device.cpu({ threads: 2 });
    using stream = device.stream();
    using source = Tensor.zeros(device, [4], 'f32');
    using target = Tensor.zeros(device, [4], 'f32');
    using list = stream.capture(() => {
      expect(stream.isCapturing).toBe(true);
      target.copyFrom(source, stream);
    });
    source.write([1, 2, 3, 4], stream);
    expect(await target.readNumbers(stream)).toEqual([0, 0, 0, 0]);
    stream.replay(list);
    source.write([5, 6, 7, 8], stream);
    expect(await target.readNumbers(stream)).toEqual([1, 2, 3, 4]);
    stream.replay(list);
    expect(await target.readNumbers(stream)).toEqual([5, 6, 7, 8]);
  });

  it('forgets a capture that throws, and cannot capture what waits', async () => {
    using device = Device.cpu({ threads: 1 });
    using stream = device.stream();
    using tensor = Tensor.zeros(device, [2], 'f32');
    expect(() =>
      stream.capture(() => {
        tensor.fill(9, stream);
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(await tensor.readNumbers(stream)).toEqual([0, 0]);
    let reading: Promise<unknown> = Promise.resolve();
    stream.capture(() => {
      reading = tensor.read(stream);
      reading.catch(() => {});
    });
    await expect(reading).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('orders two streams by events and measures time between them', async () => {
    using device = Device.cpu({ threads: 1 });
    using first = device.stream();
    using second = device.stream();
    using tensor = Tensor.zeros(device, [1 << 16], 'f32');
    const start = first.record();
    for (let i = 1; i <= 20; i++) tensor.fill(i, first);
    const end = first.record();
    second.wait(end);
    expect((await tensor.select(0, 0).readNumbers(second))[0]).toBe(20);
    expect(end.done).toBe(true);
    expect(end.since(start)).toBeGreaterThan(0);
  });

  it('events in a capture are recorded by replays, and nobody waits for what is not', async () => {
    using device = Device.cpu({ threads: 1 });
    using other = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    using source = Tensor.zeros(device, [1 << 16], 'f32');
    using target = Tensor.zeros(other, [1], 'f32');
    let event: Event | undefined;
    using list = stream.capture(() => {
      source.fill(1);
      event = stream.record();
    });
    using outer = stream.capture(() => {
      stream.record().dispose();
      stream.replay(list);
    });
    const recorded = event as Event;
    other.defaultStream.wait(recorded);
    expect(await target.readNumbers()).toEqual([0]);
    for (const [round, replayed] of [list, outer, list].entries()) {
      source.fill(0);
      stream.replay(replayed);
      other.defaultStream.wait(recorded);
      await other.defaultStream.synchronize();
      expect(recorded.done, `round ${round}`).toBe(true);
      expect((await source.read())[0]).toBe(1);
    }
  });

  it('an event counts as reached when what comes before it fails', async () => {
    using device = Device.cpu({ threads: 1 });
    using other = Device.cpu({ threads: 1 });
    const stream = device.defaultStream;
    using x = Tensor.zeros(device, [2, 4], 'f32');
    using indices = Tensor.from(device, [7], [1], 'i32');
    let event: Event | undefined;
    using list = stream.capture(() => {
      gatherRows(stream, { x, indices }).dispose();
      event = stream.record();
    });
    stream.replay(list);
    other.defaultStream.wait(event as Event);
    await other.defaultStream.synchronize();
    await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect((event as Event).done).toBe(true);
  });

  it('never blocks the event loop while the device works', async () => {
    using device = Device.cpu({ threads: 1 });
    using big = Tensor.empty(device, [1 << 22], 'f32');
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    for (let i = 0; i < 40; i++) big.fill(i);
    await device.defaultStream.synchronize();
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
  });

  it('lets queued commands finish when the device is disposed, and refuses new ones', async () => {
    const device = Device.cpu({ threads: 2 });
    const stream = device.stream();
    const tensor = Tensor.zeros(device, [1 << 20], 'f32');
    for (let i = 0; i < 8; i++) tensor.fill(i, stream);
    const reading = tensor.select(0, 5).read(stream);
    device.dispose();
    expect((await reading)[0]).toBe(7);
    expect(() => tensor.fill(1, stream)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
    await expect(stream.synchronize()).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    tensor.dispose();
  });

  // Each program ends by itself with 0; a crash, a hang or an abort does not.
  it.each(['worker-terminate', 'exit-while-busy', 'dispose-races', 'garbage'])('survives %s', async (name) => {
    const { stdout } = await runProgram(name);
    expect(stdout.trim().split('\n').at(-1)).toBe('done');
  });

  it('tells of forgotten handles, and where they were made, in debug mode', async () => {
    const { stderr } = await runProgram('garbage', [], { PAGEWARP_DEBUG_LEAKS: '1' });
    expect(stderr).toMatch(/PagewarpLeakWarning: Tensor was garbage-collected without dispose\(\)[\s\S]*garbage\.mjs/);
  });
});
