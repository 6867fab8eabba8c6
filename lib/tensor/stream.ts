// SPDX-License-Identifier: Apache-2.0
import { checkInstance, checkList, checkObject, invalidArgument, PagewarpError } from '../errors.js';
import { type Handle, type NativeCommandList, type NativeEvent, type NativeStream, native } from '../native.js';
import type { Device } from './device.js';
import { Resource } from './resource.js';
import type { Tensor } from './tensor.js';

/** A point in a stream, to be waited for by another stream or asked about. */
export class Event extends Resource<NativeEvent> {
  /** @internal */
  constructor() {
    super(native().createEvent());
  }

  /** Has the stream reached it? */
  get done(): boolean {
    return native().eventDone(this.native);
  }

  /**
   * Seconds from `start` to this event, on the device's clock if both are of one device. Both must be done.
   * @throws PagewarpError ERR_INVALID_ARGUMENT
   */
  since(start: Event): number {
    checkInstance('start', start, Event);
    if (!start.done || !this.done)
      throw invalidArgument('event', 'pending', 'reached: await stream.synchronize() first');
    return native().eventElapsed(start.native, this.native);
  }
}

/** Something that a captured command may be replayed with a newer version of: an attention plan. */
export interface Replaceable {
  readonly native: Handle<string>;
  /**
   * @param rows that the captured commands have room for
   * @throws PagewarpError ERR_STALE_PLAN when `this` cannot stand in for `captured`
   */
  checkReplaces(captured: Replaceable, rows: number): void;
  /** @throws PagewarpError ERR_STALE_PLAN when what it was made for has changed since */
  checkFresh(): void;
}

/** What a replay takes in place of what its commands were captured with. */
export interface ReplayOptions {
  /** The plan used while capturing, and the one to use now; or several, of which the device picks one. */
  plans?: readonly (readonly [captured: Replaceable, current: Current])[];
  /** [1] or longer: `at[0]` is the number of the plan that is picked of each list, as earlier commands of the stream leave it. */
  at?: Tensor<'i32'>;
}

/** One, or those that there are to choose from. */
type Current = Replaceable | readonly Replaceable[];

function checkPair(name: string, pair: readonly [captured: Replaceable, current: Current]): void {
  checkList(name, pair);
  const current = pair[1] ? variantsOf(pair[1]) : [];
  const areReplaceable = current.every((one) => typeof one?.checkReplaces === 'function');
  if (current.length === 0 || !areReplaceable)
    throw invalidArgument(`${name}[1]`, pair[1], 'a plan, or a list of plans');
}

function isChoice(current: Current): current is readonly Replaceable[] {
  return Array.isArray(current);
}

function variantsOf(current: Current): readonly Replaceable[] {
  return isChoice(current) ? current : [current];
}

/** Commands recorded once by {@link Stream.capture}, to be replayed by one call. Holds every tensor that they use. */
export class CommandList extends Resource<NativeCommandList> {
  readonly device: Device;
  /** What its commands take and a replay may bring newer versions of, with the rows that they have room for. */
  readonly replaceable: ReadonlyMap<Replaceable, number>;

  /** @internal */
  constructor(device: Device, handle: NativeCommandList, replaceable: ReadonlyMap<Replaceable, number>) {
    super(handle);
    this.device = device;
    this.replaceable = replaceable;
  }
}

/** An order of commands on a device. Ops enqueue and return; only `synchronize` and reads wait. */
export class Stream extends Resource<NativeStream> {
  readonly device: Device;
  /** While a capture is open: what the recorded commands take. */
  #replaceable: Map<Replaceable, number> | undefined;

  /** @internal Use {@link Device.stream}. */
  constructor(device: Device, isDefault = false) {
    super(native().createStream(device.native, isDefault));
    this.device = device;
  }

  get isCapturing(): boolean {
    return this.#replaceable !== undefined;
  }

  /** A command that is being enqueued takes this, and a replay may bring a version of it with so many rows. @internal */
  takes(replaceable: Replaceable, rows: number): void {
    const others = this.#replaceable?.get(replaceable) ?? rows;
    this.#replaceable?.set(replaceable, Math.min(rows, others));
  }

  /**
   * Resolves when every command enqueued so far has run; rejects with the first error among them that has not been
   * reported yet, named after its op.
   */
  async synchronize(): Promise<void> {
    await native().synchronize(this.native);
  }

  /** Marks this point of the stream. In a capture, every replay marks its own: before the first, nobody waits for the event. */
  record(event: Event = new Event()): Event {
    checkInstance('event', event, Event);
    native().recordEvent(this.native, event.native);
    return event;
  }

  /** Commands enqueued from now on run after `event` has been reached. */
  wait(event: Event): void {
    checkInstance('event', event, Event);
    native().waitEvent(this.native, event.native);
  }

  /**
   * Records the commands that `enqueue` issues on this stream, without running them. Tensors that ops allocate meanwhile
   * belong to the list: a replay writes into the same memory again.
   * @param enqueue enqueues before it returns; not an async function
   * @throws PagewarpError ERR_INVALID_ARGUMENT when a capture is open already, or whatever `enqueue` throws
   */
  capture(enqueue: () => void): CommandList {
    if (typeof enqueue !== 'function') throw invalidArgument('enqueue', enqueue, 'a function');
    native().beginCapture(this.native);
    const replaceable = new Map<Replaceable, number>();
    this.#replaceable = replaceable;
    try {
      const returned: unknown = enqueue();
      if (returned instanceof Promise) {
        returned.catch(() => {}); // what it goes on to do is in no capture, and no news
        throw invalidArgument('enqueue', 'an async function', 'a function that enqueues before it returns');
      }
    } catch (error) {
      native().dispose(native().endCapture(this.native));
      throw error;
    } finally {
      this.#replaceable = undefined;
    }
    return new CommandList(this.device, native().endCapture(this.native), replaceable);
  }

  /**
   * Enqueues the commands of `list` as one.
   * @param options.plans pairs of (plan used while capturing, plan to use now); or several to use, of which the device picks one
   * @param options.at [1] or longer: number `at[0]` of each such list is picked, as commands before this one on the stream leave it.
   *   On a GPU the thread that launches waits for them, JavaScript does not.
   * @throws PagewarpError ERR_STALE_PLAN when a plan cannot stand in for the captured one, or when a captured one that none
   *   stands in for was made for sequences that have changed since; ERR_INVALID_ARGUMENT for a plan that the list does not use, or
   *   lists without `at`. A number that no list has surfaces as ERR_INVALID_ARGUMENT at the next synchronisation, and nothing runs.
   */
  replay(list: CommandList, options: ReplayOptions = {}): void {
    checkInstance('list', list, CommandList);
    if (list.device !== this.device) {
      throw new PagewarpError('ERR_INVALID_ARGUMENT', 'the command list was captured on another device');
    }
    checkObject('options', options);
    const { plans = [], at } = options;
    checkList('plans', plans);
    for (const [i, pair] of plans.entries()) checkPair(`plans[${i}]`, pair);
    if (at || plans.some(([, current]) => isChoice(current))) this.#checkIndex(at);
    const current = new Map(plans);
    for (const captured of current.keys()) {
      if (!list.replaceable.has(captured))
        throw invalidArgument('plans', 'a plan', 'one that the list was captured with');
    }
    if (current.size < plans.length) throw invalidArgument('plans', 'one captured plan twice', 'each once');
    for (const [captured, rows] of list.replaceable) {
      const newer = current.get(captured);
      if (!newer) captured.checkFresh();
      for (const one of newer ? variantsOf(newer) : []) one.checkReplaces(captured, rows);
      for (const one of variantsOf(newer ?? captured)) this.takes(one, rows);
    }
    native().replay(
      this.native,
      list.native,
      plans.map(([captured]) => captured.native),
      plans.map(([, current]) => (isChoice(current) ? current.map((one) => one.native) : current.native)),
      at?.native ?? null,
    );
  }

  #checkIndex(at: Tensor<'i32'> | undefined): void {
    if (at instanceof Resource && at.dtype === 'i32' && at.size > 0 && at.device === this.device) return;
    throw invalidArgument('at', at, "an i32 tensor on the stream's device that has the number of the plan");
  }
}
