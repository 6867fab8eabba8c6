// SPDX-License-Identifier: Apache-2.0
import { createContext, Script } from 'node:vm';
import { Template } from '@huggingface/jinja';
import { checkObject, invalidArgument, PagewarpError } from '../errors.js';
import type { Tokenizer } from './tokenizer.js';

/** One turn of a conversation. Templates may read further fields. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool' | (string & {});
  content: string;
  [field: string]: unknown;
}

/**
 * Renders a conversation with the model's own chat template. The text contains the begin-of-text token where the template
 * writes it, so it is to be encoded with `addSpecial: false` then.
 *
 * @param variables further variables for the template, such as `tools` or `enable_thinking`
 * @throws PagewarpError ERR_UNSUPPORTED when the model has no template, ERR_INVALID_ARGUMENT for a malformed message,
 *   ERR_INVALID_TEMPLATE when the template does not parse or refuses the conversation, with its own words
 */
export function renderChat(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  variables: Record<string, unknown> = {},
): string {
  checkObject('tokenizer', tokenizer);
  if (!Array.isArray(messages) || messages.length === 0)
    throw invalidArgument('messages', messages, 'a non-empty array');
  for (const [i, message] of messages.entries()) {
    if (typeof message?.role !== 'string') throw invalidArgument(`messages[${i}].role`, message?.role, 'a string');
    if (typeof message.content !== 'string')
      throw invalidArgument(`messages[${i}].content`, message.content, 'a string');
  }
  return renderTemplate(requireTemplate(tokenizer), {
    messages,
    add_generation_prompt: true,
    bos_token: nameOf(tokenizer, tokenizer.bosToken),
    eos_token: nameOf(tokenizer, tokenizer.eosToken),
    ...variables,
  });
}

/** The chat template. @throws PagewarpError ERR_UNSUPPORTED when the model has none */
export function requireTemplate(tokenizer: Tokenizer): string {
  if (tokenizer.chatTemplate !== undefined) return tokenizer.chatTemplate;
  throw new PagewarpError(
    'ERR_UNSUPPORTED',
    'this model has no chat template: it was not made for conversations; generate() continues a prompt of your own making',
  );
}

/** Longest time that a template may take, in milliseconds; real ones take about one. */
const renderLimit = 2000;
const renderScript = new Script('render()');

/**
 * Renders a Jinja template. It comes with a model file, which may be anybody's, and holds the event loop while it runs: one
 * that loops for longer than two seconds is stopped.
 * @throws PagewarpError ERR_INVALID_TEMPLATE
 */
export function renderTemplate(source: string, variables: Record<string, unknown>): string {
  try {
    const context = createContext({ render: () => new Template(source).render(variables) });
    return renderScript.runInContext(context, { timeout: renderLimit }) as string;
  } catch (error) {
    throw new PagewarpError(
      'ERR_INVALID_TEMPLATE',
      `the chat template failed: ${(error as Error).message}`,
      {},
      { cause: error },
    );
  }
}

function nameOf(tokenizer: Tokenizer, id: number | undefined): string {
  return id === undefined ? '' : (tokenizer.tokenName(id) ?? '');
}
