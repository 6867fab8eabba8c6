// SPDX-License-Identifier: Apache-2.0
import { type QuantizeOptions, type QuantizeResult, quantize as run } from '../quant/quantize.js';
import { quantizedTypes } from '../quant/weights.js';
import { Device } from '../tensor/device.js';
import { Arguments, deviceOptions, loadOptions, UsageError } from './arguments.js';
import { readText } from './perplexity.js';
import { bytes, onInterrupt, ProgressBar } from './terminal.js';

export const quantizeUsage: string = `pagewarp quantize [options] MODEL OUTPUT

Makes a model smaller. MODEL is a GGUF file or a folder of Hugging Face; OUTPUT a GGUF file for q4_0, q4_1 and q8_0,
a folder of safetensors for nf4 and any4.

      --type TYPE          ${quantizedTypes.join(', ')} (default q4_0)
      --method METHOD      rtn (default): round to nearest, clipping searched; gptq: make up for errors
      --calibration FILE   a text like those that the model will see (gptq needs one; it helps the others)
      --calibration-tokens N   default 16384
      --embedding TYPE     q8_0 (default) or f16, of GGUF files
      --evaluate FILE      measure perplexity with this text, before and after
      --threads N  --isa portable|avx2|avx512|amx
      --json               the result as one JSON object
`;

const flags = {
  type: { type: 'string' as const },
  method: { type: 'string' as const },
  calibration: { type: 'string' as const },
  'calibration-tokens': { type: 'string' as const },
  embedding: { type: 'string' as const },
  evaluate: { type: 'string' as const },
  json: { type: 'boolean' as const },
};

/** @returns the exit code */
export async function quantize(args: readonly string[]): Promise<number> {
  const parsed = new Arguments(args, { ...deviceOptions, ...flags }, 2);
  if (parsed.flag('help')) {
    process.stdout.write(quantizeUsage);
    return 0;
  }
  const [input, output] = parsed.positionals;
  if (input === undefined || output === undefined) throw new UsageError('name a model and an output');
  const controller = new AbortController();
  const release = onInterrupt(() => controller.abort());
  const { device } = loadOptions(parsed);
  using own = typeof device === 'object' && !(device instanceof Device) ? Device.cpu(device) : Device.cpu();
  using bar = new ProgressBar();
  try {
    const [calibration, evaluation] = [await readText(parsed, 'calibration'), await readText(parsed, 'evaluate')];
    const tokens = parsed.number('calibration-tokens');
    const result = await run(input, output, {
      type: (parsed.text('type') ?? 'q4_0') as QuantizeOptions['type'],
      method: (parsed.text('method') ?? 'rtn') as NonNullable<QuantizeOptions['method']>,
      embedding: (parsed.text('embedding') ?? 'q8_0') as NonNullable<QuantizeOptions['embedding']>,
      ...(calibration === undefined ? {} : { calibration }),
      ...(evaluation === undefined ? {} : { evaluation }),
      ...(tokens === undefined ? {} : { calibrationTokens: tokens }),
      device: own,
      signal: controller.signal,
      onProgress: ({ phase, done, total, tensor }) =>
        bar.show(phase, done, total, tensor?.name ?? `${done} of ${total}`),
    });
    bar[Symbol.dispose]();
    process.stdout.write(parsed.flag('json') ? `${JSON.stringify(result)}\n` : describe(result));
    return 0;
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    return 130;
  } finally {
    release();
  }
}

function describe({ path, tensors, bytes: size, before, after }: QuantizeResult): string {
  const lines = tensors.map(({ name, type, error }) => `${name}  ${type}  error ${(100 * error).toFixed(3)} %`);
  lines.push(`${path}: ${bytes(size)} of quantised weights; errors are squared, in squared norms`);
  if (before && after) {
    const change = 100 * (after.perplexity / before.perplexity - 1);
    lines.push(
      `perplexity ${before.perplexity.toFixed(4)} before, ${after.perplexity.toFixed(4)} after ` +
        `(${change >= 0 ? '+' : ''}${change.toFixed(2)} %, ${after.tokens} tokens)`,
    );
  }
  return `${lines.join('\n')}\n`;
}
