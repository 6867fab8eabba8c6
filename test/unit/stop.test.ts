// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { StopMatcher } from '../../lib/generate/stop.js';
import { philox } from '../../lib/index.js';

/** Feeds pieces until a stop string is found; returns everything given out. */
function run(stops: string[], pieces: string[]): { text: string; stop?: string } {
  const matcher = new StopMatcher(stops);
  let text = '';
  for (const piece of pieces) {
    const found = matcher.push(piece);
    text += found.text;
    if (found.stop !== undefined) return { text, stop: found.stop };
  }
  return { text: text + matcher.flush() };
}

describe('StopMatcher', () => {
  it('finds a stop string across pieces and gives out nothing of it', () => {
    expect(run(['\nUser:'], ['Hello', '\n', 'Us', 'er', ': hi'])).toEqual({ text: 'Hello', stop: '\nUser:' });
  });

  it('releases held text that turns out not to be a stop string', () => {
    const matcher = new StopMatcher(['END']);
    expect(matcher.push('an E')).toEqual({ text: 'an ' });
    expect(matcher.push('N')).toEqual({ text: '' });
    expect(matcher.push('d')).toEqual({ text: 'ENd' });
  });

  it('gives out everything at the end', () => {
    expect(run(['END'], ['the EN'])).toEqual({ text: 'the EN' });
  });

  it('takes the stop string that begins first, the longest at one place', () => {
    expect(run(['b', 'ab'], ['xab'])).toEqual({ text: 'x', stop: 'ab' });
    expect(run(['ab', 'abc'], ['xabc'])).toEqual({ text: 'x', stop: 'abc' });
  });

  it('handles stop strings that overlap themselves', () => {
    expect(run(['aab'], ['a', 'a', 'a', 'b'])).toEqual({ text: 'a', stop: 'aab' });
  });

  it('does not depend on how the text is cut', () => {
    const stops = ['abb', 'ba', 'ccc'];
    let stopped = 0;
    for (let seed = 0; seed < 300; seed++) {
      const text = Array.from({ length: 12 }, (_, i) => 'abc'[(philox(seed, 0, i)[0] ?? 0) % 3]).join('');
      const pieces: string[] = [];
      for (let at = 0, i = 0; at < text.length; i++) {
        const length = 1 + ((philox(seed, 1, i)[0] ?? 0) % 4);
        pieces.push(text.slice(at, at + length));
        at += length;
      }
      const first = Math.min(...stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0), text.length);
      const found = run(stops, pieces);
      // A stop string is taken as soon as it is complete, so one that begins earlier but ends later may lose.
      expect(text.startsWith(found.text)).toBe(true);
      expect(found.stop !== undefined).toBe(first < text.length);
      for (const stop of stops) expect(found.text.includes(stop)).toBe(false);
      if (found.stop !== undefined) {
        stopped++;
        expect(text.slice(found.text.length).startsWith(found.stop)).toBe(true);
      }
    }
    expect(stopped).toBeGreaterThan(50);
  });
});
