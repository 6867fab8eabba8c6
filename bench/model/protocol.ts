// SPDX-License-Identifier: Apache-2.0
/**
 * How bench/model/compare.ts talks to the libraries that it compares: one child process each, kept alive so that runs can be
 * interleaved, a JSON request a line on its stdin and a JSON answer a line on its stdout. A runner is started as
 * `node RUNNER model.gguf THREADS CONTEXT`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

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
export class Runner {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  /** @param command what to run, such as `[process.execPath, 'runner.mjs', 'model.gguf', '1', '1024']` */
  constructor(command: readonly string[], cwd?: string) {
    const [file, ...args] = command as [string, ...string[]];
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'], ...(cwd ? { cwd } : {}) });
    const output = this.#child.stdout;
    if (!output) throw new Error('the runner has no standard output');
    this.#answers = createInterface({ input: output })[Symbol.asyncIterator]();
  }

  info(): Promise<RunnerInfo> {
    return this.#ask({ op: 'info' });
  }

  /** Greedy tokens after the prompt `ids` in an empty context. */
  greedy(ids: readonly number[], count: number): Promise<Greedy> {
    return this.#ask({ op: 'greedy', ids, count });
  }

  /** Time to process the prompt `ids` in an empty context. */
  prefill(ids: readonly number[]): Promise<{ milliseconds: number }> {
    return this.#ask({ op: 'prefill', ids });
  }

  close(): void {
    this.#child.stdin?.end(`${JSON.stringify({ op: 'exit' })}\n`);
  }

  async #ask<T>(request: object): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    const answer = await this.#answers.next();
    if (answer.done) throw new Error(`the runner ended (exit code ${this.#child.exitCode})`);
    return JSON.parse(answer.value) as T;
  }
}
