// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic, bit operations, carry chains.

template <class T>
using Unsigned = std::make_unsigned_t<T>;

template <class T>
struct WiderOf;
template <>
struct WiderOf<int16_t> {
  using type = int32_t;
};
template <>
struct WiderOf<uint16_t> {
  using type = uint32_t;
};
template <>
struct WiderOf<int32_t> {
  using type = int64_t;
};
template <>
struct WiderOf<uint32_t> {
  using type = uint64_t;
};
template <>
struct WiderOf<int64_t> {
  using type = __int128;
};
template <>
struct WiderOf<uint64_t> {
  using type = unsigned __int128;
};
template <class T>
using Wider = typename WiderOf<T>::type;

constexpr auto kMulHi = [](auto a, auto b) {
  using T = decltype(a);
  return T((Wider<T>(a) * Wider<T>(b)) >> (sizeof(T) * 8));
};
constexpr auto kDivide = [](auto a, auto b) {
  using T = decltype(a);
  if (b == 0) return T(~T(0));  // unspecified by PTX
  if constexpr (std::is_signed_v<T>)
    if (b == T(-1)) return T(Unsigned<T>(0) - Unsigned<T>(a));
  return T(a / b);
};
constexpr auto kRemainder = [](auto a, auto b) {
  using T = decltype(a);
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>)
    if (b == T(-1)) return T(0);
  return T(a % b);
};
constexpr auto kAbsolute = [](auto a) {
  using T = decltype(a);
  return a < 0 ? T(Unsigned<T>(0) - Unsigned<T>(a)) : a;
};
constexpr auto kMinimum = [](auto a, auto b) { return b < a ? b : a; };
constexpr auto kMaximum = [](auto a, auto b) { return a < b ? b : a; };
constexpr auto kAdd = [](auto a, auto b) { return a + b; };
constexpr auto kSubtract = [](auto a, auto b) { return a - b; };
constexpr auto kMultiply = [](auto a, auto b) {
  using T = decltype(a);
  return T(uint64_t(a) * uint64_t(b));
};
constexpr auto kMultiplyAdd = [](auto a, auto b, auto c) {
  using T = decltype(a);
  return T(uint64_t(a) * uint64_t(b) + uint64_t(c));
};
constexpr auto kMulHiAdd = [](auto a, auto b, auto c) {
  using T = decltype(a);
  return T(Unsigned<T>(kMulHi(a, b)) + Unsigned<T>(c));
};
constexpr auto kSaturatedAdd = [](int32_t a, int32_t b) {
  return std::clamp<int64_t>(int64_t(a) + b, INT32_MIN, INT32_MAX);
};
constexpr auto kSaturatedSub = [](int32_t a, int32_t b) {
  return std::clamp<int64_t>(int64_t(a) - b, INT32_MIN, INT32_MAX);
};
constexpr auto kMulWide = [](auto a, auto b) {
  using T = decltype(a);
  return Wider<T>(a) * Wider<T>(b);
};
constexpr auto kMulWideAdd = [](auto a, auto b, auto c) {
  using T = decltype(a);
  return Unsigned<decltype(c)>(Wider<T>(a) * Wider<T>(b)) + Unsigned<decltype(c)>(c);
};
constexpr auto kSumAbsDiff = [](auto a, auto b, auto c) {
  using T = decltype(a);
  return Unsigned<T>(c) + (a < b ? Unsigned<T>(b) - Unsigned<T>(a) : Unsigned<T>(a) - Unsigned<T>(b));
};

bool decodeAddSub(Decoder& d, const Statement& s, Instruction& in, bool subtract) {
  Modifiers m(s);
  const bool saturate = m.take("sat");
  const Type t = m.type();
  m.done();
  sameTypeOperands(d, s, in, t, 2);
  if (saturate) {
    if (t != Type::S32) throw Unsupported{"saturation of this type"};
    in.run = subtract ? Handler(binary<kSaturatedSub, int32_t>) : Handler(binary<kSaturatedAdd, int32_t>);
  } else {
    in.run = subtract ? binaryBits<kSubtract>(typeBytes(t)) : binaryBits<kAdd>(typeBytes(t));
  }
  return true;
}

template <class T>
Handler multiplyHandler(bool wide, bool high, bool add) {
  if (wide) {
    if constexpr (sizeof(T) == 8)
      throw Unsupported{"mul.wide of 64-bit operands"};
    else
      return add ? Handler(ternaryTo<kMulWideAdd, Wider<T>, T, T, Wider<T>>)
                 : Handler(binaryTo<kMulWide, Wider<T>, T, T>);
  }
  if (high) return add ? Handler(ternary<kMulHiAdd, T>) : Handler(binary<kMulHi, T>);
  return add ? Handler(ternary<kMultiplyAdd, Unsigned<T>>) : Handler(binary<kMultiply, Unsigned<T>>);
}

constexpr auto kMadHiSat = [](int32_t a, int32_t b, int32_t c) {
  return std::clamp<int64_t>(int64_t(kMulHi(a, b)) + c, INT32_MIN, INT32_MAX);
};

bool decodeMultiply(Decoder& d, const Statement& s, Instruction& in, bool add) {
  Modifiers m(s);
  const bool wide = m.take("wide"), high = m.take("hi"), low = m.take("lo"), saturate = m.take("sat");
  const Type t = m.type();
  m.done();
  if (wide + high + low != 1) throw Unsupported{"needs one of .lo, .hi and .wide"};
  needOperands(s, add ? 4 : 3);
  const unsigned bytes = typeBytes(t), wideBytes = wide ? bytes * 2 : bytes;
  in.a = d.source(s.operands[1], bytes);
  in.b = d.source(s.operands[2], bytes);
  if (add) in.c = d.source(s.operands[3], wideBytes);
  in.dst = d.destination(s.operands[0], wideBytes);
  const bool sign = isSigned(t);
  if (saturate) {
    if (!add || !high || t != Type::S32) throw Unsupported{"saturation here"};
    in.run = ternary<kMadHiSat, int32_t>;
    return true;
  }
  switch (bytes) {
    case 2:
      in.run = sign ? multiplyHandler<int16_t>(wide, high, add) : multiplyHandler<uint16_t>(wide, high, add);
      break;
    case 4:
      in.run = sign ? multiplyHandler<int32_t>(wide, high, add) : multiplyHandler<uint32_t>(wide, high, add);
      break;
    case 8:
      in.run = sign ? multiplyHandler<int64_t>(wide, high, add) : multiplyHandler<uint64_t>(wide, high, add);
      break;
    default:
      throw Unsupported{"integer type"};
  }
  return true;
}

template <class T>
inline int64_t low24(T v) {
  return std::is_signed_v<T> ? int64_t(int32_t(uint32_t(v) << 8) >> 8) : int64_t(uint32_t(v) & 0xFFFFFF);
}
constexpr auto kMul24Lo = [](auto a, auto b) { return uint32_t(low24(a) * low24(b)); };
constexpr auto kMul24Hi = [](auto a, auto b) { return uint32_t((low24(a) * low24(b)) >> 16); };
constexpr auto kMad24Lo = [](auto a, auto b, auto c) { return kMul24Lo(a, b) + uint32_t(c); };
constexpr auto kMad24Hi = [](auto a, auto b, auto c) { return kMul24Hi(a, b) + uint32_t(c); };

constexpr auto kMad24HiSat = [](int32_t a, int32_t b, int32_t c) {
  return std::clamp<int64_t>(int64_t(int32_t(kMul24Hi(a, b))) + c, INT32_MIN, INT32_MAX);
};

bool decodeMul24(Decoder& d, const Statement& s, Instruction& in, bool add) {
  Modifiers m(s);
  const bool saturate = m.take("sat");
  const bool high = m.take("hi");
  m.take("lo");
  const Type t = m.type();
  m.done();
  if (typeBytes(t) != 4) throw Unsupported{"type"};
  sameTypeOperands(d, s, in, t, add ? 3 : 2);
  if (saturate) {
    if (!add || !high || t != Type::S32) throw Unsupported{"saturation here"};
    in.run = ternary<kMad24HiSat, int32_t>;
    return true;
  }
  if (isSigned(t)) {
    if (add)
      in.run = high ? Handler(ternary<kMad24Hi, int32_t>) : Handler(ternary<kMad24Lo, int32_t>);
    else
      in.run = high ? Handler(binary<kMul24Hi, int32_t>) : Handler(binary<kMul24Lo, int32_t>);
  } else {
    if (add)
      in.run = high ? Handler(ternary<kMad24Hi, uint32_t>) : Handler(ternary<kMad24Lo, uint32_t>);
    else
      in.run = high ? Handler(binary<kMul24Hi, uint32_t>) : Handler(binary<kMul24Lo, uint32_t>);
  }
  return true;
}

// --- carry chains: CC.CF is a lane mask of the frame

template <class T, bool Subtract, bool CarryIn, bool CarryOut>
void carryAdd(Context& c, const Instruction& in) {
  const T *a = c.at<T>(in.a), *b = c.at<T>(in.b);
  T* d = c.at<T>(in.dst);
  const uint32_t carry = c.frame->carry;
  uint32_t out = 0;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t i = lowestLane(m);
    const unsigned __int128 bit = CarryIn ? carry >> i & 1 : 0;
    // the flag holds the borrow of a subtraction
    const unsigned __int128 r =
        Subtract ? (unsigned __int128)(a[i]) - b[i] - bit : (unsigned __int128)(a[i]) + b[i] + bit;
    d[i] = T(r);
    out |= uint32_t(r >> (sizeof(T) * 8) & 1) << i;
  }
  if (CarryOut) c.frame->carry = (carry & ~c.mask) | out;
}

template <class T>
Handler carryHandler(bool subtract, bool carryIn, bool carryOut) {
  if (subtract)
    return carryIn ? (carryOut ? carryAdd<T, true, true, true> : carryAdd<T, true, true, false>)
                   : carryAdd<T, true, false, true>;
  return carryIn ? (carryOut ? carryAdd<T, false, true, true> : carryAdd<T, false, true, false>)
                 : carryAdd<T, false, false, true>;
}

template <class T, bool High, bool CarryIn, bool CarryOut>
void carryMad(Context& c, const Instruction& in) {
  const T *a = c.at<T>(in.a), *b = c.at<T>(in.b), *e = c.at<T>(in.c);
  T* d = c.at<T>(in.dst);
  using U = Unsigned<T>;
  const uint32_t carry = c.frame->carry;
  uint32_t out = 0;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t i = lowestLane(m);
    const U product = High ? U(kMulHi(a[i], b[i])) : U(uint64_t(a[i]) * uint64_t(b[i]));
    const unsigned __int128 r = (unsigned __int128)(product) + U(e[i]) + (CarryIn ? carry >> i & 1 : 0);
    d[i] = T(r);
    out |= uint32_t(r >> (sizeof(T) * 8) & 1) << i;
  }
  if (CarryOut) c.frame->carry = (carry & ~c.mask) | out;
}

template <class T, bool High>
Handler carryMadHandler(bool carryIn, bool carryOut) {
  if (carryIn) return carryOut ? carryMad<T, High, true, true> : carryMad<T, High, true, false>;
  return carryMad<T, High, false, true>;
}

bool decodeCarry(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  const bool carryOut = m.take("cc"), carryIn = op == "addc" || op == "subc" || op == "madc";
  const bool mad = op == "mad" || op == "madc";
  const bool high = mad && m.take("hi");
  if (mad) m.take("lo");
  const Type t = m.type();
  m.done();
  sameTypeOperands(d, s, in, t, mad ? 3 : 2);
  const bool wide = typeBytes(t) == 8, sign = isSigned(t);
  if (!wide && typeBytes(t) != 4) throw Unsupported{"type"};
  if (!mad) {
    const bool subtract = op[0] == 's';
    in.run = wide ? carryHandler<uint64_t>(subtract, carryIn, carryOut)
                  : carryHandler<uint32_t>(subtract, carryIn, carryOut);
  } else if (high) {
    if (wide)
      in.run =
          sign ? carryMadHandler<int64_t, true>(carryIn, carryOut) : carryMadHandler<uint64_t, true>(carryIn, carryOut);
    else
      in.run =
          sign ? carryMadHandler<int32_t, true>(carryIn, carryOut) : carryMadHandler<uint32_t, true>(carryIn, carryOut);
  } else {
    in.run = wide ? carryMadHandler<uint64_t, false>(carryIn, carryOut)
                  : carryMadHandler<uint32_t, false>(carryIn, carryOut);
  }
  return true;
}
