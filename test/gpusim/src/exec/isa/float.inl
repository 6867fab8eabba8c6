// SPDX-License-Identifier: Apache-2.0
// f32 and f64 arithmetic and the approximations of the special-function unit.

constexpr uint32_t kCanonicalNan = 0x7FFFFFFF;

inline float canonical(float v) { return v != v ? std::bit_cast<float>(kCanonicalNan) : v; }
inline double canonical(double v) { return v; }

/// A subnormal becomes a zero of its sign.
inline float flush(float v) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  return std::bit_cast<float>((bits & 0x7F800000) ? bits : bits & 0x80000000);
}
inline double flush(double v) { return v; }

template <class T>
inline T saturate(T v) {
  return v > T(0) ? (v < T(1) ? v : T(1)) : T(0);
}

template <bool Ftz, class T>
inline T input(T v) {
  if constexpr (Ftz)
    return flush(v);
  else
    return v;
}
template <bool Ftz, bool Sat, class T>
inline T output(T v) {
  if constexpr (Ftz) v = flush(v);
  if constexpr (Sat)
    return saturate(v);
  else
    return canonical(v);
}

/// Rare options of an operation: rounding mode of the host (in.aux) and saturation.
enum FloatVariant { kPlainFloat, kFlushing, kOtherwise };
struct FloatOptions {
  bool ftz = false, sat = false;
};

template <int Arity, auto F, class T, bool Ftz>
inline T applyFloat(const T* a, const T* b, const T* e, int i) {
  if constexpr (Arity == 1)
    return T(F(input<Ftz>(a[i])));
  else if constexpr (Arity == 2)
    return T(F(input<Ftz>(a[i]), input<Ftz>(b[i])));
  else
    return T(F(input<Ftz>(a[i]), input<Ftz>(b[i]), input<Ftz>(e[i])));
}

/// Operands and results pass through memory, which keeps the arithmetic between the changes of rounding mode.
template <int Arity, auto F, class T, int Variant>
void floatOperation(Context& c, const Instruction& in) {
  const T *a = c.at<T>(in.a), *b = Arity > 1 ? c.at<T>(in.b) : a, *e = Arity > 2 ? c.at<T>(in.c) : a;
  if constexpr (Variant != kOtherwise) {
    assign<T>(c, in.dst, [=](int i) {
      return output<Variant == kFlushing, false>(applyFloat<Arity, F, T, Variant == kFlushing>(a, b, e, i));
    });
  } else {
    const auto options = *static_cast<const FloatOptions*>(in.payload);
    T* d = c.at<T>(in.dst);
    std::fesetround(int(in.aux));
    for (int i = 0; i < kLanes; ++i) {
      if (!(c.mask >> i & 1)) continue;
      T r = options.ftz ? flush(applyFloat<Arity, F, T, true>(a, b, e, i)) : applyFloat<Arity, F, T, false>(a, b, e, i);
      d[i] = options.sat ? saturate(r) : canonical(r);
    }
    std::fesetround(FE_TONEAREST);
  }
}

/// in.aux holds the rounding mode.
template <int Arity, auto F>
void setFloat(Decoder& d, Instruction& in, Type t, bool ftz, bool sat) {
  if (t != Type::F32 && t != Type::F64) throw Unsupported{"floating-point type"};
  if (t == Type::F64 && (ftz || sat)) throw Unsupported{".ftz or .sat on f64"};
  if (in.aux != FE_TONEAREST || sat) {
    auto* options = d.payload<FloatOptions>();
    *options = {ftz, sat};
    in.payload = options;
    in.run =
        t == Type::F64 ? floatOperation<Arity, F, double, kOtherwise> : floatOperation<Arity, F, float, kOtherwise>;
  } else if (t == Type::F64) {
    in.run = floatOperation<Arity, F, double, kPlainFloat>;
  } else {
    in.run = ftz ? floatOperation<Arity, F, float, kFlushing> : floatOperation<Arity, F, float, kPlainFloat>;
  }
}

template <auto F>
Handler approximation(bool ftz) {
  return ftz ? floatOperation<1, F, float, kFlushing> : floatOperation<1, F, float, kPlainFloat>;
}

constexpr auto kFloatAdd = [](auto a, auto b) { return a + b; };
constexpr auto kFloatSub = [](auto a, auto b) { return a - b; };
constexpr auto kFloatMul = [](auto a, auto b) { return a * b; };
constexpr auto kFloatDiv = [](auto a, auto b) { return a / b; };
constexpr auto kFloatFma = [](auto a, auto b, auto c) { return std::fma(a, b, c); };
constexpr auto kReciprocal = [](auto a) { return decltype(a)(1) / a; };
constexpr auto kSquareRoot = [](auto a) { return std::sqrt(a); };
constexpr auto kReciprocalRoot = [](float a) { return float(1.0 / std::sqrt(double(a))); };
constexpr auto kReciprocalRoot64 = [](double a) { return 1.0 / std::sqrt(a); };
constexpr auto kExp2 = [](float a) { return std::exp2(a); };
constexpr auto kLog2 = [](float a) { return std::log2(a); };
constexpr auto kSine = [](float a) { return std::sin(a); };
constexpr auto kCosine = [](float a) { return std::cos(a); };
constexpr auto kTanh = [](float a) { return std::tanh(a); };
constexpr auto kDivideApprox = [](float a, float b) {
  const float m = std::fabs(b);
  if (m > 0x1p126f && m < INFINITY) return std::isinf(a) ? NAN : std::copysign(0.0f, a) * std::copysign(1.0f, b);
  return a / b;
};
/// The double-precision approximations deliver the upper word only, and flush subnormals.
inline double gross(double v) { return std::bit_cast<double>(std::bit_cast<uint64_t>(v) & 0xFFFFFFFF00000000ull); }
inline double flushDouble(double v) { return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.0, v) : v; }
constexpr auto kReciprocalGross = [](double a) { return gross(flushDouble(1.0 / flushDouble(a))); };
constexpr auto kRootGross = [](double a) { return gross(1.0 / std::sqrt(flushDouble(a))); };

/// Takes .rn/.rz/.rm/.rp; the host's rounding mode goes to in.aux.
void takeRounding(Modifiers& m, Instruction& in) {
  if (m.take("rz"))
    in.aux = FE_TOWARDZERO;
  else if (m.take("rm"))
    in.aux = FE_DOWNWARD;
  else if (m.take("rp"))
    in.aux = FE_UPWARD;
  else {
    m.take("rn");
    in.aux = FE_TONEAREST;
  }
}

InstructionClass floatClass(Type t) { return t == Type::F64 ? InstructionClass::Float64 : InstructionClass::Float32; }

bool decodeFloatBasic(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  takeRounding(m, in);
  const bool ftz = m.take("ftz"), sat = m.take("sat");
  const Type t = m.type();
  m.done();
  const int arity = op == "fma" || op == "mad" ? 3 : 2;
  sameTypeOperands(d, s, in, t, size_t(arity));
  in.kind = floatClass(t);
  if (op == "add")
    setFloat<2, kFloatAdd>(d, in, t, ftz, sat);
  else if (op == "sub")
    setFloat<2, kFloatSub>(d, in, t, ftz, sat);
  else if (op == "mul")
    setFloat<2, kFloatMul>(d, in, t, ftz, sat);
  else
    setFloat<3, kFloatFma>(d, in, t, ftz, sat);
  return true;
}

bool decodeDivide(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool approx = m.take("approx");
  m.take("full");
  takeRounding(m, in);
  const bool ftz = m.take("ftz");
  const Type t = m.type();
  m.done();
  sameTypeOperands(d, s, in, t, 2);
  in.kind = floatClass(t);
  if (approx) {
    if (t != Type::F32) throw Unsupported{"type"};
    in.run =
        ftz ? floatOperation<2, kDivideApprox, float, kFlushing> : floatOperation<2, kDivideApprox, float, kPlainFloat>;
  } else {
    setFloat<2, kFloatDiv>(d, in, t, ftz, false);
  }
  return true;
}

bool decodeRoot(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  const bool approx = m.take("approx");
  takeRounding(m, in);
  const bool ftz = m.take("ftz");
  const Type t = m.type();
  m.done();
  sameTypeOperands(d, s, in, t, 1);
  in.kind = approx ? InstructionClass::Special : floatClass(t);
  if (t == Type::F64 && op == "rsqrt") {
    in.run = ftz ? unary<kRootGross, double> : unary<kReciprocalRoot64, double>;
  } else if (t == Type::F64 && op == "rcp" && approx) {
    in.run = unary<kReciprocalGross, double>;
  } else if (op == "rsqrt") {
    if (t != Type::F32) throw Unsupported{"type"};
    in.run = approximation<kReciprocalRoot>(ftz);
  } else if (op == "rcp") {
    setFloat<1, kReciprocal>(d, in, t, ftz, false);
  } else {
    setFloat<1, kSquareRoot>(d, in, t, ftz, false);
  }
  return true;
}

bool decodeSpecial(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  if (!m.take("approx")) throw Unsupported{"needs .approx"};
  const bool ftz = m.take("ftz");
  const Type t = m.type();
  m.done();
  in.kind = InstructionClass::Special;
  if (t != Type::F32) return decodeHalfSpecial(d, s, in, t);
  sameTypeOperands(d, s, in, t, 1);
  in.run = op == "ex2"   ? approximation<kExp2>(ftz)
           : op == "lg2" ? approximation<kLog2>(ftz)
           : op == "sin" ? approximation<kSine>(ftz)
           : op == "cos" ? approximation<kCosine>(ftz)
                         : approximation<kTanh>(ftz);
  return true;
}

// --- sign operations, minimum and maximum

template <class T>
using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;
template <class T>
inline T withoutSign(T v) {
  return std::bit_cast<T>(Bits<T>(std::bit_cast<Bits<T>>(v) & (Bits<T>(~Bits<T>(0)) >> 1)));
}
template <class T>
inline T flipSign(T v) {
  return std::bit_cast<T>(Bits<T>(std::bit_cast<Bits<T>>(v) ^ (Bits<T>(1) << (sizeof(T) * 8 - 1))));
}
constexpr auto kNegate = [](auto a) { return flipSign(a); };
constexpr auto kFabs = [](auto a) { return withoutSign(a); };

template <auto F, class T, bool Ftz>
void signUnary(Context& c, const Instruction& in) {
  const T* a = c.at<T>(in.a);
  assign<T>(c, in.dst, [=](int i) { return F(input<Ftz>(a[i])); });
}

template <class T>
inline T nan() {
  if constexpr (sizeof(T) == 4)
    return std::bit_cast<float>(kCanonicalNan);
  else
    return std::bit_cast<double>(0x7FFFFFFFFFFFFFFFull);
}

/// IEEE 754-2019 minimumNumber/maximumNumber, or minimum/maximum with Nan; -0 is less than +0.
template <bool Max, bool Nan, class T>
inline T extremum(T a, T b) {
  if (a != a || b != b) {
    if (Nan || (a != a && b != b)) return nan<T>();
    return a != a ? b : a;
  }
  if (a == b) return (std::signbit(a) != Max) ? a : b;
  return (a < b) != Max ? a : b;
}
constexpr auto kFmin = [](auto a, auto b) { return extremum<false, false>(a, b); };
constexpr auto kFmax = [](auto a, auto b) { return extremum<true, false>(a, b); };
constexpr auto kFminNan = [](auto a, auto b) { return extremum<false, true>(a, b); };
constexpr auto kFmaxNan = [](auto a, auto b) { return extremum<true, true>(a, b); };
template <bool Max, bool Nan, class T>
inline T signedExtremum(T a, T b) {
  const bool negative = std::signbit(a) != std::signbit(b);
  const T r = extremum<Max, Nan>(withoutSign(a), withoutSign(b));
  return r != r ? r : negative ? flipSign(r) : r;
}
constexpr auto kFminXor = [](auto a, auto b) { return signedExtremum<false, false>(a, b); };
constexpr auto kFmaxXor = [](auto a, auto b) { return signedExtremum<true, false>(a, b); };
constexpr auto kFminXorNan = [](auto a, auto b) { return signedExtremum<false, true>(a, b); };
constexpr auto kFmaxXorNan = [](auto a, auto b) { return signedExtremum<true, true>(a, b); };

template <template <auto> class Pick>
Handler pickExtremum(bool max, bool nan, bool xorSign, bool ftz, Type t) {
  if (xorSign) {
    if (nan) return max ? Pick<kFmaxXorNan>::get(t, ftz) : Pick<kFminXorNan>::get(t, ftz);
    return max ? Pick<kFmaxXor>::get(t, ftz) : Pick<kFminXor>::get(t, ftz);
  }
  if (nan) return max ? Pick<kFmaxNan>::get(t, ftz) : Pick<kFminNan>::get(t, ftz);
  return max ? Pick<kFmax>::get(t, ftz) : Pick<kFmin>::get(t, ftz);
}
template <auto F>
struct PickSingle {
  static Handler get(Type t, bool ftz) {
    if (t == Type::F64) return floatOperation<2, F, double, kPlainFloat>;
    return ftz ? floatOperation<2, F, float, kFlushing> : floatOperation<2, F, float, kPlainFloat>;
  }
};

bool decodeMinMax(Decoder& d, const Statement& s, Instruction& in) {
  const bool max = s.op[0] == "max";
  Modifiers m(s);
  const bool ftz = m.take("ftz"), nan = m.take("NaN"), xorSign = m.take("xorsign"), relu = m.take("relu");
  if (xorSign && !m.take("abs")) throw Unsupported{"variant"};
  const Type t = m.type();
  m.done();
  if (!isFloat(t)) {
    if (relu) throw Unsupported{".relu of integers"};
    sameTypeOperands(d, s, in, t, 2);
    in.run = max ? binaryInteger<kMaximum>(t) : binaryInteger<kMinimum>(t);
    return true;
  }
  if (t != Type::F32 && t != Type::F64) return decodeHalfMinMax(d, s, in, t, max, nan, xorSign, ftz);
  if (s.operands.size() == 4) throw Unsupported{"three inputs"};
  sameTypeOperands(d, s, in, t, 2);
  in.kind = floatClass(t);
  in.run = pickExtremum<PickSingle>(max, nan, xorSign, ftz, t);
  return true;
}

bool decodeSign(Decoder& d, const Statement& s, Instruction& in) {
  const bool negate = s.op[0] == "neg";
  Modifiers m(s);
  const bool ftz = m.take("ftz");
  const Type t = m.type();
  m.done();
  if (!isFloat(t)) {
    sameTypeOperands(d, s, in, t, 1);
    constexpr auto kMinus = [](auto a) {
      using T = decltype(a);
      return T(Unsigned<T>(0) - Unsigned<T>(a));
    };
    in.run = negate ? unaryInteger<kMinus>(t) : unaryInteger<kAbsolute>(t);
    return true;
  }
  sameTypeOperands(d, s, in, t, 1);
  if (t == Type::F32) {
    in.kind = InstructionClass::Float32;
    if (negate)
      in.run = ftz ? signUnary<kNegate, float, true> : signUnary<kNegate, float, false>;
    else
      in.run = ftz ? signUnary<kFabs, float, true> : signUnary<kFabs, float, false>;
  } else if (t == Type::F64) {
    in.kind = InstructionClass::Float64;
    in.run = negate ? signUnary<kNegate, double, false> : signUnary<kFabs, double, false>;
  } else {
    decodeHalfSign(d, in, t, negate, ftz);
  }
  return true;
}

constexpr auto kCopySign32 = [](uint32_t a, uint32_t b) { return (b & 0x7FFFFFFF) | (a & 0x80000000); };
constexpr auto kCopySign64 = [](uint64_t a, uint64_t b) { return (b & ~(1ull << 63)) | (a & (1ull << 63)); };

bool decodeCopySign(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const Type t = m.type();
  m.done();
  sameTypeOperands(d, s, in, t, 2);
  in.kind = floatClass(t);
  in.run = t == Type::F64 ? Handler(binary<kCopySign64, uint64_t>) : Handler(binary<kCopySign32, uint32_t>);
  return true;
}

template <class T, int Test>
void testProperty(Context& c, const Instruction& in) {
  const T* a = c.at<T>(in.a);
  c.setPredicate(in.dst, predicateOf([=](int i) {
                   const int k = std::fpclassify(a[i]);
                   return Test == 0   ? k != FP_NAN && k != FP_INFINITE
                          : Test == 1 ? k == FP_INFINITE
                          : Test == 2 ? k != FP_NAN
                          : Test == 3 ? k == FP_NAN
                          : Test == 4 ? k == FP_NORMAL || k == FP_ZERO
                                      : k == FP_SUBNORMAL;
                 }));
}
template <class T>
Handler testHandler(Modifiers& m) {
  return m.take("finite")       ? testProperty<T, 0>
         : m.take("infinite")   ? testProperty<T, 1>
         : m.take("number")     ? testProperty<T, 2>
         : m.take("notanumber") ? testProperty<T, 3>
         : m.take("normal")     ? testProperty<T, 4>
         : m.take("subnormal")  ? testProperty<T, 5>
                                : nullptr;
}

bool decodeTestp(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool wide = s.has("f64");
  in.run = wide ? testHandler<double>(m) : testHandler<float>(m);
  const Type t = m.type();
  m.done();
  if (!in.run || (t != Type::F32 && t != Type::F64)) throw Unsupported{"variant"};
  needOperands(s, 2);
  in.a = d.source(s.operands[1], t);
  in.dst = d.predicateDestination(s.operands[0]);
  in.kind = InstructionClass::Predicate;
  return true;
}
