// SPDX-License-Identifier: Apache-2.0
// cvt. Sources are first brought to a register of their own size; 8-bit integers live in 16-bit registers meanwhile.

template <class To>
using Held = std::conditional_t<sizeof(To) == 1, std::conditional_t<std::is_signed_v<To>, int16_t, uint16_t>, To>;

template <class To, class From>
void convertInteger(Context& c, const Instruction& in) {
  const From* a = c.at<From>(in.a);
  assign<Held<To>>(c, in.dst, [=](int i) { return Held<To>(To(a[i])); });
}

template <class To>
void saturateInteger(Context& c, const Instruction& in) {
  const Type from = Type(in.aux);
  Held<To>* d = c.at<Held<To>>(in.dst);
  for (int i = 0; i < kLanes; ++i) {
    if (!(c.mask >> i & 1)) continue;
    __int128 v;
    switch (typeBytes(from)) {
      case 4:
        v = isSigned(from) ? __int128(c.at<int32_t>(in.a)[i]) : __int128(c.at<uint32_t>(in.a)[i]);
        break;
      case 8:
        v = isSigned(from) ? __int128(c.at<int64_t>(in.a)[i]) : __int128(c.at<uint64_t>(in.a)[i]);
        break;
      default:
        v = isSigned(from) ? __int128(c.at<int16_t>(in.a)[i]) : __int128(c.at<uint16_t>(in.a)[i]);
        break;
    }
    d[i] = Held<To>(std::clamp<__int128>(v, std::numeric_limits<To>::min(), std::numeric_limits<To>::max()));
  }
}

template <class To>
Handler convertIntegerTo(Instruction& in, Type from, bool sat) {
  if (sat) {
    in.aux = uint32_t(from);
    return saturateInteger<To>;
  }
  switch (from) {
    case Type::U8:
    case Type::U16:
      return convertInteger<To, uint16_t>;
    case Type::S8:
    case Type::S16:
      return convertInteger<To, int16_t>;
    case Type::U32:
      return convertInteger<To, uint32_t>;
    case Type::S32:
      return convertInteger<To, int32_t>;
    case Type::U64:
      return convertInteger<To, uint64_t>;
    case Type::S64:
      return convertInteger<To, int64_t>;
    default:
      throw Unsupported{"source type"};
  }
}

#define GPUSIM_BY_INTEGER(TYPE, CALL)        \
  switch (TYPE) {                            \
    case Type::U8:                           \
      return CALL(uint8_t);                  \
    case Type::S8:                           \
      return CALL(int8_t);                   \
    case Type::U16:                          \
      return CALL(uint16_t);                 \
    case Type::S16:                          \
      return CALL(int16_t);                  \
    case Type::U32:                          \
      return CALL(uint32_t);                 \
    case Type::S32:                          \
      return CALL(int32_t);                  \
    case Type::U64:                          \
      return CALL(uint64_t);                 \
    case Type::S64:                          \
      return CALL(int64_t);                  \
    default:                                 \
      throw Unsupported{"destination type"}; \
  }

Handler integerToInteger(Instruction& in, Type to, Type from, bool sat) {
#define GPUSIM_CALL(T) convertIntegerTo<T>(in, from, sat)
  GPUSIM_BY_INTEGER(to, GPUSIM_CALL)
#undef GPUSIM_CALL
}

enum IntegerRounding { kNearest, kZero, kDown, kUp };

template <class T>
inline T roundInteger(T v, int mode) {
  return mode == kNearest ? std::nearbyint(v)
         : mode == kZero  ? std::trunc(v)
         : mode == kDown  ? std::floor(v)
                          : std::ceil(v);
}

/// Values beyond the range become its ends. NaN becomes 0, or the top bit when either side has 64 bits.
template <class To, class From>
inline Held<To> integerOf(From v) {
  constexpr bool kWide = sizeof(To) == 8 || sizeof(From) == 8;
  constexpr Held<To> kNan = kWide ? Held<To>(To(Unsigned<To>(1) << (sizeof(To) * 8 - 1))) : Held<To>(0);
  using Limits = std::numeric_limits<To>;
  if (v != v) return kNan;
  if (v <= From(Limits::min())) return Limits::min();
  if (v >= From(Limits::max())) return Limits::max();
  return Held<To>(To(v));
}

/// in.aux: rounding, plus 4 for .ftz
template <class To, class From>
void convertFloatToInteger(Context& c, const Instruction& in) {
  const From* a = c.at<From>(in.a);
  const int mode = int(in.aux & 3);
  const bool ftz = in.aux & 4;
  Held<To>* d = c.at<Held<To>>(in.dst);
  for (int i = 0; i < kLanes; ++i)
    if (c.mask >> i & 1) d[i] = integerOf<To>(roundInteger(ftz ? flush(a[i]) : a[i], mode));
}

Handler floatToInteger(Instruction& in, Type to, Type from, int mode, bool ftz) {
  in.aux = uint32_t(mode) | (ftz ? 4 : 0);
#define GPUSIM_CALL(T) \
  from == Type::F64 ? Handler(convertFloatToInteger<T, double>) : Handler(convertFloatToInteger<T, float>)
  GPUSIM_BY_INTEGER(to, GPUSIM_CALL)
#undef GPUSIM_CALL
}

constexpr auto kToFloat = [](auto a) { return float(a); };
constexpr auto kToDouble = [](auto a) { return double(a); };
/// A conversion in the rounding mode in.aux.
template <auto F, class R, class A>
void directedConvert(Context& c, const Instruction& in) {
  std::fesetround(int(in.aux));
  unaryTo<F, R, A>(c, in);
  std::fesetround(FE_TONEAREST);
}
template <auto F, class R, class A>
Handler rounded(bool other) {
  return other ? Handler(directedConvert<F, R, A>) : Handler(unaryTo<F, R, A>);
}
template <auto F, class R>
Handler integerToFloatFrom(Type from, bool other) {
  switch (from) {
    case Type::U8:
    case Type::U16:
      return rounded<F, R, uint16_t>(false);
    case Type::S8:
    case Type::S16:
      return rounded<F, R, int16_t>(false);
    case Type::U32:
      return rounded<F, R, uint32_t>(other);
    case Type::S32:
      return rounded<F, R, int32_t>(other);
    case Type::U64:
      return rounded<F, R, uint64_t>(other);
    case Type::S64:
      return rounded<F, R, int64_t>(other);
    default:
      throw Unsupported{"source type"};
  }
}

/// Rounds to an integral value; in.aux: rounding, plus 4 for .ftz, plus 8 for .sat
template <class T>
void roundFloat(Context& c, const Instruction& in) {
  const T* a = c.at<T>(in.a);
  const int mode = int(in.aux & 3);
  const bool ftz = in.aux & 4, sat = in.aux & 8;
  T* d = c.at<T>(in.dst);
  for (int i = 0; i < kLanes; ++i) {
    if (!(c.mask >> i & 1)) continue;
    const T r = roundInteger(ftz ? flush(a[i]) : a[i], mode);
    d[i] = sat ? saturate(r) : canonical(r);
  }
}
void setRoundFloat(Instruction& in, bool wide, int mode, bool ftz, bool sat) {
  in.aux = uint32_t(mode) | (ftz ? 4 : 0) | (sat ? 8 : 0);
  in.run = wide ? roundFloat<double> : roundFloat<float>;
}

template <class Format>
void halfToFloat(Context& c, const Instruction& in) {
  const uint16_t* a = c.at<uint16_t>(in.a);
  assign<float>(c, in.dst, [=](int i) { return canonical(Format::decode(a[i])); });
}

/// f32 to f16/bf16, to nearest.
template <class Format, bool Relu>
void floatToHalf(Context& c, const Instruction& in) {
  const float* a = c.at<float>(in.a);
  assign<uint16_t>(c, in.dst, [=](int i) { return Format::encode(Relu && a[i] <= 0 ? 0.0f : a[i]); });
}
/// Two f32 to a packed pair: in.a is the upper half.
template <class Format, bool Relu>
void floatsToPacked(Context& c, const Instruction& in) {
  const float *high = c.at<float>(in.a), *low = c.at<float>(in.b);
  assign<uint32_t>(c, in.dst, [=](int i) {
    const float h = Relu && high[i] <= 0 ? 0.0f : high[i], l = Relu && low[i] <= 0 ? 0.0f : low[i];
    return uint32_t(Format::encode(h)) << 16 | Format::encode(l);
  });
}

struct SlowHalf {
  int mode = FE_TONEAREST;
  bool bfloat = false, relu = false, satFinite = false, packed = false, sat = false, fromDouble = false, ftz = false;
  uint16_t encode(double v) const {
    if (ftz) v = double(flush(float(v)));
    if (relu && v <= 0) v = 0;
    if (sat) v = saturate(v);
    return bfloat ? encodeBfloat(v, mode, satFinite) : encodeHalf(v, mode, satFinite);
  }
};
/// Conversions to f16/bf16 in the other roundings, from f64, or saturating to finite values.
void slowToHalf(Context& c, const Instruction& in) {
  const auto& p = *static_cast<const SlowHalf*>(in.payload);
  for (int i = 0; i < kLanes; ++i) {
    if (!(c.mask >> i & 1)) continue;
    const double v = p.fromDouble ? c.at<double>(in.a)[i] : double(c.at<float>(in.a)[i]);
    if (!p.packed)
      c.at<uint16_t>(in.dst)[i] = p.encode(v);
    else
      c.at<uint32_t>(in.dst)[i] = uint32_t(p.encode(v)) << 16 | p.encode(double(c.at<float>(in.b)[i]));
  }
}

template <bool Relu, bool SatFinite>
void floatToTf32(Context& c, const Instruction& in) {
  const uint32_t* a = c.at<uint32_t>(in.a);
  assign<uint32_t>(c, in.dst, [=](int i) {
    const uint32_t r = Relu && (a[i] >> 31) && (a[i] & 0x7FFFFFFF) <= 0x7F800000 ? 0 : tf32FromFloat(a[i]);
    constexpr uint32_t kLargest = 0x7F7FE000;
    return SatFinite && (r & 0x7FFFFFFF) == 0x7F800000 ? (r & 0x80000000) | kLargest : r;
  });
}

template <bool E4M3, bool Relu>
void floatsToBytes(Context& c, const Instruction& in) {
  const float *high = c.at<float>(in.a), *low = c.at<float>(in.b);
  auto one = [](float v) {
    if (Relu && v <= 0) v = 0;
    return E4M3 ? encodeE4M3(v) : encodeE5M2(v);
  };
  assign<uint16_t>(c, in.dst, [=](int i) { return uint16_t(one(high[i]) << 8 | one(low[i])); });
}
template <bool E4M3, bool Relu>
void halvesToBytes(Context& c, const Instruction& in) {
  const uint32_t* a = c.at<uint32_t>(in.a);
  auto one = [](uint16_t h) {
    float v = decodeHalf(h);
    if (Relu && v <= 0) v = 0;
    return E4M3 ? encodeE4M3(v) : encodeE5M2(v);
  };
  assign<uint16_t>(c, in.dst, [=](int i) { return uint16_t(one(uint16_t(a[i] >> 16)) << 8 | one(uint16_t(a[i]))); });
}
template <bool E4M3, bool Relu>
void bytesToHalves(Context& c, const Instruction& in) {
  const uint16_t* a = c.at<uint16_t>(in.a);
  auto one = [](uint8_t b) {
    const float v = E4M3 ? decodeE4M3(b) : decodeE5M2(b);
    return uint32_t(halfFromFloat(Relu && v <= 0 ? 0.0f : v));
  };
  assign<uint32_t>(c, in.dst, [=](int i) { return one(uint8_t(a[i] >> 8)) << 16 | one(uint8_t(a[i])); });
}

constexpr auto kNarrow = [](auto a) { return a; };

/// The source operand in a register of its type's own size (8-bit types: 16 bits, extended).
Ref convertSource(Decoder& d, const Operand& o, Type t) {
  const unsigned own = std::max(2u, typeBytes(t));
  const unsigned have = o.kind == Operand::Kind::Register ? d.bytesOf(o) : own;
  if (typeBytes(t) != 1 && have == own) return d.source(o, t);
  if (o.kind == Operand::Kind::Integer && typeBytes(t) == 1)
    return d.constant(2, isSigned(t) ? uint64_t(int64_t(int8_t(o.value))) : o.value & 0xFF);
  Instruction in = d.helper(nullptr);
  in.a = d.source(o, have);
  in.dst = d.temporary(own);
  auto pick = [&](auto wide) -> Handler {
    using W = decltype(wide);
    switch (t) {
      case Type::U8:
      case Type::B8:
        return unaryTo<[](auto v) { return uint8_t(v); }, uint16_t, W>;
      case Type::S8:
        return unaryTo<[](auto v) { return int8_t(v); }, int16_t, W>;
      default:
        break;
    }
    if (own == 2) return unaryTo<kNarrow, uint16_t, W>;
    if (own == 4) return unaryTo<kNarrow, uint32_t, W>;
    return nullptr;
  };
  in.run = have == 2 ? pick(uint16_t{}) : have == 4 ? pick(uint32_t{}) : pick(uint64_t{});
  if (!in.run || have < own) throw Unsupported{"source register is too small"};
  d.emit(in);
  return in.dst;
}

/// A destination register wider than the type: convert into a temporary, then extend.
void widenDestination(Decoder& d, const Statement& s, Instruction& in, Type t, unsigned have) {
  const unsigned own = std::max(2u, typeBytes(t));
  const Ref final = d.destination(s.operands[0], have);
  in.dst = d.temporary(own);
  d.emit(in);
  Instruction wide = d.helper(nullptr);
  wide.guard = in.guard, wide.guardFlip = in.guardFlip;
  wide.a = in.dst;
  wide.dst = final;
  const bool sign = isSigned(t);
  if (own == 2 && have == 4)
    wide.run = sign ? Handler(unaryTo<kNarrow, int32_t, int16_t>) : Handler(unaryTo<kNarrow, uint32_t, uint16_t>);
  else if (own == 2 && have == 8)
    wide.run = sign ? Handler(unaryTo<kNarrow, int64_t, int16_t>) : Handler(unaryTo<kNarrow, uint64_t, uint16_t>);
  else if (own == 4 && have == 8)
    wide.run = sign ? Handler(unaryTo<kNarrow, int64_t, int32_t>) : Handler(unaryTo<kNarrow, uint64_t, uint32_t>);
  else
    throw Unsupported{"destination register is too small"};
  in = wide;
}

struct CvtOptions {
  bool ftz = false, sat = false, relu = false, satFinite = false, integerRounding = false, floatRounding = false,
       away = false;
  int mode = kNearest, host = FE_TONEAREST;
};

CvtOptions takeCvtOptions(Modifiers& m) {
  CvtOptions o;
  o.ftz = m.take("ftz"), o.relu = m.take("relu"), o.satFinite = m.take("satfinite"), o.sat = m.take("sat");
  const std::pair<const char*, int> integer[] = {{"rni", kNearest}, {"rzi", kZero}, {"rmi", kDown}, {"rpi", kUp}};
  for (auto& [name, mode] : integer)
    if (m.take(name)) o.integerRounding = true, o.mode = mode;
  const std::pair<const char*, int> host[] = {
      {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};
  for (auto& [name, mode] : host)
    if (m.take(name)) o.floatRounding = true, o.host = mode;
  o.away = m.take("rna");
  return o;
}

Handler floatToHalfHandler(Decoder& d, Instruction& in, const CvtOptions& o, bool bfloat, bool packed,
                           bool fromDouble) {
  if (o.host == FE_TONEAREST && !o.satFinite && !o.sat && !o.ftz && !fromDouble) {
    if (packed)
      return bfloat ? (o.relu ? floatsToPacked<Bfloat, true> : floatsToPacked<Bfloat, false>)
                    : (o.relu ? floatsToPacked<Half, true> : floatsToPacked<Half, false>);
    return bfloat ? (o.relu ? floatToHalf<Bfloat, true> : floatToHalf<Bfloat, false>)
                  : (o.relu ? floatToHalf<Half, true> : floatToHalf<Half, false>);
  }
  auto* p = d.payload<SlowHalf>();
  p->mode = o.host, p->bfloat = bfloat, p->relu = o.relu, p->satFinite = o.satFinite, p->packed = packed,
  p->sat = o.sat, p->fromDouble = fromDouble, p->ftz = o.ftz && !fromDouble;
  in.payload = p;
  return slowToHalf;
}

bool decodePackedConvert(Decoder& d, const Statement& s, Instruction& in, Type to, Type from, const CvtOptions& o) {
  if (to == Type::F16x2 && (from == Type::E4M3x2 || from == Type::E5M2x2)) {
    needOperands(s, 2);
    in.a = d.source(s.operands[1], 2);
    in.dst = d.destination(s.operands[0], 4);
    if (from == Type::E4M3x2)
      in.run = o.relu ? bytesToHalves<true, true> : bytesToHalves<true, false>;
    else
      in.run = o.relu ? bytesToHalves<false, true> : bytesToHalves<false, false>;
    return true;
  }
  if (to == Type::E4M3x2 || to == Type::E5M2x2) {
    if (!o.satFinite) throw Unsupported{"needs .satfinite"};
    const bool e4 = to == Type::E4M3x2;
    in.dst = d.destination(s.operands[0], 2);
    if (from == Type::F16x2) {
      needOperands(s, 2);
      in.a = d.source(s.operands[1], 4);
      in.run = e4 ? (o.relu ? halvesToBytes<true, true> : halvesToBytes<true, false>)
                  : (o.relu ? halvesToBytes<false, true> : halvesToBytes<false, false>);
      return true;
    }
    if (from != Type::F32) throw Unsupported{"source type"};
    needOperands(s, 3);
    in.a = d.source(s.operands[1], Type::F32), in.b = d.source(s.operands[2], Type::F32);
    in.run = e4 ? (o.relu ? floatsToBytes<true, true> : floatsToBytes<true, false>)
                : (o.relu ? floatsToBytes<false, true> : floatsToBytes<false, false>);
    return true;
  }
  if (from != Type::F32) throw Unsupported{"source type"};
  needOperands(s, 3);
  in.a = d.source(s.operands[1], Type::F32), in.b = d.source(s.operands[2], Type::F32);
  in.dst = d.destination(s.operands[0], 4);
  in.run = floatToHalfHandler(d, in, o, to == Type::BF16x2, true, false);
  return true;
}

/// A 16-bit float source as f32 in a temporary.
Ref halfSource(Decoder& d, const Operand& o, Type t) {
  Instruction in = d.helper(isBfloat(t) ? halfToFloat<Bfloat> : halfToFloat<Half>);
  in.a = d.source(o, 2);
  in.dst = d.temporary(4);
  d.emit(in);
  return in.dst;
}

struct PackIntegers {
  int64_t low = 0, high = 0;
  unsigned bits = 16;
  bool sourceSigned = true;
};
/// cvt.pack: two saturated integers below the rest of a third register.
void packIntegers(Context& c, const Instruction& in) {
  const auto& p = *static_cast<const PackIntegers*>(in.payload);
  const uint32_t *a = c.at<uint32_t>(in.a), *b = c.at<uint32_t>(in.b),
                 *rest = in.c == kNoRef ? nullptr : c.at<uint32_t>(in.c);
  auto field = [&](uint32_t v) {
    const int64_t value = p.sourceSigned ? int64_t(int32_t(v)) : int64_t(v);
    return uint32_t(std::clamp(value, p.low, p.high)) & ((1u << p.bits) - 1);
  };
  assign<uint32_t>(c, in.dst,
                   [&](int i) { return (rest ? rest[i] << (2 * p.bits) : 0) | field(a[i]) << p.bits | field(b[i]); });
}

bool decodePackIntegers(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  m.take("pack");
  if (!m.take("sat")) throw Unsupported{"needs .sat"};
  const Type to = m.type(), from = m.type();
  const bool rest = m.hasType() && m.type() == Type::B32;
  m.done();
  auto* p = d.payload<PackIntegers>();
  p->bits = to == Type::U4 || to == Type::S4 ? 4 : typeBytes(to) * 8;
  if (p->bits > 16 || typeBytes(from) != 4 || rest != (p->bits < 16)) throw Unsupported{"types"};
  p->sourceSigned = isSigned(from);
  p->low = isSigned(to) ? -(int64_t(1) << (p->bits - 1)) : 0;
  p->high = (int64_t(1) << (isSigned(to) ? p->bits - 1 : p->bits)) - 1;
  in.a = d.source(s.operands.at(1), 4), in.b = d.source(s.operands.at(2), 4);
  if (rest) in.c = d.source(s.operands.at(3), 4);
  in.dst = d.destination(s.operands.at(0), 4);
  in.payload = p;
  in.kind = InstructionClass::Convert;
  in.run = packIntegers;
  return true;
}

bool decodeConvert(Decoder& d, const Statement& s, Instruction& in) {
  if (s.op.size() > 1 && s.op[1] == "pack") return decodePackIntegers(d, s, in);
  Modifiers m(s);
  const CvtOptions o = takeCvtOptions(m);
  const Type to = m.type();
  Type from = m.type();
  m.done();
  in.kind = InstructionClass::Convert;
  in.aux = uint32_t(o.host);
  const bool packed = to == Type::F16x2 || to == Type::BF16x2 || to == Type::E4M3x2 || to == Type::E5M2x2;
  if (packed) return decodePackedConvert(d, s, in, to, from, o);
  needOperands(s, 2);
  const bool floatTo = isFloat(to), halfTo = to == Type::F16 || to == Type::BF16;
  const bool other = o.host != FE_TONEAREST;
  if (to == Type::TF32) {
    if (!o.away || from != Type::F32) throw Unsupported{"variant"};
    in.a = d.source(s.operands[1], Type::F32);
    in.dst = d.destination(s.operands[0], 4);
    in.run = o.satFinite ? (o.relu ? floatToTf32<true, true> : floatToTf32<false, true>)
                         : (o.relu ? floatToTf32<true, false> : floatToTf32<false, false>);
    return true;
  }
  if (o.away) throw Unsupported{".rna"};
  // half sources go through f32, which holds them exactly
  if (from == Type::F16 || from == Type::BF16) {
    if (to == Type::F32 && !o.sat && !o.relu && !o.integerRounding) {
      in.a = d.source(s.operands[1], 2);
      in.dst = d.destination(s.operands[0], 4);
      in.run = isBfloat(from) ? halfToFloat<Bfloat> : halfToFloat<Half>;
      return true;
    }
    in.a = halfSource(d, s.operands[1], from);
    from = Type::F32;
  } else {
    in.a = convertSource(d, s.operands[1], from);
  }
  const bool fromDouble = from == Type::F64;
  const unsigned have = d.bytesOf(s.operands[0]);
  if (!floatTo) {
    in.run = isFloat(from) ? floatToInteger(in, to, from, o.mode, o.ftz) : integerToInteger(in, to, from, o.sat);
    if (isFloat(from) && !o.integerRounding) throw Unsupported{"needs an integer rounding"};
    if (have != std::max(2u, typeBytes(to)))
      widenDestination(d, s, in, to, have);
    else
      in.dst = d.destination(s.operands[0], have);
    return true;
  }
  in.dst = d.destination(s.operands[0], typeBytes(to));
  if (halfTo) {
    if (!isFloat(from)) {
      if (typeBytes(from) == 8 && to == Type::BF16) throw Unsupported{"source type"};
      Instruction wide = d.helper(integerToFloatFrom<kToDouble, double>(from, false));
      wide.a = in.a;
      wide.dst = in.a = d.temporary(8);
      d.emit(wide);
      in.run = floatToHalfHandler(d, in, o, to == Type::BF16, false, true);
    } else if (o.integerRounding) {
      Instruction r = d.helper(nullptr);
      setRoundFloat(r, fromDouble, o.mode, o.ftz, false);
      r.a = in.a;
      r.dst = in.a = d.temporary(fromDouble ? 8 : 4);
      d.emit(r);
      in.run = floatToHalfHandler(d, in, o, to == Type::BF16, false, fromDouble);
    } else {
      in.run = floatToHalfHandler(d, in, o, to == Type::BF16, false, fromDouble);
    }
    return true;
  }
  if (!isFloat(from)) {
    constexpr auto kToUnitFloat = [](auto a) { return saturate(float(a)); };
    constexpr auto kToUnitDouble = [](auto a) { return saturate(double(a)); };
    if (o.sat)
      in.run = to == Type::F32 ? integerToFloatFrom<kToUnitFloat, float>(from, other)
                               : integerToFloatFrom<kToUnitDouble, double>(from, other);
    else
      in.run = to == Type::F32 ? integerToFloatFrom<kToFloat, float>(from, other)
                               : integerToFloatFrom<kToDouble, double>(from, other);
  } else if (from == to) {
    in.aux = FE_TONEAREST;
    constexpr auto kSaturateDouble = [](double a) { return saturate(a); };
    if (o.integerRounding)
      setRoundFloat(in, fromDouble, o.mode, o.ftz, o.sat);
    else if (!fromDouble)
      setFloat<1, kIdentity>(d, in, Type::F32, o.ftz, o.sat);
    else
      in.run = o.sat ? unary<kSaturateDouble, double> : unary<kIdentity, double>;
  } else if (fromDouble) {
    constexpr auto kShrink = [](double a) { return canonical(float(a)); };
    constexpr auto kShrinkFlush = [](double a) { return canonical(flush(float(a))); };
    constexpr auto kShrinkSat = [](double a) { return saturate(float(a)); };
    in.run = o.sat   ? rounded<kShrinkSat, float, double>(other)
             : o.ftz ? rounded<kShrinkFlush, float, double>(other)
                     : rounded<kShrink, float, double>(other);
  } else {
    constexpr auto kGrow = [](float a) { return double(a); };
    constexpr auto kGrowFlush = [](float a) { return double(flush(a)); };
    constexpr auto kGrowSat = [](float a) { return double(saturate(a)); };
    in.run = o.sat   ? unaryTo<kGrowSat, double, float>
             : o.ftz ? unaryTo<kGrowFlush, double, float>
                     : unaryTo<kGrow, double, float>;
  }
  return true;
}
