// SPDX-License-Identifier: Apache-2.0
/** What bench/model/compare.ts asks the libraries that it compares. A runner is started as `node RUNNER model.gguf THREADS CONTEXT`. */
import { Child } from '../support/child.js';

export interface RunnerInfo {
  name: string;
  /** From the start of loading to ready. */
  loadMilliseconds: number;
  /** Resident bytes now. */
  rss: number;
}

export interface Greedy {
  tokens: number[];
  /** Of each token since the one before; the first includes the prompt. */
  milliseconds: number[];
}

/** One library under measurement. */
export class Runner extends Child {
  info(): Promise<RunnerInfo> {
    return this.ask({ op: 'info' });
  }

  /** Greedy tokens after the prompt `ids` in an empty context. */
  greedy(ids: readonly number[], count: number): Promise<Greedy> {
    return this.ask({ op: 'greedy', ids, count });
  }

  /** Time to process the prompt `ids` in an empty context. */
  prefill(ids: readonly number[]): Promise<{ milliseconds: number }> {
    return this.ask({ op: 'prefill', ids });
  }
}
