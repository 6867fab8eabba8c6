// SPDX-License-Identifier: Apache-2.0
import { text } from 'node:stream/consumers';
import type { GenerateOptions } from '../generate/options.js';
import {
  Arguments,
  deviceOptions,
  generateOptions,
  loadOptions,
  modelOptions,
  modelPath,
  samplingOptions,
} from './arguments.js';
import { loadWithProgress, onInterrupt, statistics, writeText } from './terminal.js';

export const generateUsage = `pagewarp generate [options] [prompt]

Writes text that continues the prompt (from standard input when it is "-").

  -m, --model PATH         GGUF file or folder (default: $PAGEWARP_MODEL, else the demo model)
  -n, --max-tokens N       default 200
  -t, --temperature T      0 (default) is greedy
      --top-k K  --top-p P  --min-p M
      --repetition-penalty R  --presence-penalty P  --frequency-penalty F
      --seed N             repeatable sampling
      --stop TEXT          stop before TEXT; may be repeated; \\n is a line break
      --ignore-end         go on after the model's own end
      --speculate auto|off|lookup|suffix|recycling|ngrams|lookahead
                           draft several tokens and verify them at once; auto (default): as far as it pays
      --draft PATH         a smaller model of the same vocabulary that drafts for auto
      --max-draft N        most tokens drafted at once
      --not-adaptive       always draft as much as the drafter proposes, whether that pays or not
      --device auto|cpu|cuda   default auto: a GPU that can run the model, else the CPU
      --threads N  --isa portable|avx2|avx512|amx   of the CPU
      --context N  --cache-type f16|f32|bf16|i8|fp8e4m3|i4  --chunk N
      --stats              timings on standard error
      --json               the whole result as one JSON object
`;

/** @returns the exit code */
export async function generate(args: readonly string[]): Promise<number> {
  const options = { ...modelOptions, ...deviceOptions, ...samplingOptions, json: { type: 'boolean' as const } };
  const parsed = new Arguments(args, options, 1);
  if (parsed.flag('help')) {
    process.stdout.write(generateUsage);
    return 0;
  }
  const given = parsed.positionals[0] ?? '';
  const json = parsed.flag('json');
  const how: GenerateOptions = { maxTokens: 200, ...generateOptions(parsed) };
  const controller = new AbortController();
  const release = onInterrupt(() => controller.abort());
  try {
    const prompt = given === '-' ? await text(process.stdin) : given;
    const { signal } = controller;
    await using model = await loadWithProgress(modelPath(parsed), { ...loadOptions(parsed), signal });
    const generation = model.generate(prompt, { ...how, signal });
    if (json) await generation.complete();
    else await writeText(prompt, generation);
    const result = await generation.result;
    if (json) process.stdout.write(`${JSON.stringify({ ...result, seed: String(result.seed) })}\n`);
    if (parsed.flag('stats')) process.stderr.write(statistics(model, result));
    return 0;
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    return 130;
  } finally {
    release();
  }
}
