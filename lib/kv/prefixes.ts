// SPDX-License-Identifier: Apache-2.0

/** A full page whose keys and values are those of known tokens. */
interface Node {
  readonly page: number;
  readonly parent: Children;
  readonly key: string;
  readonly children: Children;
}

type Children = Map<string, Node>;

/**
 * Which pages hold the beginning of which text: a tree of pages, a page's tokens between each and its children (after vLLM's
 * automatic prefix caching and SGLang's RadixAttention; Zheng et al., 2024). Whoever refers to a page in it refers to all
 * pages before it, so that pages are given up from the ends of texts.
 */
export class PrefixIndex {
  readonly #pageSize: number;
  readonly #roots = new Map<string, Children>();
  readonly #nodes = new Map<number, Node>();

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  has(page: number): boolean {
    return this.#nodes.has(page);
  }

  /** The pages of the longest beginning of `tokens` that is known, in order. Texts of different kinds have nothing in common. */
  find(kind: string, tokens: readonly number[]): number[] {
    const found: number[] = [];
    let children = this.#roots.get(kind);
    while (children && (found.length + 1) * this.#pageSize <= tokens.length) {
      const node = children.get(this.#key(tokens, found.length));
      if (!node) break;
      found.push(node.page);
      children = node.children;
    }
    return found;
  }

  /**
   * Remembers the full pages of a text.
   * @returns pages that hold the same as one of these, which takes their place
   */
  add(kind: string, tokens: readonly number[], pages: readonly number[]): number[] {
    const displaced: number[] = [];
    let children: Children = this.#roots.get(kind) ?? new Map();
    this.#roots.set(kind, children);
    for (let i = 0; (i + 1) * this.#pageSize <= tokens.length; i++) {
      const page = pages[i] as number;
      const key = this.#key(tokens, i);
      const known = children.get(key);
      if (known?.page === page) {
        children = known.children;
        continue;
      }
      if (known) {
        displaced.push(known.page);
        this.#nodes.delete(known.page);
      }
      const node: Node = { page, parent: children, key, children: known?.children ?? new Map() };
      children.set(key, node);
      this.#nodes.set(page, node);
      children = node.children;
    }
    return displaced;
  }

  /** The page is about to hold something else. */
  forget(page: number): void {
    const node = this.#nodes.get(page);
    if (!node) return;
    this.#nodes.delete(page);
    node.parent.delete(node.key);
  }

  #key(tokens: readonly number[], page: number): string {
    return tokens.slice(page * this.#pageSize, (page + 1) * this.#pageSize).join(' ');
  }
}
