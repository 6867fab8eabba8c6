// SPDX-License-Identifier: Apache-2.0
import { disposed } from '../errors.js';
import { type Handle, native } from '../native.js';

/**
 * Debug mode (`PAGEWARP_DEBUG_LEAKS=1`): warns, with the creating stack, about handles that the garbage collector found
 * undisposed.
 */
const leaks =
  process.env['PAGEWARP_DEBUG_LEAKS'] === '1'
    ? new FinalizationRegistry<{ what: string; stack: string }>(({ what, stack }) => {
        process.emitWarning(`${what} was garbage-collected without dispose()\n${stack}`, 'PagewarpLeakWarning');
      })
    : undefined;

/**
 * Base of everything that holds a native handle. `dispose()` drops the handle at once; the native object lives on until the
 * last queued command that uses it has run. Disposing twice is harmless; using a disposed object throws ERR_DISPOSED.
 */
export abstract class Resource<H extends Handle<string>> implements Disposable {
  #handle: H | undefined;

  protected constructor(handle: H) {
    this.#handle = handle;
    leaks?.register(this, { what: this.constructor.name, stack: new Error().stack ?? '' }, this);
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
