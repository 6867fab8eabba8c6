// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ProgressBar } from '../../lib/cli/terminal.js';

describe('the progress bar', () => {
  const { isTTY } = process.stderr;
  afterEach(() => {
    vi.restoreAllMocks();
    process.stderr.isTTY = isTTY;
  });

  /** What it writes in the course of a load. */
  function written(isTerminal: boolean): string[] {
    process.stderr.isTTY = isTerminal;
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    {
      using bar = new ProgressBar();
      for (const done of [0, 50, 50, 100]) bar.show('loading', done, 100, `${done} of 100`);
    }
    return write.mock.calls.map(([text]) => String(text));
  }

  it('grows in place on a terminal, and is gone at the end', () => {
    const [none, half, full, end, ...others] = written(true);
    expect(none).toBe(`\r\u001b[Kloading [${'.'.repeat(30)}] 0 of 100`);
    expect(half).toBe(`\r\u001b[Kloading [${'#'.repeat(15)}${'.'.repeat(15)}] 50 of 100`);
    expect(full).toBe(`\r\u001b[Kloading [${'#'.repeat(30)}] 100 of 100`);
    expect(end).toBe('\r\u001b[K');
    expect(others).toEqual([]);
  });

  it('is nothing where stderr is a file or a pipe', () => {
    expect(written(false)).toEqual([]);
  });
});
