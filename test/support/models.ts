// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { announceSkip } from './skip.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Where models for tests may lie: models/ of the repository, and a folder beside the checkout for published models whose
 * files the repository does not carry.
 */
const folders = [join(root, 'models'), join(root, '..', 'shared', 'models')];

/** A greedy continuation computed in float64, independently of this library. */
export interface GoldenCase {
  prompt: string;
  ids: number[];
  greedy: number[];
  text: string;
  last_logits_top5: [id: number, logit: number][];
  logits_sum: number;
  logits_l2: number;
}

export interface GoldenModel {
  name: string;
  /** The path of the file with this type of weights, or undefined (announced) when it is not here. */
  file(type: 'F32' | 'F16' | 'Q8_0' | 'Q4_0'): string | undefined;
  cases: GoldenCase[];
}

/** The path of a model file, or undefined, announced in one line, when this machine does not have it. */
export function modelPath(...parts: string[]): string | undefined {
  const found = folders.map((folder) => join(folder, ...parts)).find((path) => existsSync(path));
  if (!found) announceSkip(`model ${parts.join('/')}: not on this machine`);
  return found;
}

const sources: readonly [name: string, golden: string[], key: string | undefined, file: string][] = [
  ['stories260K', ['golden.json'], 'stories260K', 'stories260K/stories260K'],
  ['stories260K-draft', ['golden.json'], 'stories260K-draft41K', 'stories260K-draft/draft41K'],
  ['tinystories-656k', ['golden.json'], 'tinystories-656k', 'tinystories-656k/tinystories-656k'],
  ['babyllama-tok105', ['golden.json'], 'babyllama-tok105', 'babyllama-tok105/babyllama-tok105'],
  ['demo', ['demo', 'golden-target.json'], undefined, 'demo/target'],
  ['demo-draft', ['demo', 'golden-draft.json'], undefined, 'demo/draft'],
];

/**
 * Every model with golden outputs that is on this machine. Its weights may lie in any folder that has the very same golden
 * outputs: those of another training would not fit.
 */
export function goldenModels(): GoldenModel[] {
  return sources.flatMap(([name, golden, key, file]) => {
    const withGolden = folders.filter((folder) => existsSync(join(folder, ...golden)));
    const text = (folder: string) => readFileSync(join(folder, ...golden), 'utf8');
    const [first] = withGolden;
    if (first === undefined) {
      announceSkip(`golden outputs of ${name}: not on this machine`);
      return [];
    }
    const json = JSON.parse(text(first)) as Record<string, { cases: GoldenCase[] }> & { cases: GoldenCase[] };
    const cases = key === undefined ? json.cases : (json[key]?.cases ?? []);
    const fitting = withGolden.filter((folder) => text(folder) === text(first));
    const find = (type: string): string | undefined => {
      const found = fitting.map((folder) => join(folder, ...`${file}-${type}.gguf`.split('/'))).find(existsSync);
      if (!found) announceSkip(`weights ${file}-${type}.gguf: not on this machine`);
      return found;
    };
    return [{ name, cases, file: find }];
  });
}
