// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { Tensor } from '../../lib/index.js';
import { cudaDevice, describeOnGpu } from '../support/cuda.js';

describeOnGpu('command lists on a GPU', () => {
  const device = cudaDevice();

  it('are captured by the first replay, and launched as one graph from then on', async () => {
    using stream = device.stream();
    using input = Tensor.zeros(device, [64], 'i32');
    using middle = Tensor.zeros(device, [64], 'i32');
    using output = Tensor.zeros(device, [64], 'i32');
    await device.defaultStream.synchronize();
    const before = device.cudaStatistics.launches;
    using list = stream.capture(() => {
      middle.copyFrom(input, stream);
      output.copyFrom(middle, stream);
      input.fill(-1, stream);
    });
    for (let round = 1; round <= 5; round++) {
      input.fill(round, stream);
      stream.replay(list);
      expect(new Set(await output.read(stream))).toEqual(new Set([round]));
      expect(new Set(await input.read(stream))).toEqual(new Set([-1]));
    }
    const after = device.cudaStatistics.launches;
    expect(after.graphCaptures - before.graphCaptures).toBe(1);
    expect(after.graphLaunches - before.graphLaunches).toBe(5);
  });

  it('write the same data in every replay', async () => {
    using stream = device.stream();
    using tensor = Tensor.zeros(device, [3], 'f32');
    await device.defaultStream.synchronize();
    const data = Float32Array.of(1, 2, 3);
    using list = stream.capture(() => tensor.write(data, stream));
    data.fill(9);
    for (let round = 0; round < 3; round++) {
      tensor.fill(0, stream);
      stream.replay(list);
      expect(await tensor.read(stream)).toEqual(Float32Array.of(1, 2, 3));
    }
  });

  it('may be replayed on several streams, one replay after the other', async () => {
    using a = device.stream();
    using b = device.stream();
    using source = Tensor.full(device, [4096], 'i32', 1);
    using target = Tensor.zeros(device, [4096], 'i32');
    await device.defaultStream.synchronize();
    using list = a.capture(() => {
      target.copyFrom(source, a);
      source.write(new Int32Array(4096).fill(7), a);
    });
    a.replay(list);
    b.wait(a.record());
    b.replay(list);
    expect(new Set(await target.read(b))).toEqual(new Set([7]));
  });

  it('with events in them run command by command', async () => {
    using stream = device.stream();
    using other = device.stream();
    using tensor = Tensor.zeros(device, [16], 'i32');
    await device.defaultStream.synchronize();
    const before = device.cudaStatistics.launches.graphLaunches;
    let event: ReturnType<typeof stream.record> | undefined;
    using list = stream.capture(() => {
      tensor.fill(4, stream);
      event = stream.record();
    });
    stream.replay(list);
    other.wait(event as NonNullable<typeof event>);
    expect(new Set(await tensor.read(other))).toEqual(new Set([4]));
    expect(device.cudaStatistics.launches.graphLaunches).toBe(before);
  });

  it('outlive their tensors, their stream and their device', async () => {
    const stream = device.stream();
    const tensor = Tensor.zeros(device, [1 << 18], 'f32');
    await device.defaultStream.synchronize();
    const list = stream.capture(() => tensor.fill(1, stream));
    for (let i = 0; i < 10; i++) stream.replay(list);
    tensor.dispose();
    list.dispose();
    stream.dispose();
    await device.defaultStream.synchronize();
    expect(() => stream.replay(list)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
  });
});
