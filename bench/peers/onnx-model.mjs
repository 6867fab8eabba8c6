// SPDX-License-Identifier: Apache-2.0
// ONNX models of single operators, written with the part of onnx.proto that they need.
import protobuf from 'protobufjs';

const { root } = protobuf.parse(
  `
  syntax = "proto2";
  message Dimension { optional int64 dim_value = 1; optional string dim_param = 2; }
  message Shape { repeated Dimension dim = 1; }
  message TensorType { optional int32 elem_type = 1; optional Shape shape = 2; }
  message Type { optional TensorType tensor_type = 1; }
  message ValueInfo { optional string name = 1; optional Type type = 2; }
  message Tensor { repeated int64 dims = 1; optional int32 data_type = 2; optional string name = 8; optional bytes raw_data = 9; }
  message Attribute { optional string name = 1; optional int64 i = 3; optional int32 type = 20; }
  message Node {
    repeated string input = 1; repeated string output = 2; optional string op_type = 4; repeated Attribute attribute = 5;
    optional string domain = 7;
  }
  message Graph {
    repeated Node node = 1; optional string name = 2; repeated Tensor initializer = 5; repeated ValueInfo input = 11;
    repeated ValueInfo output = 12;
  }
  message OperatorSet { optional string domain = 1; optional int64 version = 2; }
  message Model { optional int64 ir_version = 1; optional Graph graph = 7; repeated OperatorSet opset_import = 8; }
`,
  { keepCase: true },
);
const Model = root.lookupType('Model');
const elementTypes = { float32: 1, uint8: 2, int32: 6 };

/** A constant of the graph. */
export function constant(name, type, dims, bytes) {
  return { name, data_type: elementTypes[type], dims, raw_data: bytes };
}

/** An input or output; dimensions that are strings may vary. */
export function value(name, type, dims) {
  const dim = dims.map((d) => (typeof d === 'string' ? { dim_param: d } : { dim_value: d }));
  return { name, type: { tensor_type: { elem_type: elementTypes[type], shape: { dim } } } };
}

/** A node of the com.microsoft domain with integer attributes. */
export function node(type, input, output, attributes) {
  const attribute = Object.entries(attributes).map(([name, i]) => ({ name, i, type: 2 }));
  return { op_type: type, input, output, attribute, domain: 'com.microsoft' };
}

/** The model's bytes. */
export function encodeModel({ nodes, constants = [], inputs, outputs }) {
  const graph = { name: 'bench', node: nodes, initializer: constants, input: inputs, output: outputs };
  const opset_import = [
    { domain: '', version: 17 },
    { domain: 'com.microsoft', version: 1 },
  ];
  return Model.encode({ ir_version: 8, graph, opset_import }).finish();
}
