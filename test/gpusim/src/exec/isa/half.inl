// SPDX-License-Identifier: Apache-2.0
// f16 and bf16, single and packed. Packed operands are seen as twice as many 16-bit values.

struct Half {
  static float decode(uint16_t v) { return decodeHalf(v); }
  static uint16_t encode(float v) { return halfFromFloat(v); }
  static uint16_t flushed(uint16_t v) { return (v & 0x7C00) ? v : uint16_t(v & 0x8000); }
  /// a*b + c so that rounding the result to f16 gives the correctly rounded value: the double sum is exact wherever
  /// f16 can tell, and is brought to f32 by rounding to odd.
  static float fma(float a, float b, float c) {
    const uint64_t bits = std::bit_cast<uint64_t>(double(a) * double(b) + double(c));
    constexpr uint64_t kRest = (1ull << 29) - 1;
    const uint64_t odd = (bits & ~kRest) | (uint64_t((bits & kRest) != 0) << 29);
    const bool special = (bits & 0x7FF0000000000000ull) == 0x7FF0000000000000ull;
    return float(std::bit_cast<double>(special ? bits : odd));
  }
};

struct Bfloat {
  static float decode(uint16_t v) { return decodeBfloat(v); }
  static uint16_t encode(float v) { return bfloatFromFloat(v); }
  static uint16_t flushed(uint16_t v) { return (v & 0x7F80) ? v : uint16_t(v & 0x8000); }
  /// The f32 result decides, except where it lies exactly between two bf16 values: then the exact rest does.
  static float fma(float a, float b, float c) {
    const float r = std::fma(a, b, c);
    const uint32_t bits = std::bit_cast<uint32_t>(r);
    if ((bits & 0xFFFF) != 0x8000) return r;
    const double p = double(a) * double(b), s = p + double(c), t = s - p;
    const double rest = (p - (s - t)) + (double(c) - t);
    const double difference = (s - double(r)) + rest;
    if (difference == 0) return r;
    return std::bit_cast<float>((difference > 0) == (r > 0) ? bits + 1 : bits - 1);
  }
};

enum HalfClamp { kNoClamp, kSaturate, kRelu };

/// Rare options of an operation, looked at per value.
struct HalfOptions {
  bool ftz = false;
  int clamp = kNoClamp;
};

inline float clampHalf(float v, int clamp) {
  if (clamp == kSaturate) return saturate(v);
  return clamp == kRelu && v <= 0 ? 0.0f : v;
}

/// Stores in.aux values a lane (1 or 2) held side by side.
inline void storeHalves(Context& c, const Instruction& in, const uint16_t* value) {
  if (in.aux == 2)
    blend(c.at<uint32_t>(in.dst), reinterpret_cast<const uint32_t*>(value), c.mask);
  else
    blend(c.at<uint16_t>(in.dst), value, c.mask);
}

template <class Format>
inline void loadHalves(const uint16_t* from, float* to, int n, bool ftz) {
  if (ftz) {
    for (int k = 0; k < n; ++k) to[k] = Format::decode(Format::flushed(from[k]));
  } else {
    for (int k = 0; k < n; ++k) to[k] = Format::decode(from[k]);
  }
}

template <class Format, auto F, int Arity>
void halfArithmetic(Context& c, const Instruction& in) {
  alignas(64) float x[2 * kLanes], y[2 * kLanes], z[2 * kLanes];
  alignas(64) uint16_t result[2 * kLanes];
  const auto* options = static_cast<const HalfOptions*>(in.payload);
  const bool ftz = options && options->ftz;
  const int n = int(in.aux) * kLanes;
  loadHalves<Format>(c.at<uint16_t>(in.a), x, n, ftz);
  if constexpr (Arity > 1) loadHalves<Format>(c.at<uint16_t>(in.b), y, n, ftz);
  if constexpr (Arity > 2) loadHalves<Format>(c.at<uint16_t>(in.c), z, n, ftz);
  for (int k = 0; k < n; ++k) {
    if constexpr (Arity == 1)
      x[k] = F(x[k]);
    else if constexpr (Arity == 2)
      x[k] = F(x[k], y[k]);
    else
      x[k] = Format::fma(x[k], y[k], z[k]);
  }
  if (options)
    for (int k = 0; k < n; ++k) x[k] = clampHalf(x[k], options->clamp);
  for (int k = 0; k < n; ++k) result[k] = Format::encode(x[k]);
  if (ftz)
    for (int k = 0; k < n; ++k) result[k] = Format::flushed(result[k]);
  storeHalves(c, in, result);
}

inline bool isBfloat(Type t) { return t == Type::BF16 || t == Type::BF16x2; }
inline bool isHalfType(Type t) { return t == Type::F16 || t == Type::F16x2 || isBfloat(t); }
inline uint32_t halvesPerLane(Type t) { return t == Type::F16x2 || t == Type::BF16x2 ? 2 : 1; }

template <auto F, int Arity>
Handler halfHandler(Type t) {
  return isBfloat(t) ? halfArithmetic<Bfloat, F, Arity> : halfArithmetic<Half, F, Arity>;
}

void setHalfOptions(Decoder& d, Instruction& in, Type t, bool ftz, int clamp) {
  in.aux = halvesPerLane(t);
  in.kind = InstructionClass::Half;
  if (!ftz && clamp == kNoClamp) return;
  auto* options = d.payload<HalfOptions>();
  *options = {ftz, clamp};
  in.payload = options;
}

constexpr auto kAddFloat = [](float a, float b) { return a + b; };
constexpr auto kSubFloat = [](float a, float b) { return a - b; };
constexpr auto kMulFloat = [](float a, float b) { return a * b; };

bool decodeHalfBasic(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  m.take("rn");
  const bool ftz = m.take("ftz");
  const int clamp = m.take("sat") ? kSaturate : m.take("relu") ? kRelu : kNoClamp;
  const Type t = m.type();
  m.done();
  const bool fma = op == "fma";
  sameTypeOperands(d, s, in, t, fma ? 3 : 2);
  setHalfOptions(d, in, t, ftz, clamp);
  in.run = op == "add"   ? halfHandler<kAddFloat, 2>(t)
           : op == "sub" ? halfHandler<kSubFloat, 2>(t)
           : op == "mul" ? halfHandler<kMulFloat, 2>(t)
                         : halfHandler<kAddFloat, 3>(t);
  return true;
}

constexpr auto kExp2Half = [](float a) { return std::exp2(a); };
constexpr auto kTanhHalf = [](float a) { return std::tanh(a); };

bool decodeHalfSpecial(Decoder& d, const Statement& s, Instruction& in, Type t) {
  if (!isHalfType(t)) throw Unsupported{"type"};
  const bool ftz = s.has("ftz");
  sameTypeOperands(d, s, in, t, 1);
  setHalfOptions(d, in, t, ftz, kNoClamp);
  in.kind = InstructionClass::Special;
  if (s.op[0] == "ex2")
    in.run = halfHandler<kExp2Half, 1>(t);
  else if (s.op[0] == "tanh")
    in.run = halfHandler<kTanhHalf, 1>(t);
  else
    throw Unsupported{"type"};
  return true;
}

template <auto F>
struct PickHalf {
  static Handler get(Type t, bool) { return halfHandler<F, 2>(t); }
};

bool decodeHalfMinMax(Decoder& d, const Statement& s, Instruction& in, Type t, bool max, bool nan, bool xorSign,
                      bool ftz) {
  if (!isHalfType(t)) throw Unsupported{"type"};
  sameTypeOperands(d, s, in, t, 2);
  setHalfOptions(d, in, t, ftz, kNoClamp);
  in.run = pickExtremum<PickHalf>(max, nan, xorSign, ftz, t);
  return true;
}

template <bool Negate>
void halfSign(Context& c, const Instruction& in) {
  const uint16_t* a = c.at<uint16_t>(in.a);
  const auto* options = static_cast<const HalfOptions*>(in.payload);
  alignas(64) uint16_t result[2 * kLanes];
  for (int k = 0; k < int(in.aux) * kLanes; ++k) {
    const uint16_t v = options ? Half::flushed(a[k]) : a[k];
    result[k] = uint16_t(Negate ? v ^ 0x8000 : v & 0x7FFF);
  }
  storeHalves(c, in, result);
}

void decodeHalfSign(Decoder& d, Instruction& in, Type t, bool negate, bool ftz) {
  setHalfOptions(d, in, t, ftz && !isBfloat(t), kNoClamp);
  in.run = negate ? halfSign<true> : halfSign<false>;
}
