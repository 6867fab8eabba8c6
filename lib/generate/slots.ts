// SPDX-License-Identifier: Apache-2.0
import type { Stream } from '../tensor/stream.js';
import { Tensor } from '../tensor/tensor.js';

/** Generations of a bank. */
const bankSize = 32;
/** Columns of the table of {@link packSampling}. */
const parameterColumns = 8;

/**
 * What the generations of a model keep on the device side by side, so that one command reads or writes it for many: the token
 * drawn last, and how they sample.
 */
class Bank implements Disposable {
  readonly taken: boolean[] = new Array(bankSize).fill(false);
  readonly #last: Tensor<'i32'>;
  readonly #parameters: Tensor<'f32'>;
  readonly #seeds: Tensor<'i64'>;
  /** Views, which are asked for again and again. */
  readonly #views = new Map<string, Tensor>();

  constructor(stream: Stream) {
    const { device } = stream;
    this.#last = Tensor.empty(device, [bankSize], 'i32');
    this.#parameters = Tensor.empty(device, [bankSize, parameterColumns], 'f32');
    this.#seeds = Tensor.empty(device, [bankSize], 'i64');
    this.#last.fill(0, stream);
  }

  last(begin: number, end: number): Tensor<'i32'> {
    return this.#view('last', this.#last, begin, end);
  }

  parameters(begin: number, end: number): Tensor<'f32'> {
    return this.#view('parameters', this.#parameters, begin, end);
  }

  seeds(begin: number, end: number): Tensor<'i64'> {
    return this.#view('seeds', this.#seeds, begin, end);
  }

  dispose(): void {
    for (const view of this.#views.values()) view.dispose();
    for (const tensor of [this.#last, this.#parameters, this.#seeds]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #view<T extends Tensor>(name: string, whole: T, begin: number, end: number): T {
    const key = `${name} ${begin} ${end}`;
    let view = this.#views.get(key);
    if (!view) {
      view = whole.slice(0, begin, end);
      this.#views.set(key, view);
    }
    return view as T;
  }
}

/** A generation's place in a bank. */
export interface Slot {
  readonly bank: Bank;
  readonly index: number;
}

/** Slots for any number of generations. */
export class Slots implements Disposable {
  readonly #stream: Stream;
  readonly #banks: Bank[] = [];

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** The first one that is free, so that those in use lie side by side. */
  acquire(): Slot {
    const bank = this.#banks.find(({ taken }) => taken.includes(false)) ?? this.#addBank();
    const index = bank.taken.indexOf(false);
    bank.taken[index] = true;
    return { bank, index };
  }

  release({ bank, index }: Slot): void {
    bank.taken[index] = false;
  }

  /** Where a slot comes in the order in which runs are found. */
  order({ bank, index }: Slot): number {
    return this.#banks.indexOf(bank) * bankSize + index;
  }

  dispose(): void {
    for (const bank of this.#banks) bank.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #addBank(): Bank {
    const bank = new Bank(this.#stream);
    this.#banks.push(bank);
    return bank;
  }
}

/** Elements `begin` to `end` of a list whose slots lie side by side. */
export interface Run {
  begin: number;
  end: number;
  slot: Slot;
}

/**
 * Cuts a list into runs of neighbouring slots.
 * @param together may these neighbours be in one run?
 */
export function runsOf<T extends { readonly slot: Slot }>(
  items: readonly T[],
  together: (a: T, b: T) => boolean = () => true,
): Run[] {
  const runs: Run[] = [];
  for (const [i, item] of items.entries()) {
    const run = runs.at(-1);
    const before = items[i - 1];
    const follows = before?.slot.bank === item.slot.bank && before.slot.index + 1 === item.slot.index;
    if (run && before && follows && together(before, item)) run.end = i + 1;
    else runs.push({ begin: i, end: i + 1, slot: item.slot });
  }
  return runs;
}
