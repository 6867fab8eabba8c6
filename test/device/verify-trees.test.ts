// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import {
  type CandidateOptions,
  Device,
  drawCandidates,
  packSampling,
  Tensor,
  type VerifyOptions,
} from '../../lib/index.js';
import { call, drawCandidatesTests, guide, inputs, readAll, trees, verifyTreesTests } from '../bodies/verify-trees.js';
import { availableIsas } from '../support/isa.js';

const isas = [...availableIsas(), 'reference' as const];

for (const isa of isas) {
  verifyTreesTests(isa, (threads) => Device.cpu({ isa, threads }));
  drawCandidatesTests(isa, (threads) => Device.cpu({ isa, threads }));
}

it('all instruction sets verify trees alike, by every rule', async () => {
  const data = inputs(9);
  guide(data);
  const rules: Partial<VerifyOptions & { sampled: 'independent' | 'distinct' }>[] = [
    { sampled: 'independent' },
    { sampled: 'distinct' },
    {},
    { sampled: 'independent', rule: 'k-seq' },
    { rule: { kind: 'typical' } },
  ];
  for (const options of rules) {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const results = [];
      for (const isa of isas) {
        using device = Device.cpu({ isa, threads: 2 });
        results.push(await readAll(call(device, data, { temperature: 1.2, topP: 0.97, seed, ...options })));
      }
      for (const result of results) expect(result).toEqual(results[0]);
      for (const length of results[0]?.accepted ?? []) lengths.add(length);
    }
    expect(lengths.size).toBeGreaterThan(1);
  }
});

it('verify names what is wrong with trees and rules', () => {
  using device = Device.cpu({ threads: 1 });
  const data = inputs(1);
  const code = (options: Parameters<typeof call>[2]): unknown => {
    try {
      call(device, data, options);
    } catch (error) {
      return (error as { code: string }).code;
    }
    return undefined;
  };
  expect(code({ parents: trees.slice(1) })).toBe('ERR_SHAPE_MISMATCH');
  expect(code({ parents: trees.map((tree) => tree.slice(1)) })).toBe('ERR_SHAPE_MISMATCH');
  expect(code({ parents: trees.map((tree) => tree.map((_, i) => i)) })).toBe('ERR_INVALID_ARGUMENT');
  expect(code({ rule: 'block' })).toBe('ERR_UNSUPPORTED');
  expect(code({ rule: 'k-seq' })).toBe('ERR_UNSUPPORTED');
  expect(code({ rule: 'k-seq', sampled: 'distinct' })).toBe('ERR_UNSUPPORTED');
  expect(code({ rule: 'typical' as never })).toBe('ERR_INVALID_ARGUMENT');
  expect(code({ rule: { kind: 'threshold', probability: 2 } })).toBe('ERR_INVALID_ARGUMENT');
  expect(code({ rule: { kind: 'typical', delta: -1 } })).toBe('ERR_INVALID_ARGUMENT');
});

it('drawCandidates names what is wrong', () => {
  using device = Device.cpu({ threads: 1 });
  const logits = Tensor.zeros(device, [2, 10], 'f32');
  const code = (options: Partial<CandidateOptions>): unknown => {
    try {
      drawCandidates(device.defaultStream, { logits, count: 2, kind: 'top', ...options });
    } catch (error) {
      return (error as { code: string }).code;
    }
    return undefined;
  };
  expect(code({})).toBeUndefined();
  expect(code({ count: 65 })).toBe('ERR_INVALID_ARGUMENT');
  expect(code({ kind: 'best' as never })).toBe('ERR_INVALID_ARGUMENT');
  expect(code({ keys: true })).toBe('ERR_UNSUPPORTED');
  expect(code({ branches: Tensor.zeros(device, [3], 'i32') })).toBe('ERR_SHAPE_MISMATCH');
  expect(code({ parameters: packSampling(device.defaultStream, 3, {}) })).toBe('ERR_SHAPE_MISMATCH');
});
