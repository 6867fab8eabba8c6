// SPDX-License-Identifier: Apache-2.0
// ld and st of every type and vector, in every state space and with every qualifier: each form moves up to 16 bytes of its
// lane, which plain untyped instructions bring and take away, so that any byte in the wrong place shows.
import { type KernelCase, kernelSuite } from '../cases.js';

/** One type and vector length: `v2.f32`. */
interface Form {
  readonly text: string;
  readonly bytes: number;
  /** The untyped instruction's suffix for the same bytes. */
  readonly plain: string;
  /** Register operand: `%r0` or `{%r0, %r1}`. */
  readonly operand: string;
}

const forms: readonly Form[] = [8, 16, 32, 64].flatMap((width) =>
  ['b', 'u', 's', ...(width >= 32 ? ['f'] : [])].flatMap((letter) =>
    [1, 2, 4]
      .filter((count) => count * width <= 128)
      .map((count): Form => {
        const register = { 8: '%h', 16: '%h', 32: '%r', 64: '%d' }[width];
        const names = Array.from({ length: count }, (_, i) => `${register}${i}`).join(', ');
        const vector = count === 1 ? '' : `v${count}.`;
        return {
          text: `${vector}${letter}${width}`,
          bytes: (count * width) / 8,
          plain: `${vector}b${width}`,
          operand: count === 1 ? names : `{${names}}`,
        };
      }),
  ),
);

const kLanes = 32;
const bytesOfLane = 16;
const data = Uint8Array.from({ length: kLanes * bytesOfLane }, (_, i) => (i * 89 + 41) & 255);

/** Each form's results are `kLanes * 16` bytes; bytes that the form does not move stay zero. `source` says which lane's bytes arrive. */
const judgeForms =
  (source: (lane: number) => number): KernelCase['judge'] =>
  ([out]) => {
    const wrong = forms.flatMap((form, index) =>
      Array.from({ length: kLanes }, (_, lane) => {
        const at = (index * kLanes + lane) * bytesOfLane;
        const from = source(lane) * bytesOfLane;
        const wanted = data.slice(from, from + form.bytes);
        const actual = (out as Uint8Array).slice(at, at + bytesOfLane);
        const good = actual.every((byte, i) => byte === (wanted[i] ?? 0));
        return good ? '' : `${form.text}, lane ${lane}: ${actual}, expected ${wanted}`;
      }).filter((text) => text !== ''),
    );
    return wrong.length > 3 ? [...wrong.slice(0, 3), `${wrong.length} are wrong`] : wrong;
  };

const results = forms.length * kLanes * bytesOfLane;
const ownLane = (lane: number): number => lane;

const frame = (body: string, before = '', parameter = ''): string => `${before}
.visible .entry test(.param .u64 in, .param .u64 out${parameter})
{ .reg .b16 %h<4>; .reg .b32 %r<4>, %lane; .reg .b64 %d<4>, %in, %out, %cell, %offset, %policy; .shared .align 16 .b8 cells[512];
  ld.param.u64 %in, [in]; ld.param.u64 %out, [out]; mov.u32 %lane, %tid.x; mul.wide.u32 %offset, %lane, 16; add.u64 %in, %in, %offset; add.u64 %out, %out, %offset;
  ${body} ret; }`;

const kernel = (
  name: string,
  ptx: string,
  source: (lane: number) => number = ownLane,
  parameters: readonly string[] = [],
): KernelCase => ({
  name,
  ptx,
  launch: { args: [{ input: data }, { inout: new Uint8Array(results) }, ...parameters] },
  judge: judgeForms(source),
});

const place = (index: number): string => `[%out+${index * kLanes * bytesOfLane}]`;

/** `%cell` holds the lane's 16 bytes in the space; global memory is the input itself. */
const filled: Record<string, string> = {
  '.global': 'mov.b64 %cell, %in;',
  '': 'mov.b64 %cell, %in;',
  '.shared':
    'mov.b64 %cell, cells; add.u64 %cell, %cell, %offset; ld.global.v2.b64 {%d0, %d1}, [%in]; st.shared.v2.b64 [%cell], {%d0, %d1};',
  '.local':
    '.local .align 16 .b8 own[16]; mov.b64 %cell, own; ld.global.v2.b64 {%d0, %d1}, [%in]; st.local.v2.b64 [%cell], {%d0, %d1};',
};

const policy = 'createpolicy.fractional.L2::evict_normal.b64 %policy, 1.0;';

/** `instruction(form)` with the qualifiers in their places; those of caches and of `.nc` follow the space, the others precede it. */
function spelled(opcode: 'ld' | 'ldu' | 'st', space: string, qualifier: string, form: Form): string {
  const afterSpace = /^\.(ca|cg|cs|lu|cv|nc|wb|wt|L[12])/.test(qualifier);
  return `${opcode}${afterSpace ? `${space}${qualifier}` : `${qualifier}${space}`}.${form.text}`;
}
const hint = (qualifier: string): string => (qualifier.includes('cache_hint') ? ', %policy' : '');

const load = (space: string, qualifier: string, opcode: 'ld' | 'ldu' = 'ld'): KernelCase =>
  kernel(
    spelled(opcode, space, qualifier, { text: 'TYPE' } as Form),
    frame(
      `${filled[space]} ${policy} ${forms
        .map(
          (form, i) =>
            `${spelled(opcode, space, qualifier, form)} ${form.operand}, [%cell]${hint(qualifier)}; st.global.${form.plain} ${place(i)}, ${form.operand};`,
        )
        .join('\n')}`,
    ),
  );

/** Stores to global memory are the results; those to other spaces are brought there by a plain load. */
const store = (space: string, qualifier: string): KernelCase => {
  const direct = space === '.global' || space === '';
  return kernel(
    spelled('st', space, qualifier, { text: 'TYPE' } as Form),
    frame(
      `${filled[space]} ${policy} ${forms
        .map((form, i) => {
          const bring = `ld.global.${form.plain} ${form.operand}, [%in];`;
          const instruction = spelled('st', space, qualifier, form);
          if (direct) return `${bring} ${instruction} ${place(i)}, ${form.operand}${hint(qualifier)};`;
          return `${bring} ${instruction} [%cell], ${form.operand}; ld${space}.${form.plain} ${form.operand}, [%cell]; st.global.${form.plain} ${place(i)}, ${form.operand};`;
        })
        .join('\n')}`,
    ),
  );
};

const scoped = (...names: readonly string[]): string[] =>
  names.flatMap((name) => ['cta', 'gpu', 'sys'].map((scope) => `.${name}.${scope}`));

const loads: KernelCase[] = [
  ...['.ca', '.cg', '.cs', '.lu', '.cv', '.nc', '.ca.nc', '.cg.nc', '.L1::evict_last', '.L1::no_allocate', '.L2::128B']
    .concat(['.nc.L1::no_allocate', '.nc.L1::no_allocate.L2::256B', '.L2::cache_hint', '.nc.L2::cache_hint'])
    .map((qualifier) => load('.global', qualifier)),
  ...['.global', '.shared', ''].flatMap((space) =>
    ['', '.weak', '.volatile', ...scoped('relaxed', 'acquire')].map((qualifier) => load(space, qualifier)),
  ),
  load('.local', ''),
  load('.global', '', 'ldu'),
  load('', '', 'ldu'),
];

const stores: KernelCase[] = [
  ...['.wb', '.cg', '.cs', '.wt', '.L1::no_allocate', '.L1::evict_first', '.L2::cache_hint'].map((qualifier) =>
    store('.global', qualifier),
  ),
  ...['.global', '.shared', ''].flatMap((space) =>
    ['', '.weak', '.volatile', ...scoped('relaxed', 'release')].map((qualifier) => store(space, qualifier)),
  ),
  store('.local', ''),
];

/** Every lane reads the same bytes. */
const uniform: KernelCase[] = [
  kernel(
    'ld.const.TYPE',
    frame(
      `mov.b64 %cell, table; ${forms.map((form, i) => `ld.const.${form.text} ${form.operand}, [%cell]; st.global.${form.plain} ${place(i)}, ${form.operand};`).join('\n')}`,
      `.const .align 16 .b8 table[16] = {${data.slice(0, bytesOfLane).join(', ')}};`,
    ),
    () => 0,
  ),
  kernel(
    "ld.param.TYPE of a kernel's parameter",
    frame(
      forms
        .map(
          (form, i) =>
            `ld.param.${form.text} ${form.operand}, [own]; st.global.${form.plain} ${place(i)}, ${form.operand};`,
        )
        .join('\n'),
      '',
      ', .param .align 16 .b8 own[16]',
    ),
    () => 0,
    [`bytes:${Buffer.from(data.slice(0, bytesOfLane)).toString('hex')}`],
  ),
];

const calls: KernelCase = kernel(
  "st.param.TYPE and ld.param.TYPE of a function's parameter and result",
  frame(
    forms
      .map(
        (
          form,
          i,
        ) => `{ .param .align 16 .b8 given[16]; .param .align 16 .b8 result[16]; ld.global.${form.plain} ${form.operand}, [%in]; st.param.${form.text} [given], ${form.operand};
call (result), pass${i}, (given); ld.param.${form.text} ${form.operand}, [result]; st.global.${form.plain} ${place(i)}, ${form.operand}; }`,
      )
      .join('\n'),
    forms
      .map(
        (
          form,
          i,
        ) => `.func (.param .align 16 .b8 result[16]) pass${i}(.param .align 16 .b8 given[16]) { .reg .b16 %h<4>; .reg .b32 %r<4>; .reg .b64 %d<4>;
ld.param.${form.text} ${form.operand}, [given]; st.param.${form.text} [result], ${form.operand}; ret; }`,
      )
      .join('\n'),
  ),
);

kernelSuite('loads of every type', loads);
kernelSuite('stores of every type', stores);
kernelSuite('constants and parameters of every type', [...uniform, calls]);
