// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/**
 * A process under measurement, kept alive so that runs can be interleaved: a JSON request a line on its stdin, a JSON answer a
 * line on its stdout.
 */
export class Child {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  /** @param command what to run, such as `[process.execPath, 'runner.mjs', '1']` */
  constructor(command: readonly string[], cwd?: string) {
    const [file, ...args] = command as [string, ...string[]];
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'], ...(cwd ? { cwd } : {}) });
    const output = this.#child.stdout;
    if (!output) throw new Error('the process has no standard output');
    this.#answers = createInterface({ input: output })[Symbol.asyncIterator]();
  }

  async ask<T>(request: { op: string } & Record<string, unknown>): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    const answer = await this.#answers.next();
    if (answer.done) throw new Error(`the process ended (exit code ${this.#child.exitCode})`);
    return JSON.parse(answer.value) as T;
  }

  close(): void {
    this.#child.stdin?.end(`${JSON.stringify({ op: 'exit' })}\n`);
  }
}
