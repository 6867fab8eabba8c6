// SPDX-License-Identifier: Apache-2.0
// No instruction reaches the CUDA programs of programs/ from nvcc without a test of its own in instructions/.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formsOf, untestedForms } from './forms.js';
import { hasTool, programsBuild } from './runner.js';

describe('instruction forms', () => {
  it('are read from PTX with labels, predicates, vectors, comments and line numbers', () => {
    const ptx = `.version 9.0 // add.f32
      .visible .entry test(.param .u64 p) { .reg .b32 %r<4>; .pragma "nounroll"; $L_1: /* sub.f32 */
      .loc 1 2 3
      @!%p1 ld.global.L1::no_allocate.v2.u32 {%r1, %r2}, [%rd1+8]; $L_2: bra $L_1; prototype_5 : .callprototype ()_ ();
      { call (retval0), name, (param0, param1); } mov.b64 {%r1, %r2}, %rd2; ret; }`;
    expect([...formsOf(ptx)]).toEqual(['ld.global.L1::no_allocate.v2.u32', 'bra', 'call', 'mov.b64', 'ret']);
  });

  it.skipIf(!hasTool('nvcc'))('that the programs have are tested one by one', async () => {
    const files = readdirSync(programsBuild).filter((file) => /\.fatbin$|^runtime_api/.test(file));
    expect(files.length).toBeGreaterThan(30);
    const paths = files.map((file) => join(programsBuild, file));
    expect(await untestedForms(paths, 'small89')).toEqual([]);
  });
});
