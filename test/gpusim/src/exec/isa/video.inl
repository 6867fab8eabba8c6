// SPDX-License-Identifier: Apache-2.0
// Video instructions: fields of the source words are selected and extended, combined, saturated, and then merged into
// or combined with a third operand. The scalar ones have one field, the others two halves or four bytes.

enum VideoOperation {
  kVideoAdd,
  kVideoSubtract,
  kVideoAverage,
  kVideoDifference,
  kVideoMinimum,
  kVideoMaximum,
  kVideoShiftLeft,
  kVideoShiftRight,
  kVideoEqual,
  kVideoNotEqual,
  kVideoLess,
  kVideoLessEqual,
  kVideoGreater,
  kVideoGreaterEqual,
  kVideoOperationCount
};
enum VideoFinish { kVideoMerge, kVideoAccumulate, kVideoSecondMinimum, kVideoSecondMaximum };

/// Fields of one width; of sources they lie in the two words b:a, of the result in d and c.
struct VideoFields {
  std::array<uint8_t, 4> at = {};
  unsigned bits = 32;
  bool isSigned = false;

  int64_t take(uint64_t from, int i) const {
    const uint64_t raw = from >> at[size_t(i)] << (64 - bits);
    return isSigned ? int64_t(raw) >> (64 - bits) : int64_t(raw >> (64 - bits));
  }
  int64_t lowest() const { return isSigned ? -(int64_t(1) << (bits - 1)) : 0; }
  int64_t highest() const { return (int64_t(1) << (isSigned ? bits - 1 : bits)) - 1; }
};

struct VideoOp {
  int count = 1;
  VideoFields a, b, d;
  std::array<bool, 4> mask = {true, true, true, true};  ///< the results that reach d
  VideoFinish finish = kVideoMerge;
  bool saturate = false, wrap = false;
  // vmad
  bool negateProduct = false, negateC = false, plusOne = false;
  unsigned scale = 0;
};

template <int Operation>
__int128 combineFields(int64_t x, int64_t y, bool wrap) {
  const int64_t shift = wrap ? y & 31 : std::min<int64_t>(y, 32);
  switch (Operation) {
    case kVideoAdd:
      return x + y;
    case kVideoSubtract:
      return x - y;
    case kVideoAverage:
      return (x + y + (x + y >= 0)) >> 1;
    case kVideoDifference:
      return std::abs(x - y);
    case kVideoMinimum:
      return std::min(x, y);
    case kVideoMaximum:
      return std::max(x, y);
    case kVideoShiftLeft:
      return __int128(x) * (__int128(1) << shift);
    case kVideoShiftRight:
      return x >> shift;
    case kVideoEqual:
      return x == y;
    case kVideoNotEqual:
      return x != y;
    case kVideoLess:
      return x < y;
    case kVideoLessEqual:
      return x <= y;
    case kVideoGreater:
      return x > y;
    default:
      return x >= y;
  }
}

template <int Operation>
void video(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const VideoOp*>(in.payload);
  const uint32_t *a = c.at<uint32_t>(in.a), *b = c.at<uint32_t>(in.b), *third = c.at<uint32_t>(in.c);
  assign<uint32_t>(c, in.dst, [&](int i) {
    const uint64_t both = uint64_t(b[i]) << 32 | a[i];
    const int64_t other = op.d.isSigned ? int64_t(int32_t(third[i])) : int64_t(third[i]);
    uint32_t r = third[i];
    for (int k = 0; k < op.count; ++k) {
      if (!op.mask[size_t(k)]) continue;
      __int128 t = combineFields<Operation>(op.a.take(both, k), op.b.take(both, k), op.wrap);
      if (op.saturate) t = std::clamp<__int128>(t, op.d.lowest(), op.d.highest());
      const uint64_t field = ((1ull << op.d.bits) - 1) << op.d.at[size_t(k)];
      if (op.finish == kVideoMerge)
        r = uint32_t((r & ~field) | (uint64_t(t) << op.d.at[size_t(k)] & field));
      else if (op.finish == kVideoAccumulate)
        r += uint32_t(t);
      else
        r = uint32_t(op.finish == kVideoSecondMinimum ? std::min<__int128>(t, other) : std::max<__int128>(t, other));
    }
    return r;
  });
}

void videoMultiplyAdd(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const VideoOp*>(in.payload);
  const uint32_t *a = c.at<uint32_t>(in.a), *b = c.at<uint32_t>(in.b), *third = c.at<uint32_t>(in.c);
  assign<uint32_t>(c, in.dst, [&](int i) {
    const uint64_t both = uint64_t(b[i]) << 32 | a[i];
    const __int128 product = __int128(op.a.take(both, 0)) * op.b.take(both, 0);
    const uint32_t word = op.negateC ? ~third[i] : third[i];
    const __int128 sum = (op.negateProduct ? ~product : product) + (op.d.isSigned ? int64_t(int32_t(word)) : word) +
                         (op.plusOne || op.negateProduct || op.negateC);
    __int128 r = sum >> op.scale;
    if (op.saturate) r = std::clamp<__int128>(r, op.d.lowest(), op.d.highest());
    return uint32_t(r);
  });
}

template <size_t... Operation>
Handler videoHandler(int operation, std::index_sequence<Operation...>) {
  static constexpr Handler kTable[] = {video<int(Operation)>...};
  return kTable[operation];
}

int videoOperation(const std::string& name, Modifiers& m) {
  static const std::unordered_map<std::string, int> kNames = {
      {"vadd", kVideoAdd},     {"vsub", kVideoSubtract}, {"vavrg", kVideoAverage},  {"vabsdiff", kVideoDifference},
      {"vmin", kVideoMinimum}, {"vmax", kVideoMaximum},  {"vshl", kVideoShiftLeft}, {"vshr", kVideoShiftRight}};
  if (name == "vset") {
    const std::pair<const char*, int> kCompare[] = {{"eq", kVideoEqual},   {"ne", kVideoNotEqual},
                                                    {"lt", kVideoLess},    {"le", kVideoLessEqual},
                                                    {"gt", kVideoGreater}, {"ge", kVideoGreaterEqual}};
    for (auto& [word, operation] : kCompare)
      if (m.take(word)) return operation;
    throw Unsupported{"comparison operator"};
  }
  return kNames.at(name);
}

/// The selector of a scalar operand, `b0` to `b3`, `h0`, `h1` or none, of the word that starts at bit `word`.
void selectScalar(VideoFields& f, const std::string& selector, unsigned word) {
  if (selector.size() > 2) throw Unsupported{"selector '." + selector + "'"};
  f.bits = selector.empty() ? 32 : selector[0] == 'b' ? 8 : 16;
  const unsigned index = selector.empty() ? 0 : unsigned(selector[1] - '0');
  if (index >= 32 / f.bits) throw Unsupported{"selector '." + selector + "'"};
  f.at[0] = uint8_t(word + index * f.bits);
}

/// The selector of several fields: a digit for each, the lowest field last.
void selectFields(VideoFields& f, int count, std::string selector, const char* standard) {
  if (selector.empty()) selector = standard;
  f.bits = unsigned(32 / count);
  if (selector.size() != size_t(count) + 1 || selector[0] != standard[0])
    throw Unsupported{"selector '." + selector + "'"};
  for (int i = 0; i < count; ++i) {
    const unsigned index = unsigned(selector[size_t(count - i)] - '0');
    if (index >= 64 / f.bits) throw Unsupported{"selector '." + selector + "'"};
    f.at[size_t(i)] = uint8_t(index * f.bits);
  }
}

void selectResults(VideoOp& op, const std::string& mask) {
  op.d.bits = unsigned(32 / op.count);
  for (int i = 0; i < op.count; ++i) op.d.at[size_t(i)] = uint8_t(unsigned(i) * op.d.bits);
  if (mask.empty()) return;
  op.mask = {};
  for (size_t i = 1; i < mask.size(); ++i) {
    const int index = mask[i] - '0';
    if (mask[0] != (op.count == 2 ? 'h' : 'b') || index >= op.count) throw Unsupported{"selector '." + mask + "'"};
    op.mask[size_t(index)] = true;
  }
}

bool decodeVideo(Decoder& d, const Statement& s, Instruction& in) {
  std::string name = s.op[0];
  auto* op = d.payload<VideoOp>();
  if (name.back() == '2' || name.back() == '4') {
    op->count = name.back() - '0';
    name.pop_back();
  }
  Modifiers m(s);
  const bool multiply = name == "vmad", shift = name == "vshl" || name == "vshr";
  const int operation = multiply ? 0 : videoOperation(name, m);
  op->saturate = m.take("sat"), op->plusOne = m.take("po");
  op->scale = m.take("shr7") ? 7 : m.take("shr15") ? 15 : 0;
  if (shift && !(op->wrap = m.take("wrap")) && !m.take("clamp")) throw Unsupported{"variant"};
  op->finish = m.take("add")   ? kVideoAccumulate
               : m.take("min") ? kVideoSecondMinimum
               : m.take("max") ? kVideoSecondMaximum
                               : kVideoMerge;
  auto takesSigned = [&] {
    const Type type = m.type();
    if (type != Type::S32 && type != Type::U32) throw Unsupported{"type"};
    return type == Type::S32;
  };
  op->d.isSigned = name != "vset" && takesSigned();
  op->a.isSigned = takesSigned();
  op->b.isSigned = takesSigned();
  if (shift && op->b.isSigned) throw Unsupported{"signed shift amount"};
  m.done();
  if (s.operands.size() < 3 || s.operands.size() > 4) throw Unsupported{"number of operands"};
  const Operand &result = s.operands[0], &a = s.operands[1], &b = s.operands[2];
  if (op->count == 1) {
    selectScalar(op->d, result.name, 0), selectScalar(op->a, a.name, 0), selectScalar(op->b, b.name, 32);
  } else {
    selectResults(*op, result.name);
    selectFields(op->a, op->count, a.name, op->count == 2 ? "h10" : "b3210");
    selectFields(op->b, op->count, b.name, op->count == 2 ? "h32" : "b7654");
  }
  auto whole = [](Operand o) {
    o.name.clear();
    o.negated = false;
    return o;
  };
  in.a = d.source(whole(a), 4), in.b = d.source(whole(b), 4);
  in.c = s.operands.size() > 3 ? d.source(whole(s.operands[3]), 4) : d.constant(4, 0);
  in.dst = d.destination(whole(result), 4);
  in.payload = op;
  in.run = multiply ? videoMultiplyAdd : videoHandler(operation, std::make_index_sequence<kVideoOperationCount>{});
  if (!multiply && (a.negated || b.negated)) throw Unsupported{"negated operand"};
  if (multiply) {
    op->negateProduct = a.negated != b.negated, op->negateC = s.operands.at(3).negated;
    op->d.isSigned = op->a.isSigned || op->b.isSigned || op->negateProduct || op->negateC;
  }
  return true;
}
