// SPDX-License-Identifier: Apache-2.0
import { invalidArgument } from '../errors.js';
import { type NativeDevice, native } from '../native.js';
import { Resource } from './resource.js';
import { Stream } from './stream.js';

/** Instruction sets of the CPU backend; `reference` is the naive float64 contract of every op, for tests. */
export type CpuIsa = 'reference' | 'portable' | 'avx2' | 'avx512';

export interface CpuOptions {
  /** Threads that compute, the engine's own included. Default: the number of processors. */
  threads?: number;
  /** Default: `PAGEWARP_CPU_ISA`, else the best that this processor has. */
  isa?: CpuIsa;
}

/** One row of {@link Device.list}. */
export interface DeviceInfo {
  kind: 'cpu' | 'cuda';
  index: number;
  name: string;
  available: boolean;
  /** Why the device cannot be used; null when it can. */
  reason: string | null;
  /** What it offers: instruction sets, extensions. */
  features: string[];
}

const isas: readonly CpuIsa[] = ['reference', 'portable', 'avx2', 'avx512'];

/**
 * A place where tensors live and commands run. Commands of all streams of one CPU device run in the order in which they were
 * submitted, on an engine thread of its own and a pool of threads; the event loop is never blocked.
 *
 * Disposing a device lets queued commands finish; enqueueing on it afterwards throws ERR_DISPOSED.
 */
export class Device extends Resource<NativeDevice> {
  readonly kind: 'cpu' | 'cuda';
  /** The processor's or GPU's own name. */
  readonly name: string;
  /** Threads that compute (CPU). */
  readonly threads: number;
  /** Instruction set in use (CPU). */
  readonly isa: CpuIsa;
  #defaultStream: Stream | undefined;

  private constructor(handle: NativeDevice, kind: 'cpu' | 'cuda', name: string, threads: number, isa: CpuIsa) {
    super(handle);
    this.kind = kind;
    this.name = name;
    this.threads = threads;
    this.isa = isa;
  }

  /**
   * A CPU device.
   * @throws PagewarpError ERR_INVALID_ARGUMENT for a bad option, ERR_DEVICE_UNAVAILABLE for an instruction set that this
   *   processor lacks
   */
  static cpu(options: CpuOptions = {}): Device {
    const info = native().cpuInfo();
    const threads = options.threads ?? info.cores;
    if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
      throw invalidArgument('threads', threads, 'an integer from 1 to 1024');
    }
    const isa = options.isa ?? (process.env['PAGEWARP_CPU_ISA'] as CpuIsa | undefined) ?? info.isa;
    if (!isas.includes(isa)) {
      throw invalidArgument(options.isa ? 'isa' : 'PAGEWARP_CPU_ISA', isa, `one of ${isas.join(', ')}`);
    }
    return new Device(native().createCpuDevice(threads, isa), 'cpu', info.name, threads, isa);
  }

  /** Every device that this machine could offer, with the reason for each that cannot be used. */
  static list(): DeviceInfo[] {
    const cpu = native().cpuInfo();
    const features = isas.slice(1, isas.indexOf(cpu.isa) + 1) as string[];
    if (cpu.vnni) features.push('avx512vnni');
    if (cpu.bf16) features.push('avx512bf16');
    return [{ kind: 'cpu', index: 0, name: cpu.name, available: true, reason: null, features }, ...listCuda()];
  }

  /** A new stream. Streams of one device order nothing among each other but through events. */
  stream(): Stream {
    return new Stream(this);
  }

  /** The stream that reads and writes use when none is named. */
  get defaultStream(): Stream {
    this.#defaultStream ??= new Stream(this);
    return this.#defaultStream;
  }

  /** Bytes of tensors alive on the device. */
  get bytesInUse(): number {
    return native().deviceBytesInUse(this.native);
  }

  override dispose(): void {
    this.#defaultStream?.dispose();
    super.dispose();
  }
}

function listCuda(): DeviceInfo[] {
  const { reason, devices, driverVersion } = native().cudaInfo();
  if (reason !== null) return [{ kind: 'cuda', index: 0, name: 'CUDA', available: false, reason, features: [] }];
  return devices.map((gpu, index) => ({
    kind: 'cuda',
    index,
    name: gpu.name,
    available: false,
    reason: 'this version of pagewarp has no CUDA backend yet',
    features: [
      `sm_${gpu.capability}`,
      `${gpu.multiprocessors} multiprocessors`,
      `${(gpu.memoryBytes / 2 ** 30).toFixed(1)} GiB`,
      `driver ${Math.floor(driverVersion / 1000)}.${Math.floor((driverVersion % 1000) / 10)}`,
    ],
  }));
}
