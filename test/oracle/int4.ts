// SPDX-License-Identifier: Apache-2.0
/**
 * 4-bit checkpoints written from the formats' definitions: values rounded to codes with a scale and a zero point per group of
 * input columns, and the tensors that GPTQ, AWQ and compressed-tensors keep them in.
 */
import { f16ToNumber, numberToF16 } from '../../lib/index.js';
import { floats, integers, type StoredTensor } from '../support/safetensors-writer.js';

export type Int4Method = 'gptq' | 'gptq_v2' | 'awq' | 'compressed';

export interface Int4Options {
  method: Int4Method;
  /** Columns that share a scale; 0: all of them. */
  groupSize: number;
  symmetric: boolean;
  /** The group of each column (act-order); else columns / groupSize. */
  groupOf?: Int32Array;
}

interface Int4Weights {
  /** What the codes stand for, [n, k]. */
  values: Float32Array;
  /** By the suffix of the tensor's name. */
  tensors: Map<string, StoredTensor>;
}

/** Eight 4-bit numbers in a word, the first in the lowest bits. */
const word = (codes: readonly number[]): number => codes.reduce((sum, code, i) => sum | ((code & 15) << (4 * i)), 0);

const awqOrder = [0, 2, 4, 6, 1, 3, 5, 7];

export function encodeInt4(weights: ArrayLike<number>, n: number, k: number, options: Int4Options): Int4Weights {
  const { method, symmetric } = options;
  const groupSize = options.groupSize || k;
  const groups = k / groupSize;
  const groupOf = options.groupOf ?? Int32Array.from({ length: k }, (_, column) => Math.floor(column / groupSize));
  const scales = new Float32Array(n * groups);
  const zeros = new Uint8Array(n * groups).fill(8);
  const codes = new Uint8Array(n * k);
  const values = new Float32Array(n * k);
  for (let row = 0; row < n; row++) {
    for (let group = 0; group < groups; group++) {
      const columns = Array.from({ length: k }, (_, i) => i).filter((i) => groupOf[i] === group);
      const own = columns.map((i) => weights[row * k + i] as number);
      const [low, high] = [Math.min(0, ...own), Math.max(0, ...own)];
      const scale = f16ToNumber(numberToF16(symmetric ? Math.max(-low, high) / 7 : (high - low) / 15)) || 1;
      // A stored GPTQ zero point is one less: the smallest is 1.
      const zero = symmetric ? 8 : Math.min(15, Math.max(1, Math.round(-low / scale)));
      scales[row * groups + group] = scale;
      zeros[row * groups + group] = zero;
      for (const i of columns) {
        const code = Math.min(15, Math.max(0, Math.round((weights[row * k + i] as number) / scale) + zero));
        codes[row * k + i] = code;
        values[row * k + i] = scale * (code - zero);
      }
    }
  }
  const codeAt = (row: number, column: number): number => codes[row * k + column] as number;
  const zeroAt = (row: number, group: number): number => zeros[row * groups + group] ?? 0;
  const words = (count: number, at: (i: number) => number[]): number[] =>
    Array.from({ length: count }, (_, i) => word(at(i)));
  const eight = [0, 1, 2, 3, 4, 5, 6, 7];
  const transposed = Float32Array.from(scales, (_, i) => scales[(i % n) * groups + Math.floor(i / n)] as number);
  const tensors = new Map<string, StoredTensor>();
  if (method === 'compressed') {
    const padded = Math.ceil(n / 8);
    tensors.set(
      'weight_packed',
      integers(
        [n, k / 8],
        words((n * k) / 8, (i) => eight.map((j) => codes[8 * i + j] as number)),
      ),
    );
    tensors.set('weight_scale', floats([n, groups], scales, 'F16'));
    tensors.set('weight_shape', {
      dtype: 'I64',
      shape: [2],
      bytes: new Uint8Array(BigInt64Array.of(BigInt(n), BigInt(k)).buffer),
    });
    if (!symmetric) {
      const packed = words(padded * groups, (i) =>
        eight.map((j) => zeroAt(8 * Math.floor(i / groups) + j, i % groups)),
      );
      tensors.set('weight_zero_point', integers([padded, groups], packed));
    }
    if (options.groupOf) tensors.set('weight_g_idx', integers([k], groupOf));
    return { values, tensors };
  }
  const awq = method === 'awq';
  const order = awq ? awqOrder : eight;
  const less = method === 'gptq' ? 1 : 0;
  const qweight = awq
    ? words((k * n) / 8, (i) => order.map((j) => codeAt(8 * (i % (n / 8)) + j, Math.floor(i / (n / 8)))))
    : words((k * n) / 8, (i) => eight.map((j) => codeAt(i % n, 8 * Math.floor(i / n) + j)));
  const qzeros = words((groups * n) / 8, (i) =>
    order.map((j) => zeroAt(8 * (i % (n / 8)) + j, Math.floor(i / (n / 8))) - less),
  );
  tensors.set('qweight', integers(awq ? [k, n / 8] : [k / 8, n], qweight));
  tensors.set('qzeros', integers([groups, n / 8], qzeros));
  tensors.set('scales', floats([groups, n], transposed, 'F16'));
  if (!awq) tensors.set('g_idx', integers([k], groupOf));
  return { values, tensors };
}

/** What a folder's configuration says about such weights. */
export function quantizationConfig({ method, groupSize, symmetric, groupOf }: Int4Options): Record<string, unknown> {
  const size = groupSize || -1;
  if (method === 'compressed') {
    const weights = {
      num_bits: 4,
      type: 'int',
      symmetric,
      group_size: size,
      strategy: groupSize ? 'group' : 'channel',
    };
    return {
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
      config_groups: { group_0: { targets: ['Linear'], weights } },
    };
  }
  if (method === 'awq') return { quant_method: 'awq', bits: 4, group_size: size, zero_point: true, version: 'gemm' };
  const checkpoint_format = method;
  return {
    quant_method: 'gptq',
    bits: 4,
    group_size: size,
    desc_act: groupOf !== undefined,
    sym: symmetric,
    checkpoint_format,
  };
}
