// SPDX-License-Identifier: Apache-2.0
// The arithmetic decoder of one host instruction set. The including file has included arithmetic_prelude.h and opened
// a namespace of its own.

using ptx::isFloat;
using ptx::isSigned;
using ptx::Operand;
using ptx::Statement;
using ptx::Type;
using ptx::typeBytes;

namespace {

#include "exec/isa/lanes.inl"

bool decodeHalfBasic(Decoder& d, const Statement& s, Instruction& in);
bool decodeHalfSpecial(Decoder& d, const Statement& s, Instruction& in, Type t);
bool decodeHalfMinMax(Decoder& d, const Statement& s, Instruction& in, Type t, bool max, bool nan, bool xorSign,
                      bool ftz);
void decodeHalfSign(Decoder& d, Instruction& in, Type t, bool negate, bool ftz);

// Later files use what earlier ones define.
// clang-format off
#include "exec/isa/integer.inl"
#include "exec/isa/bits.inl"
#include "exec/isa/video.inl"
#include "exec/isa/float.inl"
#include "exec/isa/half.inl"
#include "exec/isa/select.inl"
#include "exec/isa/convert.inl"
// clang-format on

Type lastType(const Statement& s) {
  for (size_t i = s.op.size(); i-- > 1;) {
    const Type t = ptx::parseType(s.op[i]);
    if (t != Type::None) return t;
  }
  return Type::None;
}

bool decodeByType(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  const Type t = lastType(s);
  if (isHalfType(t)) return decodeHalfBasic(d, s, in);
  if (isFloat(t)) return decodeFloatBasic(d, s, in);
  if (s.has("cc")) return decodeCarry(d, s, in);
  if (op == "add" || op == "sub") return decodeAddSub(d, s, in, op == "sub");
  return decodeMultiply(d, s, in, op == "mad");
}

bool decodeDivRem(Decoder& d, const Statement& s, Instruction& in) {
  const Type t = lastType(s);
  if (isFloat(t)) return decodeDivide(d, s, in);
  Modifiers m(s);
  m.type();
  m.done();
  sameTypeOperands(d, s, in, t, 2);
  in.run = s.op[0] == "div" ? binaryInteger<kDivide>(t) : binaryInteger<kRemainder>(t);
  return true;
}

bool decodeSad(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const Type t = m.type();
  m.done();
  sameTypeOperands(d, s, in, t, 3);
  switch (typeBytes(t)) {
    case 2:
      in.run = isSigned(t) ? ternary<kSumAbsDiff, int16_t> : ternary<kSumAbsDiff, uint16_t>;
      break;
    case 4:
      in.run = isSigned(t) ? ternary<kSumAbsDiff, int32_t> : ternary<kSumAbsDiff, uint32_t>;
      break;
    case 8:
      in.run = isSigned(t) ? ternary<kSumAbsDiff, int64_t> : ternary<kSumAbsDiff, uint64_t>;
      break;
    default:
      throw Unsupported{"type"};
  }
  return true;
}

template <bool Add>
bool mul24(Decoder& d, const Statement& s, Instruction& in) {
  return decodeMul24(d, s, in, Add);
}
template <bool Left>
bool shift(Decoder& d, const Statement& s, Instruction& in) {
  return decodeShift(d, s, in, Left);
}

}  // namespace

bool decodeArithmetic(Decoder& d, const Statement& s, Instruction& in) {
  static const std::unordered_map<std::string, DecodeFunction> kTable = {
      {"add", decodeByType},      {"sub", decodeByType},        {"mul", decodeByType},      {"mad", decodeByType},
      {"fma", decodeByType},      {"addc", decodeCarry},        {"subc", decodeCarry},      {"madc", decodeCarry},
      {"mul24", mul24<false>},    {"mad24", mul24<true>},       {"sad", decodeSad},         {"div", decodeDivRem},
      {"rem", decodeDivRem},      {"abs", decodeSign},          {"neg", decodeSign},        {"min", decodeMinMax},
      {"max", decodeMinMax},      {"and", decodeLogic},         {"or", decodeLogic},        {"xor", decodeLogic},
      {"not", decodeLogic},       {"cnot", decodeLogic},        {"lop3", decodeLop3},       {"shl", shift<true>},
      {"shr", shift<false>},      {"shf", decodeFunnel},        {"popc", decodeBitCount},   {"clz", decodeBitCount},
      {"brev", decodeBitCount},   {"bfind", decodeBitCount},    {"bfe", decodeBitField},    {"bfi", decodeBitField},
      {"bmsk", decodeWordFields}, {"szext", decodeWordFields},  {"fns", decodeWordFields},  {"prmt", decodePermute},
      {"dp4a", decodeDot},        {"dp2a", decodeDot},          {"vadd", decodeVideo},      {"vsub", decodeVideo},
      {"vabsdiff", decodeVideo},  {"vmin", decodeVideo},        {"vmax", decodeVideo},      {"vshl", decodeVideo},
      {"vshr", decodeVideo},      {"vmad", decodeVideo},        {"vset", decodeVideo},      {"vadd2", decodeVideo},
      {"vsub2", decodeVideo},     {"vavrg2", decodeVideo},      {"vabsdiff2", decodeVideo}, {"vmin2", decodeVideo},
      {"vmax2", decodeVideo},     {"vset2", decodeVideo},       {"vadd4", decodeVideo},     {"vsub4", decodeVideo},
      {"vavrg4", decodeVideo},    {"vabsdiff4", decodeVideo},   {"vmin4", decodeVideo},     {"vmax4", decodeVideo},
      {"vset4", decodeVideo},     {"rcp", decodeRoot},          {"sqrt", decodeRoot},       {"rsqrt", decodeRoot},
      {"ex2", decodeSpecial},     {"lg2", decodeSpecial},       {"sin", decodeSpecial},     {"cos", decodeSpecial},
      {"tanh", decodeSpecial},    {"copysign", decodeCopySign}, {"testp", decodeTestp},     {"setp", decodeSetp},
      {"set", decodeSet},         {"selp", decodeSelp},         {"slct", decodeSlct},       {"mov", decodeMove},
      {"cvt", decodeConvert}};
  auto it = kTable.find(s.op[0]);
  return it != kTable.end() && it->second(d, s, in);
}
