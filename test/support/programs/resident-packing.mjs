// SPDX-License-Identifier: Apache-2.0
// Prints by how many bytes the most that was ever resident grows while a tensor of a file is packed.
//   resident-packing.mjs <GGUF file> <tensor>
import { readFileSync } from 'node:fs';

const [path, name] = process.argv.slice(2);
const { Device, GgufFile, PackedMatrix } = await import(process.env.PAGEWARP_TEST_LIBRARY);
const peak = () => 1024 * Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
const device = Device.cpu({ threads: 2 });
const file = GgufFile.open(path);
const before = peak();
const matrix = PackedMatrix.fromGguf(device.defaultStream, file, [name]);
await device.defaultStream.synchronize();
console.log(JSON.stringify({ grown: peak() - before, packed: matrix.bytes }));
device.dispose();
