// SPDX-License-Identifier: Apache-2.0
/** Examples are code that readers run. */
import { expect, it, vi } from 'vitest';
import { modelPath } from '../support/models.js';

it('examples/speculative.ts shows every drafter, and none changes the text', async (context) => {
  const [target, draft] = ['target-Q4_0.gguf', 'draft-Q4_0.gguf'].map((file) => modelPath('demo', file));
  if (!target || !draft) return context.skip();
  const printed: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...parts) => void printed.push(parts.join(' ')));
  const { argv } = process;
  process.argv = [...argv.slice(0, 2), target, draft];
  try {
    await import('../../examples/speculative.js');
  } finally {
    process.argv = argv;
    log.mockRestore();
  }
  const lines = printed.filter((line) => /tokens per step, \d+ of \d+ guesses right/.test(line));
  expect(lines.length).toBe(10);
  expect(printed.join('\n')).not.toContain('another text');
  const rates = lines.map((line) => Number(/([\d.]+) tokens per step/.exec(line)?.[1]));
  expect(rates[0]).toBe(1);
  expect(Math.max(...rates)).toBeGreaterThan(1.3);
  expect(printed.at(-1)).toMatch(/at temperature 0.8: ".+"/);
});
