// SPDX-License-Identifier: Apache-2.0
// Comparison, selection, moves.

enum Compare { kEq, kNe, kLt, kLe, kGt, kGe, kEqu, kNeu, kLtu, kLeu, kGtu, kGeu, kNum, kIsNan, kCompareCount };

template <int Op, class T>
inline bool compare(T a, T b) {
  if constexpr (Op == kEq) return a == b;
  if constexpr (Op == kNe) return std::is_floating_point_v<T> ? a < b || a > b : a != b;
  if constexpr (Op == kLt) return a < b;
  if constexpr (Op == kLe) return a <= b;
  if constexpr (Op == kGt) return a > b;
  if constexpr (Op == kGe) return a >= b;
  if constexpr (Op == kEqu) return !(a < b || a > b);
  if constexpr (Op == kNeu) return !(a == b);
  if constexpr (Op == kLtu) return !(a >= b);
  if constexpr (Op == kLeu) return !(a > b);
  if constexpr (Op == kGtu) return !(a <= b);
  if constexpr (Op == kGeu) return !(a < b);
  if constexpr (Op == kNum) return a == a && b == b;
  if constexpr (Op == kIsNan) return a != a || b != b;
  return false;
}

/// Reads of the values to compare: K-th of a register's values as the type compared.
template <class T>
struct Plain {
  using Stored = T;
  static T value(T v) { return v; }
};
struct FlushedFloat {
  using Stored = float;
  static float value(float v) { return flush(v); }
};
template <class Format, bool Ftz = false>
struct FromHalf {
  using Stored = uint16_t;
  static float value(uint16_t v) { return Format::decode(Ftz ? Format::flushed(v) : v); }
};

/// Lanes for which a comparison holds; stride 2 compares one half of packed registers.
using CompareFunction = uint32_t (*)(const void* a, const void* b, int stride, int first);

template <class Reader, int Op>
uint32_t compareLanes(const void* pa, const void* pb, int stride, int first) {
  using Stored = typename Reader::Stored;
  const auto *a = static_cast<const Stored*>(pa) + first, *b = static_cast<const Stored*>(pb) + first;
  if constexpr (sizeof(Stored) == 2)
    if (stride == 2)
      return predicateOf([=](int i) { return compare<Op>(Reader::value(a[2 * i]), Reader::value(b[2 * i])); });
  (void)stride;
  return predicateOf([=](int i) { return compare<Op>(Reader::value(a[i]), Reader::value(b[i])); });
}

struct ComparePayload {
  CompareFunction run = nullptr;
  int stride = 1;
  uint8_t combine = 0;  ///< 0 none, 1 and, 2 or, 3 xor with in.c
  uint8_t result = 0;   ///< set: 0 all ones, 1 float 1.0, 2 f16 1.0, 3 bf16 1.0, 4 all ones of 16 bits
};

template <class Reader, size_t... Op>
CompareFunction compareTable(size_t op, std::index_sequence<Op...>) {
  static constexpr CompareFunction kTable[] = {compareLanes<Reader, int(Op)>...};
  if (op >= sizeof...(Op)) throw Unsupported{"comparison of integers"};
  return kTable[op];
}
template <class Format>
CompareFunction compareFloats(int op) {
  return compareTable<Format>(size_t(op), std::make_index_sequence<kCompareCount>{});
}
template <class T>
CompareFunction compareIntegers(int op) {
  return compareTable<Plain<T>>(size_t(op), std::make_index_sequence<kGe + 1>{});
}

CompareFunction compareFunction(Type t, int op, bool ftz) {
  switch (t) {
    case Type::F32:
      return ftz ? compareFloats<FlushedFloat>(op) : compareFloats<Plain<float>>(op);
    case Type::F64:
      return compareFloats<Plain<double>>(op);
    case Type::F16:
    case Type::F16x2:
      return ftz ? compareFloats<FromHalf<Half, true>>(op) : compareFloats<FromHalf<Half>>(op);
    case Type::BF16:
    case Type::BF16x2:
      return compareFloats<FromHalf<Bfloat>>(op);
    case Type::S16:
      return compareIntegers<int16_t>(op);
    case Type::S32:
      return compareIntegers<int32_t>(op);
    case Type::S64:
      return compareIntegers<int64_t>(op);
    case Type::U16:
    case Type::B16:
      return compareIntegers<uint16_t>(op);
    case Type::U32:
    case Type::B32:
      return compareIntegers<uint32_t>(op);
    case Type::U64:
    case Type::B64:
      return compareIntegers<uint64_t>(op);
    default:
      throw Unsupported{"type of comparison"};
  }
}

int takeCompare(Modifiers& m) {
  static const std::pair<const char*, int> kNames[] = {
      {"eq", kEq},   {"ne", kNe},   {"lt", kLt},   {"le", kLe},   {"gt", kGt},   {"ge", kGe},
      {"lo", kLt},   {"ls", kLe},   {"hi", kGt},   {"hs", kGe},   {"equ", kEqu}, {"neu", kNeu},
      {"ltu", kLtu}, {"leu", kLeu}, {"gtu", kGtu}, {"geu", kGeu}, {"num", kNum}, {"nan", kIsNan}};
  for (auto& [name, op] : kNames)
    if (m.take(name)) return op;
  throw Unsupported{"comparison operator"};
}

inline uint32_t combine(const Context& c, const Instruction& in, const ComparePayload& p, uint32_t value) {
  if (!p.combine) return value;
  const uint32_t other = c.predicate(in.c);
  return p.combine == 1 ? value & other : p.combine == 2 ? value | other : value ^ other;
}

void setPredicates(Context& c, const Instruction& in) {
  const auto& p = *static_cast<const ComparePayload*>(in.payload);
  const void *a = c.at<uint8_t>(in.a), *b = c.at<uint8_t>(in.b);
  const uint32_t first = p.run(a, b, p.stride, 0);
  const uint32_t second = p.stride == 2 ? p.run(a, b, 2, 1) : ~first;
  const uint32_t r = combine(c, in, p, first), q = combine(c, in, p, second);
  c.setPredicate(in.dst, r);
  if (in.dst2 != kNoRef) c.setPredicate(in.dst2, q);
}

bool decodeSetp(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  auto* p = d.payload<ComparePayload>();
  const int op = takeCompare(m);
  p->combine = m.take("and") ? 1 : m.take("or") ? 2 : m.take("xor") ? 3 : 0;
  const bool ftz = m.take("ftz");
  const Type t = m.type();
  m.done();
  needOperands(s, p->combine ? 4 : 3);
  p->run = compareFunction(t, op, ftz);
  p->stride = int(halvesPerLane(t));
  in.a = d.source(s.operands[1], t);
  in.b = d.source(s.operands[2], t);
  if (p->combine) in.c = d.predicateSource(s.operands[3]);
  const Operand& o = s.operands[0];
  if (o.kind == Operand::Kind::Pair) {
    in.dst = d.predicateDestination(o.elements[0]);
    in.dst2 = d.predicateDestination(o.elements[1]);
  } else {
    in.dst = d.predicateDestination(o);
  }
  in.payload = p;
  in.run = setPredicates;
  in.kind = InstructionClass::Predicate;
  return true;
}

void setValues(Context& c, const Instruction& in) {
  const auto& p = *static_cast<const ComparePayload*>(in.payload);
  const void *a = c.at<uint8_t>(in.a), *b = c.at<uint8_t>(in.b);
  const uint32_t low = combine(c, in, p, p.run(a, b, p.stride, 0));
  if (p.stride == 2) {
    const uint32_t high = combine(c, in, p, p.run(a, b, 2, 1));
    const uint32_t one = p.result == 2 ? 0x3C00 : p.result == 3 ? 0x3F80 : 0xFFFF;
    assign<uint32_t>(c, in.dst, [=](int i) { return ((low >> i & 1) ? one : 0) | ((high >> i & 1) ? one << 16 : 0); });
  } else if (p.result >= 2) {
    const uint16_t one = p.result == 2 ? 0x3C00 : p.result == 3 ? 0x3F80 : 0xFFFF;
    assign<uint16_t>(c, in.dst, [=](int i) { return uint16_t((low >> i & 1) ? one : 0); });
  } else {
    const uint32_t one = p.result == 1 ? 0x3F800000 : ~0u;
    assign<uint32_t>(c, in.dst, [=](int i) { return (low >> i & 1) ? one : 0; });
  }
}

bool decodeSet(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  auto* p = d.payload<ComparePayload>();
  const int op = takeCompare(m);
  p->combine = m.take("and") ? 1 : m.take("or") ? 2 : m.take("xor") ? 3 : 0;
  const bool ftz = m.take("ftz");
  const Type result = m.type(), t = m.type();
  m.done();
  needOperands(s, p->combine ? 4 : 3);
  p->run = compareFunction(t, op, ftz);
  p->stride = int(halvesPerLane(t));
  p->result = result == Type::F32                            ? 1
              : result == Type::F16 || result == Type::F16x2 ? 2
              : isBfloat(result)                             ? 3
              : result == Type::U16 || result == Type::S16   ? 4
                                                             : 0;
  if (p->result == 0 && result != Type::U32 && result != Type::S32) throw Unsupported{"result type"};
  if (p->stride == 2 && (p->result == 1 || p->result == 4)) throw Unsupported{"result type"};
  in.a = d.source(s.operands[1], t);
  in.b = d.source(s.operands[2], t);
  if (p->combine) in.c = d.predicateSource(s.operands[3]);
  in.dst = d.destination(s.operands[0], typeBytes(result));
  in.payload = p;
  in.run = setValues;
  return true;
}

template <class T>
void selectValues(Context& c, const Instruction& in) {
  const T *a = c.at<T>(in.a), *b = c.at<T>(in.b);
  const uint32_t p = c.predicate(in.c);
  assign<T>(c, in.dst, [=](int i) { return (p >> i & 1) ? a[i] : b[i]; });
}

bool decodeSelp(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const Type t = m.type();
  m.done();
  needOperands(s, 4);
  const unsigned bytes = typeBytes(t);
  in.a = d.source(s.operands[1], t);
  in.b = d.source(s.operands[2], t);
  in.c = d.predicateSource(s.operands[3]);
  in.dst = d.destination(s.operands[0], bytes);
  in.run = bytes == 2   ? selectValues<uint16_t>
           : bytes == 4 ? selectValues<uint32_t>
           : bytes == 8 ? selectValues<uint64_t>
                        : nullptr;
  if (!in.run) throw Unsupported{"type"};
  in.kind = InstructionClass::Move;
  return true;
}

template <class T, class S, bool Ftz>
void selectBySign(Context& c, const Instruction& in) {
  const T *a = c.at<T>(in.a), *b = c.at<T>(in.b);
  const S* e = c.at<S>(in.c);
  assign<T>(c, in.dst, [=](int i) { return input<Ftz>(e[i]) >= S(0) ? a[i] : b[i]; });
}

bool decodeSlct(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool ftz = m.take("ftz");
  const Type t = m.type(), by = m.type();
  m.done();
  needOperands(s, 4);
  const unsigned bytes = typeBytes(t);
  in.a = d.source(s.operands[1], t);
  in.b = d.source(s.operands[2], t);
  in.c = d.source(s.operands[3], by);
  in.dst = d.destination(s.operands[0], bytes);
  if (by == Type::S32)
    in.run = bytes == 2   ? selectBySign<uint16_t, int32_t, false>
             : bytes == 4 ? selectBySign<uint32_t, int32_t, false>
                          : selectBySign<uint64_t, int32_t, false>;
  else if (by == Type::F32 && ftz)
    in.run = bytes == 2   ? selectBySign<uint16_t, float, true>
             : bytes == 4 ? selectBySign<uint32_t, float, true>
                          : selectBySign<uint64_t, float, true>;
  else if (by == Type::F32)
    in.run = bytes == 2   ? selectBySign<uint16_t, float, false>
             : bytes == 4 ? selectBySign<uint32_t, float, false>
                          : selectBySign<uint64_t, float, false>;
  else
    throw Unsupported{"type"};
  in.kind = InstructionClass::Move;
  return true;
}

constexpr auto kIdentity = [](auto a) { return a; };

void moveWide(Context& c, const Instruction& in) {
  using Pair = std::array<uint64_t, 2>;
  const Pair* a = c.at<Pair>(in.a);
  Pair* d = c.at<Pair>(in.dst);
  for (int i = 0; i < kLanes; ++i)
    if (c.mask >> i & 1) d[i] = a[i];
}

struct VectorMove {
  std::array<Ref, 16> part = {};
  int parts = 0;
  unsigned partBytes = 0;
  unsigned partStride = 0;  ///< registers have at least 16 bits
};

/// mov.b64 {lo, hi}, d and its relatives.
void unpackVector(Context& c, const Instruction& in) {
  const auto& v = *static_cast<const VectorMove*>(in.payload);
  const uint8_t* whole = c.at<uint8_t>(in.a);
  const size_t bytes = size_t(v.parts) * v.partBytes;
  for (int k = 0; k < v.parts; ++k) {
    if (v.part[size_t(k)] == kNoRef) continue;
    uint8_t* d = c.at<uint8_t>(v.part[size_t(k)]);
    for (int i = 0; i < kLanes; ++i)
      if (c.mask >> i & 1)
        std::memcpy(d + size_t(i) * v.partStride, whole + size_t(i) * bytes + size_t(k) * v.partBytes, v.partBytes);
  }
}

void packVector(Context& c, const Instruction& in) {
  const auto& v = *static_cast<const VectorMove*>(in.payload);
  const size_t bytes = size_t(v.parts) * v.partBytes;
  uint8_t* d = c.at<uint8_t>(in.dst);
  for (int k = 0; k < v.parts; ++k) {
    const uint8_t* a = c.at<uint8_t>(v.part[size_t(k)]);
    for (int i = 0; i < kLanes; ++i)
      if (c.mask >> i & 1)
        std::memcpy(d + size_t(i) * bytes + size_t(k) * v.partBytes, a + size_t(i) * v.partStride, v.partBytes);
  }
}

bool decodeVectorMove(Decoder& d, const Statement& s, Instruction& in, unsigned bytes) {
  const bool unpack = s.operands[0].kind == Operand::Kind::Vector;
  const Operand& list = s.operands[unpack ? 0 : 1];
  auto* v = d.payload<VectorMove>();
  v->parts = int(list.elements.size());
  if (bytes < 2 || v->parts < 2 || bytes % unsigned(v->parts)) throw Unsupported{"vector of this size"};
  v->partBytes = bytes / unsigned(v->parts);
  v->partStride = std::max(2u, v->partBytes);
  for (int k = 0; k < v->parts; ++k) {
    const Operand& e = list.elements[size_t(k)];
    if (!unpack)
      v->part[size_t(k)] = d.source(e, v->partStride);
    else
      v->part[size_t(k)] = e.kind == Operand::Kind::Sink ? kNoRef : d.destination(e, v->partStride);
  }
  if (unpack)
    in.a = d.source(s.operands[1], bytes);
  else
    in.dst = d.destination(s.operands[0], bytes);
  in.payload = v;
  in.run = unpack ? unpackVector : packVector;
  return true;
}

constexpr auto kTruncate16 = [](uint32_t a) { return uint16_t(a); };
constexpr auto kExtend64 = [](uint32_t a) { return uint64_t(a); };

bool decodeMove(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const Type t = m.type();
  m.done();
  needOperands(s, 2);
  in.kind = InstructionClass::Move;
  const Operand& from = s.operands[1];
  if (t == Type::Pred) {
    in.a = d.predicateSource(from);
    in.dst = d.predicateDestination(s.operands[0]);
    in.run = predicateLogic<4>;
    return true;
  }
  const unsigned bytes = typeBytes(t);
  if (s.operands[0].kind == Operand::Kind::Vector || from.kind == Operand::Kind::Vector)
    return decodeVectorMove(d, s, in, bytes);
  in.dst = d.destination(s.operands[0], bytes);
  if (from.kind == Operand::Kind::Special) {
    const Ref r = specialRegister(from.name);
    if (r == kNoRef) return false;  // one that changes while running
    in.a = r;
    in.run = bytes == 2   ? Handler(unaryTo<kTruncate16, uint16_t, uint32_t>)
             : bytes == 4 ? Handler(unary<kIdentity, uint32_t>)
                          : Handler(unaryTo<kExtend64, uint64_t, uint32_t>);
    return true;
  }
  in.a = d.source(from, t);
  switch (bytes) {
    case 2:
      in.run = unary<kIdentity, uint16_t>;
      break;
    case 4:
      in.run = unary<kIdentity, uint32_t>;
      break;
    case 8:
      in.run = unary<kIdentity, uint64_t>;
      break;
    case 16:
      in.run = moveWide;
      break;
    default:
      throw Unsupported{"type"};
  }
  return true;
}
