// SPDX-License-Identifier: Apache-2.0
// Loops over the 32 lanes. Included once for each host instruction set, inside that set's namespace.

#if defined(__clang__)
#define GPUSIM_LANES _Pragma("clang loop vectorize(assume_safety)") for (int i = 0; i < kLanes; ++i)
#else
#define GPUSIM_LANES _Pragma("GCC ivdep") for (int i = 0; i < kLanes; ++i)
#endif

/// Copies the lanes of `mask` from `value` to `d`.
template <class T>
inline void blend(T* d, const T* value, uint32_t mask) {
  GPUSIM_LANES d[i] = (mask >> i & 1) ? value[i] : d[i];
}

/// d[i] = g(i) for the active lanes. g must be harmless for inactive ones.
template <class T, class G>
inline void assign(Context& c, Ref dst, G g) {
  T* d = c.at<T>(dst);
  if (c.mask == kAllLanes) {
    GPUSIM_LANES d[i] = g(i);
  } else {
    alignas(64) T value[kLanes];
    GPUSIM_LANES value[i] = g(i);
    blend(d, value, c.mask);
  }
}

/// Lanes whose byte is 1, as a mask.
inline uint32_t pack(const uint8_t* bytes) {
  uint32_t mask = 0;
  for (int part = 0; part < 4; ++part) {
    uint64_t eight;
    std::memcpy(&eight, bytes + part * 8, 8);
    mask |= uint32_t((eight * 0x0102040810204080ull) >> 56) << (part * 8);
  }
  return mask;
}

template <class G>
inline uint32_t predicateOf(G g) {
  alignas(32) uint8_t bytes[kLanes];
  GPUSIM_LANES bytes[i] = g(i) ? 1 : 0;
  return pack(bytes);
}

template <auto F, class T>
void unary(Context& c, const Instruction& in) {
  const T* a = c.at<T>(in.a);
  assign<T>(c, in.dst, [=](int i) { return T(F(a[i])); });
}

template <auto F, class T>
void binary(Context& c, const Instruction& in) {
  const T *a = c.at<T>(in.a), *b = c.at<T>(in.b);
  assign<T>(c, in.dst, [=](int i) { return T(F(a[i], b[i])); });
}

template <auto F, class T>
void ternary(Context& c, const Instruction& in) {
  const T *a = c.at<T>(in.a), *b = c.at<T>(in.b), *e = c.at<T>(in.c);
  assign<T>(c, in.dst, [=](int i) { return T(F(a[i], b[i], e[i])); });
}

/// Operands and result of different types.
template <auto F, class R, class A>
void unaryTo(Context& c, const Instruction& in) {
  const A* a = c.at<A>(in.a);
  assign<R>(c, in.dst, [=](int i) { return R(F(a[i])); });
}

template <auto F, class R, class A, class B>
void binaryTo(Context& c, const Instruction& in) {
  const A* a = c.at<A>(in.a);
  const B* b = c.at<B>(in.b);
  assign<R>(c, in.dst, [=](int i) { return R(F(a[i], b[i])); });
}

template <auto F, class R, class A, class B, class C>
void ternaryTo(Context& c, const Instruction& in) {
  const A* a = c.at<A>(in.a);
  const B* b = c.at<B>(in.b);
  const C* e = c.at<C>(in.c);
  assign<R>(c, in.dst, [=](int i) { return R(F(a[i], b[i], e[i])); });
}

/// The instantiation of a unary operation for an integer type.
template <auto F>
Handler unaryInteger(Type t) {
  switch (typeBytes(t)) {
    case 2:
      return isSigned(t) ? unary<F, int16_t> : unary<F, uint16_t>;
    case 4:
      return isSigned(t) ? unary<F, int32_t> : unary<F, uint32_t>;
    case 8:
      return isSigned(t) ? unary<F, int64_t> : unary<F, uint64_t>;
    default:
      throw Unsupported{"integer type"};
  }
}

template <auto F>
Handler binaryInteger(Type t) {
  switch (typeBytes(t)) {
    case 2:
      return isSigned(t) ? binary<F, int16_t> : binary<F, uint16_t>;
    case 4:
      return isSigned(t) ? binary<F, int32_t> : binary<F, uint32_t>;
    case 8:
      return isSigned(t) ? binary<F, int64_t> : binary<F, uint64_t>;
    default:
      throw Unsupported{"integer type"};
  }
}

/// As binaryInteger where signedness does not matter; unsigned arithmetic wraps.
template <auto F>
Handler binaryBits(unsigned bytes) {
  switch (bytes) {
    case 2:
      return binary<F, uint16_t>;
    case 4:
      return binary<F, uint32_t>;
    case 8:
      return binary<F, uint64_t>;
    default:
      throw Unsupported{"operand size"};
  }
}

template <auto F>
Handler ternaryBits(unsigned bytes) {
  switch (bytes) {
    case 2:
      return ternary<F, uint16_t>;
    case 4:
      return ternary<F, uint32_t>;
    case 8:
      return ternary<F, uint64_t>;
    default:
      throw Unsupported{"operand size"};
  }
}

inline void needOperands(const Statement& s, size_t n) {
  if (s.operands.size() != n) throw Unsupported{"expected " + std::to_string(n) + " operands"};
}

/// Operands of `dst, a[, b[, c]]`, all of one type.
inline void sameTypeOperands(Decoder& d, const Statement& s, Instruction& in, Type t, size_t sources) {
  needOperands(s, sources + 1);
  const unsigned bytes = std::max(2u, typeBytes(t));
  Ref* refs[] = {&in.a, &in.b, &in.c};
  for (size_t i = 0; i < sources; ++i) *refs[i] = d.source(s.operands[i + 1], t);
  in.dst = d.destination(s.operands[0], bytes);
}
