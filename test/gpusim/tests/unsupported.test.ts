// SPDX-License-Identifier: Apache-2.0
// What the simulator does not implement stops the launch that reaches it, and is named; it does not stop the others.
import { describe, expect, it } from 'vitest';
import { header, legality } from './cases.js';
import { runBatch } from './runner.js';

const entry = (name: string, body: string): string => `.visible .entry ${name}(.param .u64 out, .param .u32 reach)
{ .reg .u64 %d<4>; .reg .b32 %r<12>; .reg .f32 %f<8>; .reg .pred %p; ld.param.u64 %d0, [out]; ld.param.u32 %r0, [reach];
setp.eq.u32 %p, %r0, 0; @%p bra finish; mov.b32 %r1, 0; mov.f32 %f0, 0.;
${body}
finish: mov.u32 %r9, 7; st.global.u32 [%d0], %r9; ret; }`;

const instructions = [
  ['tex', '{ .reg .u64 %t; mov.u64 %t, 0; tex.1d.v4.f32.s32 {%f1,%f2,%f3,%f4}, [%t, {%r1}]; }'],
] as const;
const module = header('sm_80') + instructions.map(([, body], i) => entry(`test${i}`, body)).join('\n');

describe('instructions that are not implemented', () => {
  legality('sm_80', () => module);

  it.each(instructions.map(([name], i) => [name, i] as const))(
    '%s stops the launch that reaches it',
    async (name, i) => {
      const launch = (reach: number) => ({
        code: module,
        kernel: `test${i}`,
        block: '1',
        args: [{ output: 4 }, `u32:${reach}`] as const,
      });
      const [stopped, passed] = await runBatch([launch(1), launch(0)]);
      expect(stopped?.error?.code).toBe('CUDA_ERROR_ILLEGAL_INSTRUCTION');
      expect(stopped?.error?.message).toContain(`${name}.`);
      expect(passed?.error).toBeUndefined();
      expect([...(passed?.outputs[0] ?? [])]).toEqual([7, 0, 0, 0]);
    },
  );
});
