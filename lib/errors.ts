// SPDX-License-Identifier: Apache-2.0

/** The stable codes of {@link PagewarpError}. */
export type ErrorCode =
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_SHAPE_MISMATCH'
  | 'ERR_UNSUPPORTED'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_DISPOSED'
  | 'ERR_STALE_PLAN'
  | 'ERR_CACHE_EXHAUSTED'
  | 'ERR_CONTEXT_OVERFLOW'
  | 'ERR_DEVICE_UNAVAILABLE'
  | 'ERR_DEVICE_LOST'
  | 'ERR_INVALID_TOKEN'
  | 'ERR_INVALID_LOGITS'
  | 'ERR_INVALID_MODEL'
  | 'ERR_INVALID_TEMPLATE'
  | 'ERR_IO'
  | 'ERR_CANCELLED'
  | 'ERR_NATIVE_NOT_FOUND'
  | 'ERR_INTERNAL';

/** Every error that this package throws on purpose. `code` is stable between releases; `message` is for people. */
export class PagewarpError extends Error {
  readonly code: ErrorCode;
  /** What the message says, as data: the argument's name, both shapes, the limit... */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PagewarpError';
    this.code = code;
    this.details = details;
  }
}

/** `name` was given as `given`, but must be `allowed`. */
export function invalidArgument(name: string, given: unknown, allowed: string): PagewarpError {
  return new PagewarpError('ERR_INVALID_ARGUMENT', `${name} is ${show(given)}, but must be ${allowed}`, {
    name,
    given,
    allowed,
  });
}

/** Two shapes that do not fit together. */
export function shapeMismatch(
  name: string,
  given: readonly number[],
  expected: readonly (number | string)[],
  why: string,
): PagewarpError {
  return new PagewarpError(
    'ERR_SHAPE_MISMATCH',
    `${name} has shape [${given.join(', ')}], but [${expected.join(', ')}] is needed: ${why}`,
    { name, given, expected },
  );
}

/** A legal request that the backend has no kernel for. */
export function unsupported(what: string, supported: string): PagewarpError {
  return new PagewarpError('ERR_UNSUPPORTED', `${what} is not supported; supported: ${supported}`, { what, supported });
}

/** A file that the system does not give us. */
export function unreadable(path: string, cause: unknown): PagewarpError {
  return new PagewarpError('ERR_IO', `${path} cannot be read: ${(cause as Error).message}`, { path }, { cause });
}

/** Use after dispose. */
export function disposed(what: string): PagewarpError {
  return new PagewarpError('ERR_DISPOSED', `${what} has been disposed`, { what });
}

/** Turns an error of the addon (a plain Error with a `code`) into a {@link PagewarpError}; others pass unchanged. */
export function fromNative(error: unknown): unknown {
  if (error instanceof PagewarpError || !(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string' || !code.startsWith('ERR_')) return error;
  return new PagewarpError(code as ErrorCode, error.message, {}, { cause: error });
}

/** `signal` has what is used of an AbortSignal. @throws PagewarpError ERR_INVALID_ARGUMENT */
export function checkSignal(signal: AbortSignal | null | undefined): void {
  if (signal === undefined || signal === null) return;
  if (typeof signal.throwIfAborted !== 'function' || typeof signal.addEventListener !== 'function') {
    throw invalidArgument('signal', signal, 'an AbortSignal');
  }
}

/** `value` is an instance of `type`. Guards what callers without types get wrong. */
export function checkInstance<T>(
  name: string,
  value: unknown,
  type: { readonly name: string; readonly prototype: T; [Symbol.hasInstance](value: unknown): boolean },
): asserts value is T {
  if (!type[Symbol.hasInstance](value)) throw invalidArgument(name, value, `a ${type.name} of this copy of pagewarp`);
}

/** `value` is an object, as options are. Guards what callers without types leave out. */
export function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw invalidArgument(name, value, 'an object');
}

/** `value` is an array, or a typed one. Guards what callers without types get wrong. */
export function checkList(name: string, value: unknown): void {
  if (!Array.isArray(value) && !(ArrayBuffer.isView(value) && 'length' in value)) {
    throw invalidArgument(name, value, 'an array');
  }
}

/** `value` is a function, or is not given. */
export function checkCallback(name: string, value: unknown): void {
  if (value !== undefined && value !== null && typeof value !== 'function') {
    throw invalidArgument(name, value, 'a function');
  }
}

/** Does something with all of them, whatever happens with one. @throws the first error, afterwards */
export function withAll<T>(items: Iterable<T>, act: (item: T) => void): void {
  const errors: unknown[] = [];
  for (const item of items) {
    try {
      act(item);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'an object';
  return typeof value === 'bigint' ? `${value}n` : String(value);
}
