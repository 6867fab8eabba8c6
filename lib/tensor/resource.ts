// SPDX-License-Identifier: Apache-2.0
import { disposed } from '../errors.js';
import { type Handle, native } from '../native.js';

/** Debug mode (`PAGEWARP_DEBUG_LEAKS=1`) warns, with the creating stack, about what the garbage collector found undisposed. */
const isDebugging = process.env['PAGEWARP_DEBUG_LEAKS'] === '1';

/**
 * @param how it would have been ended
 * @returns what warns that something created here was collected; undefined unless in debug mode
 * @internal
 */
export function watchForLeak(what: string, how = 'dispose()'): (() => void) | undefined {
  if (!isDebugging) return undefined;
  const { stack = '' } = new Error();
  return () => process.emitWarning(`${what} was garbage-collected without ${how}\n${stack}`, 'PagewarpLeakWarning');
}

const leaks = isDebugging ? new FinalizationRegistry<(() => void) | undefined>((warn) => warn?.()) : undefined;

/**
 * Base of everything that holds a native handle. `dispose()` drops the handle at once; the native object lives on until the
 * last queued command that uses it has run. Disposing twice is harmless; using a disposed object throws ERR_DISPOSED.
 */
export abstract class Resource<H extends Handle<string>> implements Disposable {
  #handle: H | undefined;

  protected constructor(handle: H) {
    this.#handle = handle;
    leaks?.register(this, watchForLeak(this.constructor.name), this);
  }

  /** The native handle. @throws PagewarpError ERR_DISPOSED */
  get native(): H {
    if (!this.#handle) throw disposed(this.constructor.name);
    return this.#handle;
  }

  get isDisposed(): boolean {
    return this.#handle === undefined;
  }

  dispose(): void {
    const handle = this.#handle;
    if (!handle) return;
    this.#handle = undefined;
    leaks?.unregister(this);
    native().dispose(handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
