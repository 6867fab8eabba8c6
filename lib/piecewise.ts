// SPDX-License-Identifier: Apache-2.0

/** Work that stops now and then, so that others may have the thread. */
export type Piecewise<T> = Generator<void, T, void>;

/** Entries of a table between two stops: a fraction of a millisecond. */
const stride = 1024;

/** Milliseconds that the thread is kept for. */
const turn = 5;

/** Goes through `items`, or only counts to their length, stopping now and then. */
export function* inPieces<T>(items: ArrayLike<T>, visit: (item: T, index: number) => void): Piecewise<void> {
  for (let i = 0; i < items.length; i++) {
    visit(items[i] as T, i);
    if (i % stride === stride - 1) yield;
  }
}

/** Does all of it now. */
export function atOnce<T>(work: Piecewise<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/** Does it beside whatever else the event loop has to do. */
export async function besides<T>(work: Piecewise<T>): Promise<T> {
  for (;;) {
    const end = performance.now() + turn;
    do {
      const step = work.next();
      if (step.done) return step.value;
    } while (performance.now() < end);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
