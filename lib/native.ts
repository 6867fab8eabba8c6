// SPDX-License-Identifier: Apache-2.0
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { debuglog } from 'node:util';
import { fromNative, PagewarpError } from './errors.js';

/** Opaque handles of native objects. The brand keeps them apart at compile time; the addon checks at run time. */
export interface Handle<Kind extends string> {
  readonly __kind: Kind;
}
export type NativeDevice = Handle<'device'>;
export type NativeStream = Handle<'stream'>;
export type NativeTensor = Handle<'tensor'>;
export type NativeEvent = Handle<'event'>;
export type NativeCommandList = Handle<'commandList'>;

/** A layer of a KV cache, or all layers: pw_kv_type and pools. */
export type NativeKvLayer = [
  type: number,
  k: NativeTensor,
  v: NativeTensor,
  kScale: NativeTensor | null,
  vScale: NativeTensor | null,
];

export type NativeAttentionPlan = Handle<'attentionPlan'>;

/** pw::AttentionPlanInputs; see csrc/plan/attention_plan.h. */
export interface NativePlanInputs {
  queryLengths: Int32Array;
  kvLengths: Int32Array;
  pageBegin: Int32Array;
  pages: Int32Array;
  /** Triples of sequence, begin, end. */
  segments: Int32Array;
  /** Triples of first sequence, end of the sequences, keys. */
  prefixes: Int32Array;
  treeMasks?: BigUint64Array;
  treeLengths?: Int32Array;
  customBits?: Uint8Array;
  heads: number;
  kvHeads: number;
  headDim: number;
  pageSize: number;
  pagesInPool: number;
  causal: boolean;
  window: number;
  sinkTokens: number;
  /** Made for a GPU: thread blocks instead of threads. */
  gpu: boolean;
  workers: number;
  split: number;
  /** One per sequence, in place of `split`. */
  splits?: Int32Array;
}

export type NativeGguf = Handle<'gguf'>;
/** A mapped file of any kind. */
export type NativeFile = Handle<'file'>;
export type NativeMatrix = Handle<'matrix'>;

/** Rows of a weight matrix in the block format of their file. */
export type NativeMatrixSource = [from: NativeGguf | NativeFile | NativeTensor, byteOffset: number, rows: number];

export type NativeFilePart = [file: NativeFile, byteOffset: number, bytes: number];

/** A 4-bit matrix in tensors of a checkpoint; see csrc/core/matrix/checkpoint.h. */
export interface NativeInt4 {
  /** pw::Int4Packing. */
  packing: number;
  rows: number;
  columns: number;
  groupSize: number;
  /** pw::ScaleType. */
  scaleType: number;
  zeroShift: number;
  codes: NativeFilePart;
  scales: NativeFilePart;
  zeros: NativeFilePart | null;
  order: Int32Array | null;
}

/** A metadata entry of a GGUF file. Arrays have `element` and `length` and are read by `ggufArray`; others have `value`. */
export interface NativeGgufEntry {
  key: string;
  type: string;
  value?: string | number | bigint | boolean;
  /** Where the whole entry lies in the file. */
  offset: number;
  bytes: number;
  element?: string;
  length?: number;
}

/** A tensor of a GGUF file; `shape` is row-major, `offset` counts from the start of the file. */
export interface NativeGgufTensor {
  name: string;
  type: string;
  shape: number[];
  elements: number;
  offset: number;
  bytes: number;
}

export interface NativeGgufTables {
  handle: NativeGguf;
  version: number;
  alignment: number;
  dataOffset: number;
  bytes: number;
  metadata: NativeGgufEntry[];
  tensors: NativeGgufTensor[];
}

export interface NativeCpuInfo {
  name: string;
  isa: 'portable' | 'avx2' | 'avx512' | 'amx';
  cores: number;
  vnni: boolean;
  bf16: boolean;
}

/** How a batch samples: pw_sampling. */
export type NativeSampling = [
  parameters: NativeTensor,
  seeds: NativeTensor,
  offsets: NativeTensor,
  history: NativeTensor | null,
  historyIndptr: NativeTensor | null,
  promptLengths: NativeTensor | null,
];

export interface NativeCudaInfo {
  /** Why CUDA cannot be used; null when the driver offers a GPU. */
  reason: string | null;
  /** 13000 for CUDA 13.0, 0 without a driver. */
  driverVersion: number;
  /** `capability` is 90 for compute capability 9.0. */
  devices: {
    name: string;
    /** Why this one cannot be used; null when it can. */
    reason: string | null;
    capability: number;
    multiprocessors: number;
    memoryBytes: number;
  }[];
}

/**
 * The whole surface of the addon. It trusts its callers: arguments are checked in lib/, once. Functions that take a stream
 * enqueue a command and return.
 */
export interface Native {
  readonly napiVersion: number;
  dispose(handle: Handle<string>): void;

  cpuInfo(): NativeCpuInfo;
  cudaInfo(): NativeCudaInfo;
  createCpuDevice(threads: number, isa: string): NativeDevice;
  createCudaDevice(index: number, memoryLimit: number): NativeDevice;
  /** `limit` is 0 for none. */
  cudaStatistics(
    device: NativeDevice,
  ): Record<'used' | 'peak' | 'reserved' | 'limit' | 'kernels' | 'graphCaptures' | 'graphLaunches', number>;
  deviceBytesInUse(device: NativeDevice): number;

  createStream(device: NativeDevice, isDefault: boolean): NativeStream;
  synchronize(stream: NativeStream): Promise<void>;
  beginCapture(stream: NativeStream): void;
  endCapture(stream: NativeStream): NativeCommandList;
  replay(
    stream: NativeStream,
    list: NativeCommandList,
    captured: readonly Handle<string>[],
    current: readonly (Handle<string> | readonly Handle<string>[])[],
    at: NativeTensor | null,
  ): void;
  createEvent(): NativeEvent;
  recordEvent(stream: NativeStream, event: NativeEvent): void;
  waitEvent(stream: NativeStream, event: NativeEvent): void;
  eventDone(event: NativeEvent): boolean;
  eventElapsed(start: NativeEvent, end: NativeEvent): number;

  createTensor(device: NativeDevice, dtype: number, shape: readonly number[]): NativeTensor;
  viewTensor(tensor: NativeTensor, shape: readonly number[], strides: readonly number[], offset: number): NativeTensor;
  writeTensor(stream: NativeStream, tensor: NativeTensor, data: ArrayBufferView): void;
  readTensor(stream: NativeStream, tensor: NativeTensor): Promise<ArrayBuffer>;
  copyTensor(stream: NativeStream, from: NativeTensor, to: NativeTensor): void;
  fillTensor(stream: NativeStream, tensor: NativeTensor, value: number): void;

  openGguf(path: string): NativeGgufTables;
  ggufArray(file: NativeGguf, index: number): unknown;
  openFile(path: string): { handle: NativeFile; bytes: number };
  fileBytes(file: NativeGguf | NativeFile, offset: number, length: number): ArrayBuffer;

  planAttention(inputs: NativePlanInputs): {
    handle: NativeAttentionPlan;
    rows: number;
    items: number;
    merges: number;
    workspaceBytes: number;
    kernels: number;
  };
  attentionWorkspaceBytes(inputs: NativePlanInputs): number;
  attention(
    stream: NativeStream,
    plan: NativeAttentionPlan,
    q: NativeTensor,
    out: NativeTensor,
    lse: NativeTensor | null,
    alibiSlopes: NativeTensor | null,
    sinks: NativeTensor | null,
    workspace: NativeTensor | null,
    scale: number,
    softCap: number,
    ...layer: NativeKvLayer
  ): void;
  mergeStates(
    stream: NativeStream,
    outs: NativeTensor,
    lses: NativeTensor,
    out: NativeTensor,
    lse: NativeTensor | null,
  ): void;
  appendKv(stream: NativeStream, k: NativeTensor, v: NativeTensor, slots: NativeTensor, ...layer: NativeKvLayer): void;
  ropeAppendKv(
    stream: NativeStream,
    q: NativeTensor | null,
    qOut: NativeTensor | null,
    table: NativeTensor,
    pairing: number,
    k: NativeTensor,
    v: NativeTensor,
    slots: NativeTensor,
    ...layer: NativeKvLayer
  ): void;
  keyBounds(
    stream: NativeStream,
    pages: NativeTensor,
    counts: NativeTensor,
    low: NativeTensor,
    high: NativeTensor,
    ...layer: NativeKvLayer
  ): void;
  gatherKv(stream: NativeStream, k: NativeTensor, v: NativeTensor, slots: NativeTensor, ...layer: NativeKvLayer): void;
  copyPages(stream: NativeStream, ...args: [...pools: NativeKvLayer, from: Int32Array, to: Int32Array]): void;
  moveSlots(stream: NativeStream, ...args: [...pools: NativeKvLayer, from: BigInt64Array, to: BigInt64Array]): void;

  packMatrix(
    stream: NativeStream,
    blockType: number,
    columns: number,
    sources: readonly NativeMatrixSource[],
    dropPages: boolean,
    levels: Float32Array | null,
    order: Int32Array | null,
  ): NativeMatrix;
  packInt4(stream: NativeStream, sources: readonly NativeInt4[], blockType: number, dropPages: boolean): NativeMatrix;
  int4IsSymmetric(source: NativeInt4): boolean;
  gram(stream: NativeStream, x: NativeTensor, sums: NativeTensor): void;
  quantizeWeights(
    stream: NativeStream,
    weight: NativeTensor,
    gram: NativeTensor | null,
    grid: number,
    compensate: boolean,
    damping: number,
    blocks: NativeTensor,
    levels: NativeTensor | null,
    error: NativeTensor,
  ): void;
  quantizeMatrix(stream: NativeStream, x: NativeTensor, ggmlType: number): NativeMatrix;
  viewMatrix(
    file: NativeGguf | NativeFile,
    ggmlType: number,
    byteOffset: number,
    rows: number,
    columns: number,
  ): NativeMatrix;
  matrixInfo(matrix: NativeMatrix): { bytes: number; rowsDone: number; ordered: boolean };
  linear(
    stream: NativeStream,
    x: NativeTensor,
    weight: NativeMatrix,
    bias: NativeTensor | null,
    residual: NativeTensor | null,
    out: NativeTensor,
    gated: boolean,
    int8: boolean,
    xScales: NativeTensor | null,
    xSums: NativeTensor | null,
  ): void;
  embedding(stream: NativeStream, ids: NativeTensor, weight: NativeMatrix, out: NativeTensor): void;
  gatherRows(stream: NativeStream, x: NativeTensor, indices: NativeTensor, out: NativeTensor): void;

  rmsNorm(
    stream: NativeStream,
    x: NativeTensor,
    weight: NativeTensor,
    residual: NativeTensor | null,
    out: NativeTensor,
    eps: number,
    scales: NativeTensor | null,
    sums: NativeTensor | null,
  ): void;

  ropeTable(
    stream: NativeStream,
    positions: NativeTensor,
    frequencies: NativeTensor,
    table: NativeTensor,
    magnitude: number,
  ): void;
  rope(
    stream: NativeStream,
    q: NativeTensor,
    qOut: NativeTensor,
    k: NativeTensor | null,
    kOut: NativeTensor | null,
    table: NativeTensor,
    pairing: number,
  ): void;
  gated(stream: NativeStream, gate: NativeTensor, up: NativeTensor, out: NativeTensor, activation: number): void;

  argmax(stream: NativeStream, logits: NativeTensor, ids: NativeTensor): void;
  sample(
    stream: NativeStream,
    logits: NativeTensor,
    ids: NativeTensor,
    logprobs: NativeTensor | null,
    topIds: NativeTensor | null,
    topLogprobs: NativeTensor | null,
    ...sampling: NativeSampling
  ): void;
  verify(
    stream: NativeStream,
    targetLogits: NativeTensor,
    draftTokens: NativeTensor,
    draftIndptr: NativeTensor,
    draftParents: NativeTensor | null,
    draftLogits: NativeTensor | null,
    draftRows: NativeTensor | null,
    draftParameters: NativeTensor | null,
    distinct: boolean,
    rule: number,
    threshold: number,
    delta: number,
    acceptedLengths: NativeTensor,
    tokens: NativeTensor,
    lastTokens: NativeTensor,
    path: NativeTensor | null,
    positions: NativeTensor | null,
    nextPositions: NativeTensor | null,
    logprobs: NativeTensor | null,
    ...sampling: NativeSampling
  ): void;
  drawCandidates(
    stream: NativeStream,
    logits: NativeTensor,
    kind: number,
    branches: NativeTensor | null,
    ids: NativeTensor,
    logprobs: NativeTensor,
    firstKeys: NativeTensor | null,
    keys: NativeTensor | null,
    ...sampling: NativeSampling
  ): void;
}

const debug = debuglog('pagewarp'); // NODE_DEBUG=pagewarp
const require = createRequire(import.meta.url);
let cached: Native | undefined;
let loadedFrom = '';

/**
 * The addon, loaded on first use: the one that `PAGEWARP_ADDON_PATH` names, else a local build, else the prebuilt binary of
 * this platform.
 * @throws PagewarpError ERR_NATIVE_NOT_FOUND with the attempt in `cause`
 */
export function native(): Native {
  cached ??= wrapErrors(loadAddon());
  return cached;
}

/** The file that the addon came from. Loads it if need be. */
export function nativePath(): string {
  native();
  return loadedFrom;
}

function loadAddon(): Native {
  // lib/ in the repository and dist/ in the package are both one level below the root.
  const root = fileURLToPath(new URL('..', import.meta.url));
  const nodeGypBuild = require('node-gyp-build') as ((dir: string) => Native) & { resolve(dir: string): string };
  const override = process.env['PAGEWARP_ADDON_PATH'];
  const where = override ? `PAGEWARP_ADDON_PATH=${override}` : 'build/ or prebuilds/';
  try {
    loadedFrom = override || nodeGypBuild.resolve(root);
    const addon = require(loadedFrom) as Native;
    if (typeof addon?.cpuInfo !== 'function') throw new Error(`${loadedFrom} is no binary of pagewarp`);
    debug('loaded the native addon from %s', loadedFrom);
    return addon;
  } catch (error) {
    debug('no native addon from %s: %s', where, (error as Error).message);
    const platform = `${process.platform}-${process.arch}`;
    throw new PagewarpError(
      'ERR_NATIVE_NOT_FOUND',
      override
        ? `pagewarp cannot load the binary that PAGEWARP_ADDON_PATH names: ${(error as Error).message}`
        : `pagewarp has no native binary for ${platform} (Node ${process.versions.node}). ` +
            'Prebuilt binaries exist for linux-x64, linux-arm64, darwin-arm64 and win32-x64; elsewhere build it with ' +
            '"npm run build:native" (a C++20 compiler and cmake are needed).',
      { platform: process.platform, arch: process.arch },
      { cause: new AggregateError([error]) },
    );
  }
}

/** Gives every function of the addon typed errors, thrown or rejected. */
function wrapErrors(addon: Native): Native {
  const wrapped: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(addon)) {
    wrapped[name] =
      typeof value === 'function' ? wrapFunction(value as (...args: unknown[]) => unknown) : (value as unknown);
  }
  return wrapped as unknown as Native;
}

function wrapFunction(call: (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
  return (...args) => {
    let result: unknown;
    try {
      result = call(...args);
    } catch (error) {
      throw fromNative(error);
    }
    if (!(result instanceof Promise)) return result;
    return result.catch((error: unknown) => {
      throw fromNative(error);
    });
  };
}
