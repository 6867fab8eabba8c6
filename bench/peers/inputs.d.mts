// SPDX-License-Identifier: Apache-2.0
export function linearCode(layer: number, index: number): number;
export function linearScale(k: number): number;
export function linearNumbers(count: number): Float32Array;
export function attentionNumbers(name: 'q' | 'k' | 'v' | 'pastK' | 'pastV', count: number): Float32Array;
