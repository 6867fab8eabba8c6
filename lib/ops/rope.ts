// SPDX-License-Identifier: Apache-2.0
import { checkObject, invalidArgument, shapeMismatch } from '../errors.js';
import { native } from '../native.js';
import type { FloatDType } from '../tensor/dtype.js';
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';
import { checkFloat, checkFloatOutput, checkNumber, checkShape, checkTensor } from './check.js';

export interface RopeTableOptions {
  /** [rows]: position of each row in its sequence. */
  positions: Tensor<'i32' | 'i64'>;
  /** [2, rotaryDim / 2], from {@link ropeFrequencyTensor}. */
  frequencies: Tensor<'f32'>;
  /** Factor on cos and sin, `RopeFrequencies.magnitude`. Default 1. */
  magnitude?: number;
  /** [rows, rotaryDim]. Default: a new tensor. */
  out?: Tensor<'f32'>;
}

/**
 * Cosines and sines of the rows of a step, computed once and used by {@link rope} in every layer. Angles are formed and
 * reduced in float64.
 * @returns `out`, [rows, rotaryDim]: cosines in the first half of a row, sines in the second
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function ropeTable(stream: Stream, options: RopeTableOptions): Tensor<'f32'> {
  checkObject('options', options);
  const { positions, frequencies, magnitude = 1 } = options;
  checkTensor('positions', positions, stream, ['i32', 'i64']);
  checkShape('positions', positions, ['rows'], 'one position per row');
  checkTensor('frequencies', frequencies, stream, ['f32']);
  checkShape('frequencies', frequencies, [2, 'rotaryDim / 2'], 'it comes from ropeFrequencyTensor');
  if (!frequencies.isContiguous) throw invalidArgument('frequencies', 'a strided view', 'contiguous');
  checkNumber('magnitude', magnitude, 'a number above 0', (n) => n > 0);
  const shape = [positions.shape[0] as number, 2 * (frequencies.shape[1] as number)];
  if (options.out) {
    checkTensor('out', options.out, stream, ['f32']);
    checkFloatOutput('out', options.out, stream);
    checkShape('out', options.out, shape, 'one row of cosines and sines per position');
  }
  const out = options.out ?? Tensor.empty(stream.device, shape, 'f32');
  native().ropeTable(stream.native, positions.native, frequencies.native, out.native, magnitude);
  return out;
}

/**
 * Which two elements of a head are rotated together: neighbours (RoFormer, Meta's Llama, Llama tensors in GGUF files), or
 * element i of the first half with element i of the second (GPT-NeoX, Hugging Face checkpoints, Qwen).
 */
export type RopePairing = 'interleaved' | 'halves';

/** pw_rope_pairing */
const pairings: Record<RopePairing, number> = { interleaved: 0, halves: 1 };

/** pw_rope_pairing. @throws PagewarpError ERR_INVALID_ARGUMENT */
export function pairingCode(pairing: RopePairing): number {
  if (!Object.hasOwn(pairings, pairing)) throw invalidArgument('pairing', pairing, "'interleaved' or 'halves'");
  return pairings[pairing];
}

/** A table of `rows` rows that turns (part of) heads of `headDim` elements. @throws PagewarpError */
export function checkRopeTable(stream: Stream, table: Tensor<'f32'>, rows: number, headDim: number): void {
  checkTensor('table', table, stream, ['f32']);
  checkFloat('table', table, stream);
  checkShape('table', table, [rows, 'rotaryDim'], 'one row of cosines and sines per row of q');
  const rotaryDim = table.shape[1] as number;
  if (rotaryDim % 2 !== 0 || rotaryDim > headDim) {
    throw shapeMismatch('table', table.shape, [rows, `even, at most ${headDim}`], 'it rotates part of each head');
  }
}

export interface RopeOptions {
  /** [rows, heads, headDim]; may be a view into a fused projection. */
  q: Tensor<FloatDType>;
  /** [rows, kvHeads, headDim]. */
  k?: Tensor<FloatDType>;
  /** [rows, rotaryDim], from {@link ropeTable}. */
  table: Tensor<'f32'>;
  pairing: RopePairing;
  /** Where the rotated queries go. Default: in place. */
  qOut?: Tensor<FloatDType>;
  /** Where the rotated keys go. Default: in place. */
  kOut?: Tensor<FloatDType>;
}

/**
 * Rotary position embedding (Su et al., "RoFormer", 2021) of queries and keys, over the first rotaryDim elements of each
 * head; the rest pass unchanged.
 * @returns the rotated tensors: `q` and `k` themselves unless other outputs were given
 * @throws PagewarpError ERR_SHAPE_MISMATCH, ERR_UNSUPPORTED, ERR_INVALID_ARGUMENT, ERR_DISPOSED
 */
export function rope(
  stream: Stream,
  options: RopeOptions,
): { q: Tensor<FloatDType>; k: Tensor<FloatDType> | undefined } {
  checkObject('options', options);
  const { q, k, table, pairing } = options;
  const qOut = options.qOut ?? q;
  const kOut = (k && options.kOut) ?? k;
  const code = pairingCode(pairing);
  if (!k && options.kOut) throw invalidArgument('kOut', 'given', 'absent without k');
  checkFloat('q', q, stream);
  checkShape('q', q, ['rows', 'heads', 'headDim'], 'queries by row and head');
  checkFloatOutput('qOut', qOut, stream);
  checkShape('qOut', qOut, q.shape, 'it must have the shape of q');
  const [rows, , headDim] = q.shape as [number, number, number];
  if (k && kOut !== undefined) {
    checkFloat('k', k, stream);
    checkShape('k', k, [rows, 'kvHeads', headDim], 'keys have the rows and the head size of the queries');
    checkFloatOutput('kOut', kOut, stream);
    checkShape('kOut', kOut, k.shape, 'it must have the shape of k');
  }
  checkRopeTable(stream, table, rows, headDim);
  native().rope(stream.native, q.native, qOut.native, k?.native ?? null, kOut?.native ?? null, table.native, code);
  return { q: qOut, k: kOut };
}
