// SPDX-License-Identifier: Apache-2.0
import { checkObject, invalidArgument } from '../errors.js';
import { type NativeCudaInfo, type NativeDevice, native } from '../native.js';
import { Resource } from './resource.js';
import { Stream } from './stream.js';

/**
 * Instruction sets of the CPU backend, in rising order. `reference` is the naive float64 contract of every op, for tests; `amx` is
 * `avx512` with AMX tiles in linear layers over many rows (Linux), and gives the same bits.
 */
export type CpuIsa = 'reference' | 'portable' | 'avx2' | 'avx512' | 'amx';

export interface CpuOptions {
  /** Threads that compute, the engine's own included. Default: the number of processors. */
  threads?: number;
  /** Default: `PAGEWARP_CPU_ISA`, else the best that this processor has. */
  isa?: CpuIsa;
}

export interface CudaOptions {
  /** Bytes of device memory that may be in use at a time. Default: all there are. */
  memoryLimit?: number;
}

/** What a CUDA device has done. */
export interface CudaStatistics {
  memory: {
    /** Bytes in use now: tensors, matrices and what commands work with. */
    used: number;
    /** The most that was in use at a time. */
    peak: number;
    /** Bytes taken from the system, in use or kept for later. */
    reserved: number;
    /** Of `used`; null: none. */
    limit: number | null;
  };
  launches: {
    /** Kernels launched one by one. */
    kernels: number;
    /** Command lists captured as CUDA graphs, or captured anew for a plan that did not fit. */
    graphCaptures: number;
    graphLaunches: number;
  };
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

const isas: readonly CpuIsa[] = ['reference', 'portable', 'avx2', 'avx512', 'amx'];

/**
 * A place where tensors live and commands run. A CPU device runs the commands of all its streams in the order in which they
 * were submitted, on an engine thread of its own and a pool of threads. A CUDA device launches them in that order; commands of
 * different streams may then run at the same time, but for what events and the default stream order. The event loop is never blocked.
 *
 * Disposing a device lets queued commands finish; enqueueing on it afterwards throws ERR_DISPOSED.
 */
export class Device extends Resource<NativeDevice> {
  readonly kind: 'cpu' | 'cuda';
  /** Among the devices of its kind. */
  readonly index: number;
  /** The processor's or GPU's own name. */
  readonly name: string;
  /** What runs pieces of work at the same time: threads (CPU) or multiprocessors (CUDA). */
  readonly threads: number;
  /** Instruction set in use (CPU). */
  readonly isa: CpuIsa | undefined;
  /** Compute capability: 90 for 9.0 (CUDA). */
  readonly capability: number | undefined;
  #defaultStream: Stream | undefined;

  private constructor(
    handle: NativeDevice,
    what: Pick<Device, 'kind' | 'index' | 'name' | 'threads' | 'isa' | 'capability'>,
  ) {
    super(handle);
    this.kind = what.kind;
    this.index = what.index;
    this.name = what.name;
    this.threads = what.threads;
    this.isa = what.isa;
    this.capability = what.capability;
  }

  /**
   * A CPU device.
   * @throws PagewarpError ERR_INVALID_ARGUMENT for a bad option, ERR_DEVICE_UNAVAILABLE for an instruction set that this
   *   processor lacks
   */
  static cpu(options: CpuOptions = {}): Device {
    checkObject('options', options);
    const info = native().cpuInfo();
    const threads = options.threads ?? info.cores;
    if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
      throw invalidArgument('threads', threads, 'an integer from 1 to 1024');
    }
    const isa = options.isa ?? ((process.env['PAGEWARP_CPU_ISA'] || info.isa) as CpuIsa);
    if (!isas.includes(isa)) {
      throw invalidArgument(options.isa ? 'isa' : 'PAGEWARP_CPU_ISA', isa, `one of ${isas.join(', ')}`);
    }
    const handle = native().createCpuDevice(threads, isa);
    return new Device(handle, { kind: 'cpu', index: 0, name: info.name, threads, isa, capability: undefined });
  }

  /**
   * A GPU, by its index in {@link Device.list}.
   * @throws PagewarpError ERR_INVALID_ARGUMENT for a bad option, ERR_DEVICE_UNAVAILABLE with the reason: the driver's own, a
   *   GPU or a driver that is too old, a build without device code
   */
  static cuda(index = 0, options: CudaOptions = {}): Device {
    if (!Number.isInteger(index) || index < 0 || index > 1023) throw invalidArgument('index', index, 'from 0 to 1023');
    checkObject('options', options);
    const { memoryLimit } = options;
    if (memoryLimit !== undefined && !(Number.isSafeInteger(memoryLimit) && memoryLimit > 0)) {
      throw invalidArgument('memoryLimit', memoryLimit, 'a number of bytes above 0');
    }
    const handle = native().createCudaDevice(index, memoryLimit ?? 0);
    const info = native().cudaInfo().devices[index] as NativeCudaInfo['devices'][number];
    const { name, multiprocessors: threads, capability } = info;
    return new Device(handle, { kind: 'cuda', index, name, threads, isa: undefined, capability });
  }

  /** Every device that this machine could offer, with the reason for each that cannot be used. */
  static list(): DeviceInfo[] {
    const cpu = native().cpuInfo();
    const features = isas.slice(1, isas.indexOf(cpu.isa) + 1) as string[];
    if (cpu.vnni) features.push('avx512vnni');
    if (cpu.bf16) features.push('avx512bf16');
    return [{ kind: 'cpu', index: 0, name: cpu.name, available: true, reason: null, features }, ...listCuda()];
  }

  /** A new stream. Streams of one device order nothing among each other but through events and the default stream. */
  stream(): Stream {
    return new Stream(this);
  }

  /**
   * The stream that reads and writes use when none is named. It is ordered with all others: its commands run after those that
   * were enqueued on any stream before, and before those that are enqueued on any stream later.
   */
  get defaultStream(): Stream {
    this.#defaultStream ??= new Stream(this, true);
    return this.#defaultStream;
  }

  /** Bytes of tensors alive on the device. */
  get bytesInUse(): number {
    return native().deviceBytesInUse(this.native);
  }

  /** @throws PagewarpError ERR_UNSUPPORTED on a CPU device */
  get cudaStatistics(): CudaStatistics {
    const { used, peak, reserved, limit, ...launches } = native().cudaStatistics(this.native);
    return { memory: { used, peak, reserved, limit: limit || null }, launches };
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
    available: gpu.reason === null,
    reason: gpu.reason,
    features: [
      `sm_${gpu.capability}`,
      `${gpu.multiprocessors} multiprocessors`,
      `${(gpu.memoryBytes / 2 ** 30).toFixed(1)} GiB`,
      `driver ${Math.floor(driverVersion / 1000)}.${Math.floor((driverVersion % 1000) / 10)}`,
    ],
  }));
}
