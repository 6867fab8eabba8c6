// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { Device, type Event, Tensor } from '../../lib/index.js';
import { cudaDevice, describeOnGpu, isSimulated } from '../support/cuda.js';

describeOnGpu('streams of a GPU', () => {
  const device = cudaDevice();

  it('are ordered among each other by events alone', async () => {
    using producer = device.stream();
    using consumer = device.stream();
    using a = Tensor.zeros(device, [1 << 16], 'i32');
    using b = Tensor.zeros(device, [1 << 16], 'i32');
    await device.defaultStream.synchronize();
    for (let round = 1; round <= 10; round++) {
      a.fill(round, producer);
      const written = producer.record();
      consumer.wait(written);
      b.copyFrom(a, consumer);
      producer.wait(consumer.record());
    }
    expect(new Set(await b.read(consumer))).toEqual(new Set([10]));
  });

  it('are ordered with the default stream, both ways', async () => {
    using stream = device.stream();
    using a = Tensor.empty(device, [1 << 16], 'i32');
    using b = Tensor.empty(device, [1 << 16], 'i32');
    for (let round = 1; round <= 10; round++) {
      a.fill(round);
      b.copyFrom(a, stream);
      a.fill(-round);
      a.copyFrom(b, stream);
      expect(new Set(await a.read())).toEqual(new Set([round]));
    }
  });

  it('tell when an event has been reached, and how long it took on the device', async () => {
    using stream = device.stream();
    using tensor = Tensor.empty(device, [1 << 20], 'f32');
    const start = stream.record();
    for (let i = 0; i < 5; i++) tensor.fill(i, stream);
    const end = stream.record();
    await stream.synchronize();
    expect([start.done, end.done]).toEqual([true, true]);
    expect(end.since(start)).toBeGreaterThan(0);
    expect(start.since(end)).toBeLessThan(0);
    expect(end.since(end)).toBe(0);
  });

  it('wait for events of a CPU, and it for theirs', async () => {
    using cpu = Device.cpu({ threads: 1 });
    using onCpu = Tensor.zeros(cpu, [4], 'f32');
    using onGpu = Tensor.zeros(device, [4], 'f32');
    device.defaultStream.wait(cpu.defaultStream.record());
    onGpu.fill(1);
    cpu.defaultStream.wait(device.defaultStream.record());
    onCpu.fill(2);
    expect([...(await onCpu.read()), ...(await onGpu.read())]).toEqual([2, 2, 2, 2, 1, 1, 1, 1]);
  });

  it('record captured events in every replay, for other devices too', async () => {
    using cpu = Device.cpu({ threads: 1 });
    using onGpu = Tensor.zeros(device, [1 << 16], 'f32');
    const stream = device.defaultStream;
    let event: Event | undefined;
    using list = stream.capture(() => {
      onGpu.fill(1);
      event = stream.record();
    });
    const recorded = event as Event;
    cpu.defaultStream.wait(recorded);
    await cpu.defaultStream.synchronize();
    for (let round = 0; round < 2; round++) {
      stream.replay(list);
      cpu.defaultStream.wait(recorded);
      await cpu.defaultStream.synchronize();
      expect(recorded.done).toBe(true);
    }
  });

  it('carry more than staging memory holds, in both directions', async () => {
    const count = 20 << 20; // 80 MiB through 1 MiB blocks
    const data = new Int32Array(count);
    for (let i = 0; i < count; i += 997) data[i] = i;
    using tensor = Tensor.from(device, data, [count], 'i32');
    const back = await tensor.read();
    expect(Buffer.compare(Buffer.from(back.buffer), Buffer.from(data.buffer))).toBe(0);
  });

  it('keep memory alive until they have used it, and give it back then', async () => {
    await device.defaultStream.synchronize();
    const before = device.cudaStatistics.memory.used;
    let last: Promise<Float32Array> | undefined;
    for (let i = 0; i < 50; i++) {
      using source = Tensor.full(device, [50_000], 'f32', i);
      using target = source.to('f32');
      last = target.read();
    }
    expect(new Set(await last)).toEqual(new Set([49]));
    await device.defaultStream.synchronize();
    expect(device.bytesInUse).toBe(0);
    expect(device.cudaStatistics.memory.used).toBe(before);
  });

  it('may be disposed with work under way', async () => {
    using tensor = Tensor.zeros(device, [1000], 'i32');
    await device.defaultStream.synchronize();
    const reads: Promise<Int32Array>[] = [];
    for (let i = 0; i < 10; i++) {
      const stream = device.stream();
      reads.push(tensor.read(stream));
      stream.dispose();
    }
    for (const read of reads) expect((await read).length).toBe(1000);
  });
});

describeOnGpu('the memory of a GPU', () => {
  it('has a limit that is an error with sizes', async () => {
    using device = Device.cuda(0, { memoryLimit: 1 << 20 });
    using first = Tensor.zeros(device, [200_000], 'f32');
    expect(() => Tensor.zeros(device, [100_000], 'f32')).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY', message: expect.stringMatching(/400000.*800000.*1048576/) }),
    );
    first.dispose();
    await device.defaultStream.synchronize();
    using second = Tensor.zeros(device, [100_000], 'f32');
    expect(await second.read()).toEqual(new Float32Array(100_000));
    const { memory } = device.cudaStatistics;
    expect(memory).toMatchObject({ used: 400_000, peak: 800_000, limit: 1 << 20 });
    expect(memory.reserved).toBeGreaterThanOrEqual(400_000);
  });

  it('is there again at once for whoever asks after it was given back', () => {
    // More than half of a simulated GPU each time: the block before must have gone.
    const bytes = isSimulated ? 540 << 20 : 1 << 30;
    using device = Device.cuda();
    for (let round = 0; round < 3; round++) Tensor.empty(device, [bytes], 'u8').dispose();
    expect(device.cudaStatistics.memory).toMatchObject({ used: 0, peak: bytes });
  });

  it('is smaller than some requests', () => {
    using device = Device.cuda();
    expect(() => Tensor.empty(device, [2 ** 40], 'f32')).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY', message: expect.stringMatching(/are free/) }),
    );
  });
});

describeOnGpu('devices', () => {
  it('are listed and opened by index', () => {
    const [gpu] = Device.list().filter(({ kind }) => kind === 'cuda');
    expect(gpu).toMatchObject({ index: 0, available: true, reason: null });
    using device = Device.cuda(0);
    expect(device).toMatchObject({ kind: 'cuda', index: 0, name: gpu?.name, isa: undefined });
    expect(device.capability).toBeGreaterThanOrEqual(80);
    expect(() => Device.cuda(99)).toThrow(
      expect.objectContaining({ code: 'ERR_DEVICE_UNAVAILABLE', message: expect.stringMatching(/there are only \d/) }),
    );
    expect(() => Device.cuda(-1)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    expect(() => Device.cuda(0, { memoryLimit: 0.5 })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
  });

  it('finish what was queued when they are disposed, and refuse more', async () => {
    const device = Device.cuda();
    const tensor = Tensor.full(device, [10], 'i32', 5);
    const stream = device.stream();
    const read = tensor.read();
    device.dispose();
    expect(await read).toEqual(new Int32Array(10).fill(5));
    expect(() => tensor.fill(1, stream)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
    tensor.dispose();
    stream.dispose();
  });
});
