// SPDX-License-Identifier: Apache-2.0
export { type ErrorCode, PagewarpError } from './errors.js';
export { type CpuIsa, type CpuOptions, Device, type DeviceInfo } from './tensor/device.js';
export type { DType, FloatDType, TypedArrayOf } from './tensor/dtype.js';
export { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from './tensor/float16.js';
export { philox, uniformF32, uniformF64 } from './tensor/philox.js';
export { CommandList, Event, Stream } from './tensor/stream.js';
export { Tensor } from './tensor/tensor.js';
