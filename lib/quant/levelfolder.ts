// SPDX-License-Identifier: Apache-2.0
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unsupported } from '../errors.js';
import { tensorShapes } from '../model/config.js';
import { type HfSource, hfName } from '../model/hf.js';
import { lut4Config } from '../model/int4.js';
import { sourceBytes } from './format.js';
import { ModelQuantizer } from './quantizer.js';
import { type SafetensorsEntry, writeSafetensors } from './safetensorswriter.js';

/**
 * Writes a folder whose matrices are blocks of 16 levels: `<module>.weight_blocks` (U8, rows of LUT4 blocks) and
 * `<module>.weight_levels` (F32, one table or one for each row). Everything else is copied.
 */
export async function writeLevelFolder(
  source: HfSource,
  quantizer: ModelQuantizer,
  folder: string,
  levels: 'nf4' | 'any4',
): Promise<void> {
  if (source.isQuantized)
    throw unsupported(`${levels} of the quantised folder ${source.path}`, 'F32, F16 and BF16 weights');
  const modules = new Map<string, { name: string; rows: number; columns: number }>();
  for (const [name, shape] of tensorShapes(source.config)) {
    const [rows, columns] = shape as [number, number];
    if (ModelQuantizer.siteOf(name) && columns % 32 === 0) modules.set(hfName(name), { name, rows, columns });
  }
  quantizer.expected = modules.size;
  const entries: SafetensorsEntry[] = [];
  for (const tensor of source.tensorNames()) {
    const module = modules.get(tensor);
    if (!module) {
      const { dtype, shape, bytes } = source.safeTensor(tensor);
      entries.push({ name: tensor, dtype, shape, bytes, read: async () => source.rawBytes(tensor) });
      continue;
    }
    const { name, rows, columns } = module;
    const tables = levels === 'nf4' ? 1 : rows;
    const bytes = sourceBytes('lut4', rows, columns);
    let table: Float32Array;
    entries.push({
      name: `${tensor}_blocks`,
      dtype: 'U8',
      shape: [rows, bytes / rows],
      bytes,
      read: async () => {
        const quantised = await quantizer.run(name);
        table = quantised.levels as Float32Array;
        return quantised.blocks;
      },
    });
    entries.push({
      name: `${tensor}_levels`,
      dtype: 'F32',
      shape: [tables, 16],
      bytes: 64 * tables,
      read: async () => new Uint8Array(table.buffer, table.byteOffset, table.byteLength),
    });
  }
  await mkdir(folder, { recursive: true });
  for (const file of source.otherFiles()) await copyFile(join(source.path, file), join(folder, file));
  const config = { ...source.configJson, quantization_config: lut4Config(levels) };
  await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, undefined, 2)}\n`);
  await writeSafetensors(join(folder, 'model.safetensors'), entries);
}
