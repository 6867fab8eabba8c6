// SPDX-License-Identifier: Apache-2.0
#include <unordered_map>

#include "ptx/ast.h"

namespace gpusim::ptx {

Type parseType(const std::string& word) {
  static const std::unordered_map<std::string, Type> kTypes = {
      {"pred", Type::Pred}, {"b8", Type::B8},         {"b16", Type::B16},       {"b32", Type::B32},
      {"b64", Type::B64},   {"b128", Type::B128},     {"u8", Type::U8},         {"u16", Type::U16},
      {"u32", Type::U32},   {"u64", Type::U64},       {"s8", Type::S8},         {"s16", Type::S16},
      {"s32", Type::S32},   {"s64", Type::S64},       {"f16", Type::F16},       {"f16x2", Type::F16x2},
      {"bf16", Type::BF16}, {"bf16x2", Type::BF16x2}, {"f32", Type::F32},       {"f64", Type::F64},
      {"tf32", Type::TF32}, {"e4m3x2", Type::E4M3x2}, {"e5m2x2", Type::E5M2x2}, {"e4m3", Type::E4M3},
      {"e5m2", Type::E5M2}, {"u4", Type::U4},         {"s4", Type::S4},         {"b1", Type::B1}};
  auto it = kTypes.find(word);
  return it == kTypes.end() ? Type::None : it->second;
}

unsigned typeBytes(Type t) {
  switch (t) {
    case Type::B16:
    case Type::U16:
    case Type::S16:
    case Type::F16:
    case Type::BF16:
    case Type::E4M3x2:
    case Type::E5M2x2:
      return 2;
    case Type::B32:
    case Type::U32:
    case Type::S32:
    case Type::F32:
    case Type::F16x2:
    case Type::BF16x2:
    case Type::TF32:
      return 4;
    case Type::B64:
    case Type::U64:
    case Type::S64:
    case Type::F64:
      return 8;
    case Type::B128:
      return 16;
    default:
      return 1;
  }
}

bool isSigned(Type t) { return t == Type::S8 || t == Type::S16 || t == Type::S32 || t == Type::S64 || t == Type::S4; }

bool isFloat(Type t) {
  switch (t) {
    case Type::F16:
    case Type::F16x2:
    case Type::BF16:
    case Type::BF16x2:
    case Type::F32:
    case Type::F64:
    case Type::TF32:
      return true;
    default:
      return false;
  }
}

bool Statement::has(const char* word) const {
  for (size_t i = 1; i < op.size(); ++i)
    if (op[i] == word) return true;
  return false;
}

}  // namespace gpusim::ptx
