// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { renderTemplate } from '../../lib/tokenizer/template.js';

const failure = (message: RegExp) =>
  expect.objectContaining({ code: 'ERR_INVALID_TEMPLATE', message: expect.stringMatching(message) });

describe('chat templates', () => {
  it('are filled in', () => {
    const source = '{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}';
    const messages = [
      { role: 'user', content: ' Hello ' },
      { role: 'assistant', content: 'Hi' },
    ];
    expect(renderTemplate(source, { messages })).toBe('<user>Hello<assistant>Hi');
  });

  it('that loop are stopped', () => {
    const forever = '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}';
    expect(() => renderTemplate(forever, {})).toThrow(failure(/timed out after 2000 ?ms/));
  });

  it('that grow without end, refuse or do not parse say so', () => {
    const doubling = '{% set n = namespace(x="aaaa") %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}';
    expect(() => renderTemplate(doubling, {})).toThrow(failure(/Invalid string length/));
    expect(() => renderTemplate('{{ raise_exception("not so") }}', {})).toThrow(failure(/not so/));
    expect(() => renderTemplate('{% if %}', {})).toThrow(failure(/./));
  });
});
