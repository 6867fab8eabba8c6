// SPDX-License-Identifier: Apache-2.0
import { PagewarpError } from '../errors.js';
import type { KvSequence } from '../kv/sequence.js';
import type { LlamaRunner } from '../model/llama.js';
import type { StepOptions } from '../model/step.js';
import { joinTokens, type TokenPart } from '../model/tokens.js';
import { type VisibleRows, visibleBits } from '../ops/visiblerows.js';
import { Tensor } from '../tensor/tensor.js';

/** Rows of a step that several drafters share; so few that attention treats each row as in a step of its own. */
const mostRows = 64;
/** A drafter that has more rows than this for a step gains nothing by company. */
const mostOwnRows = 16;

/** A drafter's part in a step of its model. */
export interface DraftRows<T> {
  readonly kv: KvSequence;
  /** The rows' tokens, which become the sequence's last ones with the step. */
  readonly ids: TokenPart;
  readonly count: number;
  /** Logits are wanted of so many last rows. */
  readonly outputs: number;
  /** Where the rows are nodes of a tree: their positions, and what each sees. */
  readonly positions?: Int32Array | undefined;
  readonly visible?: VisibleRows['rows'] | undefined;
  /** What an EAGLE head wants besides. The step disposes `inputs`. */
  readonly head?: Pick<StepOptions, 'features' | 'inputs'> | undefined;
  /**
   * Enqueues what reads the step.
   * @param logits [outputs, vocabulary], and
   * @param features [outputs, dim], if they are wanted: valid until `use` returns
   */
  use(logits: Tensor<'f32'>, features: Tensor<'f32'> | undefined): T;
}

/** Rows that wait for their step. */
interface Waiting {
  readonly rows: DraftRows<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

interface StepOutputs {
  logits: Tensor<'f32'>;
  features: Tensor<'f32'> | undefined;
}

/**
 * Drafters of several generations that draft with one model at the same time take its steps together, one per level of their
 * drafts: its weights are read once for all. They gather when the step that verified their last drafts has arrived, and wait for each
 * other at each level; whoever comes later joins at the next one. A drafter that is alone waits for nobody.
 *
 * Rows do not depend on each other, so that what one drafts does not depend on its company.
 */
export class JointSteps {
  static readonly #ofRunner = new WeakMap<LlamaRunner, JointSteps>();
  readonly #runner: LlamaRunner;
  readonly #members = new Set<JointMember>();
  /** Has a first one begun to draft, so that others may be about to? */
  #gathering: NodeJS.Immediate | undefined;

  private constructor(runner: LlamaRunner) {
    this.#runner = runner;
  }

  /** A place among those who draft with this model, for the time of a generation. */
  static join(runner: LlamaRunner): JointMember {
    let steps = JointSteps.#ofRunner.get(runner);
    if (!steps) {
      steps = new JointSteps(runner);
      JointSteps.#ofRunner.set(runner, steps);
    }
    const member: JointMember = new JointMember(steps);
    steps.#members.add(member);
    return member;
  }

  /** @internal */
  began(): void {
    if (this.#gathering || this.#drafting.length > 1 || this.#members.size === 1) return;
    this.#gathering = setImmediate(() => {
      this.#gathering = undefined;
      this.advance();
    });
  }

  /** Takes the step that all who draft are waiting for, once they are. @internal */
  advance(): void {
    const drafting = this.#drafting;
    if (this.#gathering && drafting.length < this.#members.size) return;
    if (drafting.length === 0 || drafting.some(({ waiting }) => !waiting)) return;
    clearImmediate(this.#gathering);
    this.#gathering = undefined;
    const requests = drafting.map((member) => member.take());
    for (const group of this.#groups(requests)) this.step(group);
  }

  /** @internal */
  leave(member: JointMember): void {
    this.#members.delete(member);
    this.advance();
  }

  /** Enqueues a step for all of these, and what reads it. @internal */
  step(requests: readonly Waiting[]): void {
    const reserved = requests.filter((request) => this.#reserve(request));
    const parts = reserved.map(({ rows }) => rows);
    let step: StepOutputs | undefined;
    try {
      step = parts.length > 0 ? this.#forward(parts) : undefined;
    } catch (error) {
      for (const { kv, count } of parts) if (!kv.isDisposed && !kv.cache.isDisposed) kv.truncate(kv.length - count);
      for (const { reject } of reserved) reject(error);
    } finally {
      for (const { rows } of requests) rows.head?.inputs?.dispose();
    }
    if (step) this.#show(reserved, step);
  }

  get #drafting(): JointMember[] {
    return [...this.#members].filter(({ isDrafting }) => isDrafting);
  }

  /** Lets each of those who share a step enqueue what reads it. */
  #show(reserved: readonly Waiting[], step: StepOutputs): void {
    const isAlone = reserved.length === 1;
    let end = 0;
    for (const { rows, resolve, reject } of reserved) {
      end += rows.count;
      const last = isAlone ? rows.outputs : end;
      using logits = step.logits.slice(0, last - rows.outputs, last);
      using features = step.features?.slice(0, end - rows.outputs, end);
      try {
        resolve(rows.use(logits, features));
      } catch (error) {
        reject(error);
      }
    }
  }

  /** Those that one step has room for, in order. */
  #groups(requests: readonly Waiting[]): Waiting[][] {
    const most = Math.min(mostRows, this.#runner.maxRows, this.#runner.maxOutputs);
    const groups: Waiting[][] = [];
    let rows = most;
    for (const request of requests) {
      rows += request.rows.count;
      if (rows > most) {
        groups.push([]);
        rows = request.rows.count;
      }
      groups.at(-1)?.push(request);
    }
    return groups;
  }

  /** Makes room for a drafter's rows. One that gets none, or has been reset, has no part in the step. */
  #reserve({ rows, resolve, reject }: Waiting): boolean {
    try {
      if (!rows.kv.isDisposed) {
        rows.kv.reserve(rows.count, this.#runner.stream);
        return true;
      }
      resolve(undefined);
    } catch (error) {
      if (error instanceof PagewarpError && error.code === 'ERR_CACHE_EXHAUSTED') resolve(undefined);
      else reject(error);
    }
    return false;
  }

  #forward(parts: readonly DraftRows<unknown>[]): StepOutputs {
    const runner = this.#runner;
    const batch = runner.cache.batch(parts.map(({ kv, count }) => ({ sequence: kv, queryLength: count })));
    const [first] = parts as [DraftRows<unknown>];
    // The logits of some rows that nobody reads cost less than steps of which each has others.
    const outputs = parts.length === 1 ? first.outputs : batch.rows;
    const { tokens, owned } = joinTokens(
      runner.stream,
      parts.map(({ ids }) => ids),
    );
    const inputs = this.#inputs(parts, batch.rows);
    try {
      const options: StepOptions = { ...treeOptions(parts, batch.positions), ...inputs };
      const logits = runner.forward(batch, tokens, outputs, options);
      return { logits, features: options.features ? runner.features(batch.rows) : undefined };
    } finally {
      owned?.dispose();
      if (parts.length > 1) inputs.inputs?.dispose();
    }
  }

  #inputs(parts: readonly DraftRows<unknown>[], rows: number): Pick<StepOptions, 'features' | 'inputs'> {
    const [first] = parts;
    if (parts.length === 1 || !first?.head?.inputs) return first?.head ?? {};
    const { stream, config } = this.#runner;
    const inputs = Tensor.empty(stream.device, [rows, config.dim], 'f32');
    let begin = 0;
    for (const { count, head } of parts) {
      using place = inputs.slice(0, begin, begin + count);
      place.copyFrom(head?.inputs as Tensor<'f32'>, stream);
      begin += count;
    }
    return { ...first.head, inputs };
  }
}

/** A drafter's place in the {@link JointSteps} of its model. */
export class JointMember implements Disposable {
  readonly #steps: JointSteps;
  #isDrafting = false;
  #isClosed = false;
  #waiting: Waiting | undefined;

  /** @internal Use {@link JointSteps.join}. */
  constructor(steps: JointSteps) {
    this.#steps = steps;
  }

  get isDrafting(): boolean {
    return this.#isDrafting;
  }

  /** The rows that it wants a step for. */
  get waiting(): Waiting | undefined {
    return this.#waiting;
  }

  /** Makes a draft, in company with others that do. */
  async draft<T>(make: () => Promise<T>): Promise<T> {
    this.#isDrafting = !this.#isClosed;
    this.#steps.began();
    try {
      return await make();
    } finally {
      this.#isDrafting = false;
      this.#steps.advance();
    }
  }

  /**
   * A step over some rows, within {@link draft}.
   * @returns what `use` has returned; undefined where the cache has no room for the rows, or the drafter has been reset
   */
  step<T>(rows: DraftRows<T>): Promise<Awaited<T> | undefined> {
    if (this.#isClosed) {
      rows.head?.inputs?.dispose();
      return Promise.resolve(undefined);
    }
    const result = new Promise<T | undefined>((resolve, reject) => {
      this.#waiting = { rows, resolve: resolve as (value: unknown) => void, reject };
    });
    if (rows.count > mostOwnRows) this.#steps.step([this.take()]);
    else this.#steps.advance();
    return result as Promise<Awaited<T> | undefined>;
  }

  /** @internal */
  take(): Waiting {
    const waiting = this.#waiting as Waiting;
    this.#waiting = undefined;
    return waiting;
  }

  dispose(): void {
    this.#waiting?.rows.head?.inputs?.dispose();
    this.#waiting?.resolve(undefined);
    this.#waiting = undefined;
    this.#isDrafting = false;
    this.#isClosed = true;
    this.#steps.leave(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** How rows that are nodes of trees differ from the next tokens, beside which there may be some of these. */
function treeOptions(
  parts: readonly DraftRows<unknown>[],
  consecutive: Int32Array,
): Pick<StepOptions, 'positions' | 'mask'> {
  if (parts.every(({ visible }) => !visible)) return {};
  const positions = Int32Array.from(consecutive);
  let row = 0;
  const sequences = parts.map(({ kv: { length: keys }, count, positions: own, visible }): VisibleRows => {
    if (own) positions.set(own, row);
    row += count;
    const causal = Array.from({ length: count }, (_, i) => ({ prefix: keys - count + i + 1, others: [] }));
    return { keys, rows: visible ?? causal };
  });
  return { positions, mask: visibleBits(sequences) };
}
