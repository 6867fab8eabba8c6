// SPDX-License-Identifier: Apache-2.0
// Logic, shifts, bit fields, byte permutation, dot products.

constexpr auto kAnd = [](auto a, auto b) { return a & b; };
constexpr auto kOr = [](auto a, auto b) { return a | b; };
constexpr auto kXor = [](auto a, auto b) { return a ^ b; };
constexpr auto kNot = [](auto a) { return ~a; };
constexpr auto kCNot = [](auto a) { return a == 0 ? 1 : 0; };

template <int Op>
void predicateLogic(Context& c, const Instruction& in) {
  const uint32_t a = c.predicate(in.a), b = in.b == kNoRef ? 0 : c.predicate(in.b);
  c.setPredicate(in.dst, Op == 0 ? a & b : Op == 1 ? a | b : Op == 2 ? a ^ b : Op == 3 ? ~a : a);
}

bool decodeLogic(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  const Type t = m.type();
  m.done();
  const bool two = op == "and" || op == "or" || op == "xor";
  if (t == Type::Pred) {
    needOperands(s, two ? 3 : 2);
    in.a = d.predicateSource(s.operands[1]);
    if (two) in.b = d.predicateSource(s.operands[2]);
    in.dst = d.predicateDestination(s.operands[0]);
    in.run = op == "and"   ? predicateLogic<0>
             : op == "or"  ? predicateLogic<1>
             : op == "xor" ? predicateLogic<2>
                           : predicateLogic<3>;
    in.kind = InstructionClass::Predicate;
    return true;
  }
  sameTypeOperands(d, s, in, t, two ? 2 : 1);
  const unsigned bytes = typeBytes(t);
  const Type u = bytes == 2 ? Type::U16 : bytes == 4 ? Type::U32 : Type::U64;
  in.run = op == "and"   ? binaryBits<kAnd>(bytes)
           : op == "or"  ? binaryBits<kOr>(bytes)
           : op == "xor" ? binaryBits<kXor>(bytes)
           : op == "not" ? unaryInteger<kNot>(u)
                         : unaryInteger<kCNot>(u);
  return true;
}

template <int Table>
void lop3Fixed(Context& c, const Instruction& in) {
  const uint32_t *a = c.at<uint32_t>(in.a), *b = c.at<uint32_t>(in.b), *e = c.at<uint32_t>(in.c);
  assign<uint32_t>(c, in.dst, [=](int i) {
    uint32_t r = 0;
    if constexpr (Table & 0x01) r |= ~a[i] & ~b[i] & ~e[i];
    if constexpr (Table & 0x02) r |= ~a[i] & ~b[i] & e[i];
    if constexpr (Table & 0x04) r |= ~a[i] & b[i] & ~e[i];
    if constexpr (Table & 0x08) r |= ~a[i] & b[i] & e[i];
    if constexpr (Table & 0x10) r |= a[i] & ~b[i] & ~e[i];
    if constexpr (Table & 0x20) r |= a[i] & ~b[i] & e[i];
    if constexpr (Table & 0x40) r |= a[i] & b[i] & ~e[i];
    if constexpr (Table & 0x80) r |= a[i] & b[i] & e[i];
    return r;
  });
}

void lop3(Context& c, const Instruction& in) {
  const uint32_t *a = c.at<uint32_t>(in.a), *b = c.at<uint32_t>(in.b), *e = c.at<uint32_t>(in.c);
  uint32_t use[8];
  for (int k = 0; k < 8; ++k) use[k] = (in.imm >> k & 1) ? ~0u : 0;
  assign<uint32_t>(c, in.dst, [=](int i) {
    const uint32_t x = a[i], y = b[i], z = e[i];
    return (~x & ((~y & ((~z & use[0]) | (z & use[1]))) | (y & ((~z & use[2]) | (z & use[3]))))) |
           (x & ((~y & ((~z & use[4]) | (z & use[5]))) | (y & ((~z & use[6]) | (z & use[7])))));
  });
}

/// lop3 with a second, predicate result: (d != 0) combined with the predicate imm >> 32.
template <bool And>
void lop3Predicate(Context& c, const Instruction& in) {
  const Ref other = Ref(in.imm >> 32);
  const uint32_t q = c.predicate(other);
  lop3(c, in);
  const uint32_t* d = c.at<uint32_t>(in.dst);
  const uint32_t p = predicateOf([=](int i) { return d[i] != 0; });
  c.setPredicate(in.dst2, And ? p & q : p | q);
}

bool decodeLop3(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool withOr = m.take("or"), withAnd = m.take("and");
  if (m.type() != Type::B32) throw Unsupported{"type"};
  m.done();
  const bool predicate = withOr || withAnd;
  needOperands(s, predicate ? 6 : 5);
  if (s.operands[4].kind != Operand::Kind::Integer) throw Unsupported{"look-up table is not a constant"};
  in.a = d.source(s.operands[1], 4), in.b = d.source(s.operands[2], 4), in.c = d.source(s.operands[3], 4);
  in.imm = s.operands[4].value & 0xFF;
  if (predicate) {
    if (s.operands[0].kind != Operand::Kind::Pair) throw Unsupported{"needs two destinations"};
    in.dst = d.destination(s.operands[0].elements[0], 4);
    in.dst2 = d.predicateDestination(s.operands[0].elements[1]);
    in.imm |= uint64_t(d.predicateSource(s.operands[5])) << 32;
    in.run = withAnd ? lop3Predicate<true> : lop3Predicate<false>;
    return true;
  }
  in.dst = d.destination(s.operands[0], 4);
  in.run = in.imm == 0xEA   ? lop3Fixed<0xEA>
           : in.imm == 0x96 ? lop3Fixed<0x96>
           : in.imm == 0xE8 ? lop3Fixed<0xE8>
                            : lop3;
  return true;
}

constexpr auto kShl = [](auto a, uint32_t n) {
  using T = decltype(a);
  return n >= sizeof(T) * 8 ? T(0) : T(a << n);
};
constexpr auto kShr = [](auto a, uint32_t n) {
  using T = decltype(a);
  constexpr uint32_t kBits = sizeof(T) * 8;
  if constexpr (std::is_signed_v<T>)
    return T(a >> (n >= kBits ? kBits - 1 : n));
  else
    return n >= kBits ? T(0) : T(a >> n);
};

bool decodeShift(Decoder& d, const Statement& s, Instruction& in, bool left) {
  Modifiers m(s);
  const Type t = m.type();
  m.done();
  needOperands(s, 3);
  const unsigned bytes = typeBytes(t);
  in.a = d.source(s.operands[1], bytes);
  in.b = d.source(s.operands[2], 4);
  in.dst = d.destination(s.operands[0], bytes);
  const bool sign = isSigned(t) && !left;
  switch (bytes) {
    case 2:
      in.run = left   ? binaryTo<kShl, uint16_t, uint16_t, uint32_t>
               : sign ? binaryTo<kShr, int16_t, int16_t, uint32_t>
                      : binaryTo<kShr, uint16_t, uint16_t, uint32_t>;
      break;
    case 4:
      in.run = left   ? binaryTo<kShl, uint32_t, uint32_t, uint32_t>
               : sign ? binaryTo<kShr, int32_t, int32_t, uint32_t>
                      : binaryTo<kShr, uint32_t, uint32_t, uint32_t>;
      break;
    case 8:
      in.run = left   ? binaryTo<kShl, uint64_t, uint64_t, uint32_t>
               : sign ? binaryTo<kShr, int64_t, int64_t, uint32_t>
                      : binaryTo<kShr, uint64_t, uint64_t, uint32_t>;
      break;
    default:
      throw Unsupported{"operand size"};
  }
  return true;
}

template <bool Left, bool Clamp>
uint32_t funnel(uint32_t low, uint32_t high, uint32_t n) {
  n = Clamp ? std::min(n, 32u) : n & 31;
  const uint64_t both = uint64_t(high) << 32 | low;
  return Left ? uint32_t((both << n) >> 32) : uint32_t(both >> n);
}
constexpr auto kFunnelLeftClamp = [](uint32_t a, uint32_t b, uint32_t n) { return funnel<true, true>(a, b, n); };
constexpr auto kFunnelLeftWrap = [](uint32_t a, uint32_t b, uint32_t n) { return funnel<true, false>(a, b, n); };
constexpr auto kFunnelRightClamp = [](uint32_t a, uint32_t b, uint32_t n) { return funnel<false, true>(a, b, n); };
constexpr auto kFunnelRightWrap = [](uint32_t a, uint32_t b, uint32_t n) { return funnel<false, false>(a, b, n); };

bool decodeFunnel(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool left = m.take("l"), right = m.take("r"), clamp = m.take("clamp"), wrap = m.take("wrap");
  if (left == right || clamp == wrap || m.type() != Type::B32) throw Unsupported{"variant"};
  m.done();
  sameTypeOperands(d, s, in, Type::B32, 3);
  in.run = left ? (clamp ? ternary<kFunnelLeftClamp, uint32_t> : ternary<kFunnelLeftWrap, uint32_t>)
                : (clamp ? ternary<kFunnelRightClamp, uint32_t> : ternary<kFunnelRightWrap, uint32_t>);
  return true;
}

constexpr auto kPopc = [](auto a) { return uint32_t(std::popcount(Unsigned<decltype(a)>(a))); };
constexpr auto kClz = [](auto a) { return uint32_t(std::countl_zero(Unsigned<decltype(a)>(a))); };
constexpr auto kReverse = [](auto a) {
  using T = decltype(a);
  uint64_t v = a;
  v = (v >> 1 & 0x5555555555555555ull) | (v & 0x5555555555555555ull) << 1;
  v = (v >> 2 & 0x3333333333333333ull) | (v & 0x3333333333333333ull) << 2;
  v = (v >> 4 & 0x0F0F0F0F0F0F0F0Full) | (v & 0x0F0F0F0F0F0F0F0Full) << 4;
  return T(__builtin_bswap64(v) >> (64 - sizeof(T) * 8));
};
constexpr auto kFindBit = [](auto a) {
  using T = decltype(a);
  Unsigned<T> u = Unsigned<T>(a);
  if constexpr (std::is_signed_v<T>)
    if (a < 0) u = ~u;
  return u ? uint32_t(sizeof(T) * 8 - 1 - unsigned(std::countl_zero(u))) : ~0u;
};
constexpr auto kFindShift = [](auto a) {
  const uint32_t bit = kFindBit(a);
  return bit == ~0u ? ~0u : uint32_t(sizeof(a) * 8 - 1) - bit;
};

bool decodeBitCount(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  const bool shift = m.take("shiftamt");
  const Type t = m.type();
  m.done();
  needOperands(s, 2);
  const unsigned bytes = typeBytes(t);
  if (bytes != 4 && bytes != 8) throw Unsupported{"type"};
  in.a = d.source(s.operands[1], bytes);
  in.dst = d.destination(s.operands[0], op == "brev" ? bytes : 4);
  const bool wide = bytes == 8;
  if (op == "popc")
    in.run = wide ? unaryTo<kPopc, uint32_t, uint64_t> : unaryTo<kPopc, uint32_t, uint32_t>;
  else if (op == "clz")
    in.run = wide ? unaryTo<kClz, uint32_t, uint64_t> : unaryTo<kClz, uint32_t, uint32_t>;
  else if (op == "brev")
    in.run = wide ? unary<kReverse, uint64_t> : unary<kReverse, uint32_t>;
  else if (isSigned(t)) {
    if (shift)
      in.run = wide ? unaryTo<kFindShift, uint32_t, int64_t> : unaryTo<kFindShift, uint32_t, int32_t>;
    else
      in.run = wide ? unaryTo<kFindBit, uint32_t, int64_t> : unaryTo<kFindBit, uint32_t, int32_t>;
  } else {
    if (shift)
      in.run = wide ? unaryTo<kFindShift, uint32_t, uint64_t> : unaryTo<kFindShift, uint32_t, uint32_t>;
    else
      in.run = wide ? unaryTo<kFindBit, uint32_t, uint64_t> : unaryTo<kFindBit, uint32_t, uint32_t>;
  }
  return true;
}

constexpr auto kExtract = [](auto a, uint32_t position, uint32_t length) {
  using T = decltype(a);
  using U = Unsigned<T>;
  constexpr uint32_t kBits = sizeof(T) * 8;
  const uint32_t pos = position & 0xFF, len = length & 0xFF;
  const U ones = U(~U(0));
  const U valid = pos >= kBits ? U(0) : U((len >= kBits ? ones : U((U(1) << len) - 1)) & (ones >> pos));
  U r = pos >= kBits ? U(0) : U((U(a) >> pos) & valid);
  if constexpr (std::is_signed_v<T>)
    if (len && (U(a) >> std::min(pos + len - 1, kBits - 1) & 1)) r |= U(~valid);
  return T(r);
};

template <class T>
void insertField(Context& c, const Instruction& in) {
  const T *a = c.at<T>(in.a), *b = c.at<T>(in.b);
  const uint32_t *position = c.at<uint32_t>(in.c), *length = c.at<uint32_t>(in.dst2);
  constexpr uint32_t kBits = sizeof(T) * 8;
  assign<T>(c, in.dst, [=](int i) {
    const uint32_t pos = position[i] & 0xFF, len = length[i] & 0xFF;
    const T ones = len >= kBits ? T(~T(0)) : T((T(1) << len) - 1);
    const T mask = pos >= kBits ? T(0) : T(ones << pos);
    return T((b[i] & ~mask) | ((pos >= kBits ? T(0) : T(a[i] << pos)) & mask));
  });
}

constexpr auto kMaskClamp = [](uint32_t a, uint32_t b) {
  const uint64_t end = uint64_t(a) + b;
  return a >= 32 ? 0u : (~0u << a) & (b >= 32 || end >= 32 ? ~0u : ~(~0u << end));
};
constexpr auto kMaskWrap = [](uint32_t a, uint32_t b) { return kMaskClamp(a & 31, b & 31); };
template <bool Clamp, bool Sign>
uint32_t extendFrom(uint32_t a, uint32_t b) {
  if (Clamp && b >= 32) return a;
  const uint32_t n = b & 31, mask = ~0u << n;
  const bool negative = Sign && n && (a >> (n - 1) & 1);
  return (a & ~mask) | (negative ? mask : 0);
}
constexpr auto kFindNth = [](uint32_t mask, uint32_t base, uint32_t offsetBits) {
  const int32_t offset = int32_t(offsetBits);
  if (!offset) return base < 32 && (mask >> base & 1) ? base : ~0u;
  int64_t count = std::abs(int64_t(offset));
  for (int64_t at = base; at >= 0 && at<32; at += offset> 0 ? 1 : -1)
    if ((mask >> at & 1) && --count == 0) return uint32_t(at);
  return ~0u;
};

/// bmsk, szext, fns
bool decodeWordFields(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  const bool clamp = m.take("clamp"), wrap = m.take("wrap");
  const Type t = m.type();
  m.done();
  if (typeBytes(t) != 4 || (op == "fns" ? clamp || wrap : clamp == wrap)) throw Unsupported{"variant"};
  sameTypeOperands(d, s, in, Type::B32, op == "fns" ? 3 : 2);
  if (op == "fns") {
    in.run = ternary<kFindNth, uint32_t>;
  } else if (op == "bmsk") {
    in.run = clamp ? Handler(binary<kMaskClamp, uint32_t>) : Handler(binary<kMaskWrap, uint32_t>);
  } else if (isSigned(t)) {
    constexpr auto kClamp = [](uint32_t a, uint32_t b) { return extendFrom<true, true>(a, b); };
    constexpr auto kWrap = [](uint32_t a, uint32_t b) { return extendFrom<false, true>(a, b); };
    in.run = clamp ? Handler(binary<kClamp, uint32_t>) : Handler(binary<kWrap, uint32_t>);
  } else {
    constexpr auto kClamp = [](uint32_t a, uint32_t b) { return extendFrom<true, false>(a, b); };
    constexpr auto kWrap = [](uint32_t a, uint32_t b) { return extendFrom<false, false>(a, b); };
    in.run = clamp ? Handler(binary<kClamp, uint32_t>) : Handler(binary<kWrap, uint32_t>);
  }
  return true;
}

bool decodeBitField(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const Type t = m.type();
  m.done();
  const unsigned bytes = typeBytes(t);
  if (bytes != 4 && bytes != 8) throw Unsupported{"type"};
  const bool wide = bytes == 8;
  if (s.op[0] == "bfe") {
    needOperands(s, 4);
    in.a = d.source(s.operands[1], bytes), in.b = d.source(s.operands[2], 4), in.c = d.source(s.operands[3], 4);
    if (isSigned(t))
      in.run = wide ? ternaryTo<kExtract, int64_t, int64_t, uint32_t, uint32_t>
                    : ternaryTo<kExtract, int32_t, int32_t, uint32_t, uint32_t>;
    else
      in.run = wide ? ternaryTo<kExtract, uint64_t, uint64_t, uint32_t, uint32_t>
                    : ternaryTo<kExtract, uint32_t, uint32_t, uint32_t, uint32_t>;
  } else {
    needOperands(s, 5);
    in.a = d.source(s.operands[1], bytes), in.b = d.source(s.operands[2], bytes);
    in.c = d.source(s.operands[3], 4), in.dst2 = d.source(s.operands[4], 4);
    in.run = wide ? insertField<uint64_t> : insertField<uint32_t>;
  }
  in.dst = d.destination(s.operands[0], bytes);
  return true;
}

/// prmt in its seven modes: each turns the selector into four nibbles of the default mode.
template <int Mode>
uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t(b) << 32 | a;
  const uint32_t n = selector & 3;
  uint32_t r = 0;
  for (uint32_t k = 0; k < 4; ++k) {
    uint32_t pick;
    if (Mode == 0)
      pick = selector >> (4 * k) & 0xF;
    else if (Mode == 1)
      pick = n + k;  // f4e
    else if (Mode == 2)
      pick = (n - k) & 7;  // b4e
    else if (Mode == 3)
      pick = n;  // rc8
    else if (Mode == 4)
      pick = k < n ? n : k;  // ecl
    else if (Mode == 5)
      pick = k < n ? k : n;  // ecr
    else
      pick = (n & 1) * 2 + (k & 1);  // rc16
    uint32_t byte = uint32_t(bytes >> (8 * (pick & 7))) & 0xFF;
    if (Mode == 0 && (pick & 8)) byte = (byte & 0x80) ? 0xFF : 0;
    r |= byte << (8 * k);
  }
  return r;
}
template <int Mode>
void permuteBytes(Context& c, const Instruction& in) {
  const uint32_t *a = c.at<uint32_t>(in.a), *b = c.at<uint32_t>(in.b), *e = c.at<uint32_t>(in.c);
  assign<uint32_t>(c, in.dst, [=](int i) { return permute<Mode>(a[i], b[i], e[i]); });
}

bool decodePermute(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  if (m.type() != Type::B32) throw Unsupported{"type"};
  in.run = m.take("f4e")    ? permuteBytes<1>
           : m.take("b4e")  ? permuteBytes<2>
           : m.take("rc8")  ? permuteBytes<3>
           : m.take("ecl")  ? permuteBytes<4>
           : m.take("ecr")  ? permuteBytes<5>
           : m.take("rc16") ? permuteBytes<6>
                            : permuteBytes<0>;
  m.done();
  sameTypeOperands(d, s, in, Type::B32, 3);
  return true;
}

template <class A, class B, int Terms, int Shift>
void dotProduct(Context& c, const Instruction& in) {
  const uint32_t *a = c.at<uint32_t>(in.a), *b = c.at<uint32_t>(in.b), *e = c.at<uint32_t>(in.c);
  assign<uint32_t>(c, in.dst, [=](int i) {
    uint32_t sum = e[i];
    for (int k = 0; k < Terms; ++k) {
      const int32_t x = Terms == 4            ? int32_t(A(a[i] >> (8 * k)))
                        : std::is_signed_v<A> ? int32_t(int16_t(a[i] >> (16 * k)))
                                              : int32_t(uint16_t(a[i] >> (16 * k)));
      const int32_t y = int32_t(B(b[i] >> (8 * k + Shift)));
      sum += uint32_t(x) * uint32_t(y);
    }
    return sum;
  });
}
template <int Terms, int Shift>
Handler dotHandler(Type a, Type b) {
  if (isSigned(a))
    return isSigned(b) ? dotProduct<int8_t, int8_t, Terms, Shift> : dotProduct<int8_t, uint8_t, Terms, Shift>;
  return isSigned(b) ? dotProduct<uint8_t, int8_t, Terms, Shift> : dotProduct<uint8_t, uint8_t, Terms, Shift>;
}

bool decodeDot(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool high = m.take("hi");
  m.take("lo");
  const Type a = m.type(), b = m.type();
  m.done();
  sameTypeOperands(d, s, in, Type::B32, 3);
  in.run = s.op[0] == "dp4a" ? dotHandler<4, 0>(a, b) : high ? dotHandler<2, 16>(a, b) : dotHandler<2, 0>(a, b);
  return true;
}
