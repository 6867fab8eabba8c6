// SPDX-License-Identifier: Apache-2.0

/** Rows of a step that several drafters share; so few that attention treats each row as in a step of its own. */
const mostRows = 64;
/** A drafter that has more rows than this for a step gains nothing by company. */
const mostOwnRows = 16;

/** A drafter's part in a step. */
export interface JointRows {
  readonly count: number;
  /** Enqueues what reads its results, which are valid until it returns. */
  use(...results: never[]): unknown;
}

/** Rows that wait for their step. */
interface Waiting<R> {
  readonly rows: R;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Lets the drafter of a part enqueue what reads its results, and have what that returns. */
export type Show = (part: number, use: () => unknown) => void;

/**
 * Drafters of several generations that draft with the same weights at the same time take steps together, one per level of their
 * drafts: the weights are read once for all. They gather when the step that verified their last drafts has arrived, and wait for each
 * other at each level; whoever comes later joins at the next one. A drafter that is alone waits for nobody.
 *
 * Rows do not depend on each other, so that what one drafts does not depend on its company.
 */
export abstract class JointSteps<R extends JointRows> {
  readonly #members = new Set<JointMember<R>>();
  /** Has a first one begun to draft, so that others may be about to? */
  #gathering: NodeJS.Immediate | undefined;

  /** Rows of one step, at most. */
  protected get mostRows(): number {
    return mostRows;
  }

  /** Rows with the same key may share a step. */
  protected abstract keyOf(rows: R): unknown;

  /** Makes room for rows. False: they are to have no part in a step. */
  protected admits(_rows: R): boolean {
    return true;
  }

  /**
   * Enqueues one step over all of these, and lets each of them enqueue what reads its results.
   * @throws whatever kept the step from being enqueued; all is as before then
   */
  protected abstract enqueue(parts: readonly R[], show: Show): void;

  /** Frees what rows hold, when their step has been enqueued or will not be. @internal */
  release(_rows: R): void {}

  /** A place among those who draft with these weights, for the time of a generation. */
  join(): JointMember<R> {
    const member = new JointMember<R>(this);
    this.#members.add(member);
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

  /** Takes the steps that all who draft are waiting for, once they are. @internal */
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
  leave(member: JointMember<R>): void {
    this.#members.delete(member);
    this.advance();
  }

  /** Enqueues a step for all of these, and what reads it. @internal */
  step(requests: readonly Waiting<R>[]): void {
    const admitted = requests.filter((request) => this.#isAdmitted(request));
    const results = new Array<unknown>(admitted.length);
    const show: Show = (part, use) => {
      try {
        results[part] = use();
      } catch (error) {
        admitted[part]?.reject(error);
      }
    };
    try {
      const parts = admitted.map(({ rows }) => rows);
      if (parts.length > 0) this.enqueue(parts, show);
    } catch (error) {
      for (const { reject } of admitted) reject(error);
    } finally {
      for (const { rows } of requests) this.release(rows);
    }
    // Those that share a step have what they read of it at the same time, so that they stay together.
    void Promise.allSettled(results).then(() => {
      for (const [part, { resolve }] of admitted.entries()) resolve(results[part]);
    });
  }

  get #drafting(): JointMember<R>[] {
    return [...this.#members].filter(({ isDrafting }) => isDrafting);
  }

  #isAdmitted({ rows, resolve, reject }: Waiting<R>): boolean {
    try {
      if (this.admits(rows)) return true;
      resolve(undefined);
    } catch (error) {
      reject(error);
    }
    return false;
  }

  /** Those that one step is for and has room for, in order. */
  #groups(requests: readonly Waiting<R>[]): Waiting<R>[][] {
    const groups: Waiting<R>[][] = [];
    const open = new Map<unknown, { group: Waiting<R>[]; rows: number }>();
    for (const request of requests) {
      const { count } = request.rows;
      const key = this.keyOf(request.rows);
      const last = open.get(key);
      if (last && last.rows + count <= this.mostRows) {
        last.group.push(request);
        last.rows += count;
      } else {
        const group = [request];
        groups.push(group);
        open.set(key, { group, rows: count });
      }
    }
    return groups;
  }
}

/** A drafter's place in the {@link JointSteps} of its weights. */
export class JointMember<R extends JointRows> implements Disposable {
  readonly #steps: JointSteps<R>;
  #isDrafting = false;
  #isClosed = false;
  #waiting: Waiting<R> | undefined;

  /** @internal Use {@link JointSteps.join}. */
  constructor(steps: JointSteps<R>) {
    this.#steps = steps;
  }

  get isDrafting(): boolean {
    return this.#isDrafting;
  }

  /** The rows that it wants a step for. */
  get waiting(): Waiting<R> | undefined {
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
   * @returns what `use` has returned; undefined where there is no room for the rows, or the drafter has been reset
   */
  step<Q extends R>(rows: Q): Promise<Awaited<ReturnType<Q['use']>> | undefined> {
    if (this.#isClosed) {
      this.#steps.release(rows);
      return Promise.resolve(undefined);
    }
    const result = new Promise<unknown>((resolve, reject) => {
      this.#waiting = { rows, resolve, reject };
    });
    if (rows.count > mostOwnRows) this.#steps.step([this.take()]);
    else this.#steps.advance();
    return result as Promise<Awaited<ReturnType<Q['use']>> | undefined>;
  }

  /** @internal */
  take(): Waiting<R> {
    const waiting = this.#waiting as Waiting<R>;
    this.#waiting = undefined;
    return waiting;
  }

  dispose(): void {
    if (this.#waiting) {
      const { rows, resolve } = this.take();
      this.#steps.release(rows);
      resolve(undefined);
    }
    this.#isDrafting = false;
    this.#isClosed = true;
    this.#steps.leave(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
