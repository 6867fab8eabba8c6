// SPDX-License-Identifier: Apache-2.0
import { statSync } from 'node:fs';
import { PagewarpError } from '../errors.js';
import type { LlamaConfig } from '../model/config.js';
import { GgufFile } from '../model/gguf.js';
import { HfSource } from '../model/hf.js';
import { estimateMemory, openModel } from '../model/load.js';
import type { MemoryEstimate } from '../model/memory.js';
import { Arguments, loadOptions, modelOptions, modelPath } from './arguments.js';
import { bytes, printable } from './terminal.js';

export const inspectUsage = `pagewarp inspect [options] [path]

Shows a GGUF file or a folder of Hugging Face: architecture, metadata, tensors, and the memory that it would take.

      --tensors            list every tensor
      --context N  --cache-type f16|f32|bf16|i8|fp8e4m3|i4  --chunk N   for the estimate
      --json               everything as one JSON object
`;

interface Report {
  path: string;
  /** What it is: "GGUF version 3". */
  kind: string;
  bytes: number;
  parameters: number;
  /** Of tensors of each type. */
  types: Record<string, { tensors: number; bytes: number }>;
  metadata: Record<string, unknown>;
  tensors: { name: string; type: string; shape: number[]; bytes: number }[];
  config?: LlamaConfig;
  memory?: MemoryEstimate;
  /** Why the model cannot be loaded, when it cannot. */
  unsupported?: { code: string; message: string };
}

/** @returns the exit code */
export async function inspect(args: readonly string[]): Promise<number> {
  const flags = { json: { type: 'boolean' as const }, tensors: { type: 'boolean' as const } };
  const parsed = new Arguments(args, { ...modelOptions, ...flags }, 1);
  if (parsed.flag('help')) {
    process.stdout.write(inspectUsage);
    return 0;
  }
  const report = await makeReport(parsed.positionals[0] ?? modelPath(parsed), parsed);
  if (parsed.flag('json')) process.stdout.write(`${JSON.stringify(report, jsonValue, 2)}\n`);
  else process.stdout.write(printable(describe(report, parsed.flag('tensors'))));
  return 0;
}

async function makeReport(path: string, args: Arguments): Promise<Report> {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const report = isFolder ? folderReport(path) : fileReport(path);
  for (const { type, shape, bytes: size } of report.tensors) {
    report.parameters += shape.reduce((a, b) => a * b, 1);
    report.types[type] ??= { tensors: 0, bytes: 0 };
    const total = report.types[type] as { tensors: number; bytes: number };
    total.tensors++;
    total.bytes += size;
  }
  try {
    using source = await openModel(path);
    report.config = source.config;
    report.memory = await estimateMemory(path, loadOptions(args));
  } catch (error) {
    if (!(error instanceof PagewarpError) || error.code === 'ERR_INVALID_ARGUMENT') throw error;
    report.unsupported = { code: error.code, message: error.message };
  }
  return report;
}

function folderReport(path: string): Report {
  using source = new HfSource(path);
  const tensors = Array.from(source.tensorNames(), (name) => {
    const { dtype, shape, bytes: size } = source.safeTensor(name);
    return { name, type: dtype, shape: [...shape], bytes: size };
  });
  const size = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  return {
    path,
    kind: 'Hugging Face folder',
    bytes: size,
    parameters: 0,
    types: {},
    metadata: source.configJson,
    tensors,
  };
}

function fileReport(path: string): Report {
  using file = GgufFile.open(path);
  return {
    path,
    kind: `GGUF version ${file.version}`,
    bytes: file.bytes,
    parameters: 0,
    types: {},
    metadata: Object.fromEntries(file.metadata()),
    tensors: [...file.tensors.values()].map(({ name, type, shape, bytes: size }) => ({
      name,
      type,
      shape,
      bytes: size,
    })),
  };
}

function describe(report: Report, listTensors: boolean): string {
  const { config, memory, unsupported } = report;
  const lines = [`${report.path}: ${report.kind}, ${bytes(report.bytes)}`];
  if (config) {
    const { layers, dim, heads, kvHeads, headDim, ffnDim, vocabulary, contextLength } = config;
    lines.push(
      `${config.name}: ${config.architecture}, ${(report.parameters / 1e6).toFixed(1)} M parameters`,
      `  ${layers} layers of width ${dim}, ${heads} query and ${kvHeads} key-value heads of ${headDim}, feed-forward ${ffnDim}`,
      `  vocabulary ${vocabulary}${config.tiedEmbeddings ? ' (tied)' : ''}, context ${contextLength}`,
    );
  }
  if (memory) {
    lines.push(
      `memory: ${bytes(memory.total)} (weights ${bytes(memory.weights)}, cache ${bytes(memory.cache)}, ` +
        `activations ${bytes(memory.activations)})`,
    );
  }
  if (unsupported) lines.push(`cannot be loaded: ${unsupported.message} [${unsupported.code}]`);
  lines.push('metadata:');
  for (const [key, value] of Object.entries(report.metadata)) lines.push(`  ${key} = ${shown(value)}`);
  lines.push('tensors:');
  for (const [type, { tensors, bytes: size }] of Object.entries(report.types)) {
    lines.push(`  ${tensors} of type ${type}, ${bytes(size)}`);
  }
  if (listTensors) {
    for (const { name, type, shape, bytes: size } of report.tensors) {
      lines.push(`  ${name} ${type} [${shape.join(', ')}] ${bytes(size)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    const { element, length } = value as { element?: string; length?: number };
    if (element !== undefined) return `[${length} x ${element}]`;
  }
  const text = typeof value === 'string' || typeof value === 'object' ? JSON.stringify(value) : String(value);
  return text.length > 100 ? `${text.slice(0, 100)}... (${text.length} characters)` : text;
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value;
}
