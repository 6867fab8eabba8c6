// SPDX-License-Identifier: Apache-2.0
// A Zstandard decoder after RFC 8878; section numbers in the comments are its. Small rather than fast.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "decompress.h"

namespace gpusim {
namespace {

struct Damaged {};

void require(bool good) {
  if (!good) throw Damaged{};
}

int highestBit(uint64_t value) { return 63 - std::countl_zero(value); }

// Bytes in order.
class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> data) : data_(data) {}
  size_t left() const { return data_.size(); }
  std::span<const uint8_t> take(size_t count) {
    require(count <= data_.size());
    const auto taken = data_.first(count);
    data_ = data_.subspan(count);
    return taken;
  }
  std::span<const uint8_t> rest() const { return data_; }
  uint64_t number(size_t bytes) {
    uint64_t value = 0;
    size_t shift = 0;
    for (const uint8_t byte : take(bytes)) value |= uint64_t{byte} << (8 * shift++);
    return value;
  }

 private:
  std::span<const uint8_t> data_;
};

// `count` (at most 56) bits from bit `at` of little-endian data; what lies outside is 0.
uint64_t bitsAt(std::span<const uint8_t> data, int64_t at, int count) {
  const int64_t byte = at >> 3;
  uint64_t value = 0;
  if (at >= 0 && byte + 8 <= static_cast<int64_t>(data.size())) {
    std::memcpy(&value, data.data() + byte, sizeof value);
    return (value >> (at & 7)) & ((uint64_t{1} << count) - 1);
  }
  for (int i = 0; i < count; ++i) {
    const int64_t bit = at + i;
    if (bit < 0 || bit >= static_cast<int64_t>(data.size()) * 8) continue;
    value |= uint64_t{(data[bit / 8] >> (bit % 8)) & 1u} << i;
  }
  return value;
}

// 4.1: bits from the end of the data towards its begin; the highest set bit of the last byte marks the start.
class BackwardBits {
 public:
  explicit BackwardBits(std::span<const uint8_t> data) : data_(data) {
    require(!data.empty() && data.back() != 0);
    position_ = static_cast<int64_t>(data.size() - 1) * 8 + highestBit(data.back());
  }
  uint64_t read(int count) {
    position_ -= count;
    return bitsAt(data_, position_, count);
  }
  uint64_t peek(int count) const { return bitsAt(data_, position_ - count, count); }
  void skip(int count) { position_ -= count; }
  int64_t left() const { return position_; }

 private:
  std::span<const uint8_t> data_;
  int64_t position_;
};

// 4.1: a finite-state-entropy decoding table.
struct FseTable {
  struct Entry {
    uint8_t symbol;
    uint8_t bits;
    uint16_t base;
  };
  int log = 0;
  std::vector<Entry> entries;

  static FseTable build(const std::vector<int>& frequencies, int log) {
    const size_t size = size_t{1} << log;
    FseTable table;
    table.log = log;
    table.entries.resize(size);
    std::vector<unsigned> next(frequencies.size());
    size_t high = size;
    for (size_t s = 0; s < frequencies.size(); ++s) {
      if (frequencies[s] != -1) continue;
      require(high > 0);
      table.entries[--high].symbol = static_cast<uint8_t>(s);
      next[s] = 1;
    }
    const size_t step = (size >> 1) + (size >> 3) + 3;
    size_t position = 0;
    for (size_t s = 0; s < frequencies.size(); ++s) {
      if (frequencies[s] <= 0) continue;
      next[s] = static_cast<unsigned>(frequencies[s]);
      for (int i = 0; i < frequencies[s]; ++i) {
        table.entries[position].symbol = static_cast<uint8_t>(s);
        do position = (position + step) & (size - 1);
        while (position >= high);
      }
    }
    require(position == 0);
    for (Entry& entry : table.entries) {
      const unsigned state = next[entry.symbol]++;
      entry.bits = static_cast<uint8_t>(log - highestBit(state));
      entry.base = static_cast<uint16_t>((state << entry.bits) - size);
    }
    return table;
  }

  static FseTable constant(uint8_t symbol) {
    FseTable table;
    table.entries = {{symbol, 0, 0}};
    return table;
  }

  // 4.1.1: a table description; advances `in` behind it.
  static FseTable read(ByteReader& in, int maxLog, size_t maxSymbols) {
    const auto data = in.rest();
    int64_t at = 4;
    const int log = static_cast<int>(bitsAt(data, 0, 4)) + 5;
    require(log <= maxLog);
    std::vector<int> frequencies;
    int remaining = 1 << log;
    while (remaining > 0) {
      require(frequencies.size() < maxSymbols && at < static_cast<int64_t>(data.size()) * 8);
      const int bits = highestBit(static_cast<uint64_t>(remaining) + 1) + 1;
      int value = static_cast<int>(bitsAt(data, at, bits));
      at += bits;
      const int lowMask = (1 << (bits - 1)) - 1;
      const int threshold = (1 << bits) - 1 - (remaining + 1);
      if ((value & lowMask) < threshold) {
        --at;
        value &= lowMask;
      } else if (value > lowMask) {
        value -= threshold;
      }
      const int frequency = value - 1;
      remaining -= frequency < 0 ? 1 : frequency;
      frequencies.push_back(frequency);
      for (uint64_t repeat = 3; frequency == 0 && repeat == 3;) {
        repeat = bitsAt(data, at, 2);
        at += 2;
        frequencies.insert(frequencies.end(), repeat, 0);
        require(frequencies.size() <= maxSymbols);
      }
    }
    require(remaining == 0);
    in.take(static_cast<size_t>((at + 7) / 8));
    return build(frequencies, log);
  }
};

class FseState {
 public:
  FseState(const FseTable& table, BackwardBits& bits) : table_(table), state_(bits.read(table.log)) {}
  uint8_t symbol() const { return table_.entries[state_].symbol; }
  void advance(BackwardBits& bits) {
    const auto& entry = table_.entries[state_];
    state_ = entry.base + bits.read(entry.bits);
  }
  int bitsToAdvance() const { return table_.entries[state_].bits; }

 private:
  const FseTable& table_;
  uint64_t state_;
};

// 4.2: a Huffman table, indexed by the next `bits` bits.
struct HuffmanTable {
  struct Entry {
    uint8_t symbol;
    uint8_t bits;
  };
  int bits = 0;
  std::vector<Entry> entries;

  static std::vector<int> readWeights(ByteReader& in) {
    const auto header = static_cast<unsigned>(in.number(1));
    std::vector<int> weights;
    if (header >= 128) {
      const size_t count = header - 127;
      for (const uint8_t pair : in.take((count + 1) / 2)) {
        weights.push_back(pair >> 4);
        weights.push_back(pair & 15);
      }
      weights.resize(count);
      return weights;
    }
    ByteReader description(in.take(header));
    const FseTable table = FseTable::read(description, 6, 256);
    BackwardBits stream(description.rest());
    FseState states[] = {{table, stream}, {table, stream}};
    require(stream.left() >= 0);
    for (size_t turn = 0;; turn ^= 1) {
      require(weights.size() < 254);
      weights.push_back(states[turn].symbol());
      if (stream.left() < states[turn].bitsToAdvance()) {
        weights.push_back(states[turn ^ 1].symbol());
        return weights;
      }
      states[turn].advance(stream);
    }
  }

  static HuffmanTable read(ByteReader& in) {
    std::vector<int> weights = readWeights(in);
    uint64_t sum = 0;
    for (const int weight : weights) sum += weight > 0 ? uint64_t{1} << (weight - 1) : 0;
    require(sum > 0);
    HuffmanTable table;
    table.bits = highestBit(sum) + 1;
    require(table.bits <= 11);
    const uint64_t last = (uint64_t{1} << table.bits) - sum;  // the last symbol's weight fills the table
    require(std::has_single_bit(last));
    weights.push_back(highestBit(last) + 1);
    for (int weight = 1; weight <= table.bits; ++weight)
      for (size_t s = 0; s < weights.size(); ++s)
        if (weights[s] == weight)
          table.entries.insert(table.entries.end(), size_t{1} << (weight - 1),
                               {static_cast<uint8_t>(s), static_cast<uint8_t>(table.bits + 1 - weight)});
    require(table.entries.size() == size_t{1} << table.bits);
    return table;
  }

  void decode(std::span<const uint8_t> data, size_t count, std::vector<uint8_t>& out) const {
    BackwardBits stream(data);
    for (size_t i = 0; i < count; ++i) {
      const Entry& entry = entries[stream.peek(bits)];
      stream.skip(entry.bits);
      out.push_back(entry.symbol);
    }
    require(stream.left() == 0);
  }
};

// 3.1.1.3.2.1: how lengths are coded.
struct LengthCode {
  uint32_t base;
  uint8_t bits;
};

constexpr LengthCode kLiteralLengths[] = {
    {0, 0},   {1, 0},   {2, 0},     {3, 0},     {4, 0},     {5, 0},     {6, 0},      {7, 0},      {8, 0},
    {9, 0},   {10, 0},  {11, 0},    {12, 0},    {13, 0},    {14, 0},    {15, 0},     {16, 1},     {18, 1},
    {20, 1},  {22, 1},  {24, 2},    {28, 2},    {32, 3},    {40, 3},    {48, 4},     {64, 6},     {128, 7},
    {256, 8}, {512, 9}, {1024, 10}, {2048, 11}, {4096, 12}, {8192, 13}, {16384, 14}, {32768, 15}, {65536, 16}};

LengthCode matchLength(unsigned code) {
  constexpr LengthCode kLong[] = {{35, 1},     {37, 1},     {39, 1},    {41, 1},    {43, 2},    {47, 2},
                                  {51, 3},     {59, 3},     {67, 4},    {83, 4},    {99, 5},    {131, 7},
                                  {259, 8},    {515, 9},    {1027, 10}, {2051, 11}, {4099, 12}, {8195, 13},
                                  {16387, 14}, {32771, 15}, {65539, 16}};
  if (code < 32) return {code + 3, 0};
  require(code - 32 < std::size(kLong));
  return kLong[code - 32];
}

const std::vector<int> kDefaultLiteralLengths = {4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1,  1,  2,  2,
                                                 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1};
const std::vector<int> kDefaultMatchLengths = {1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1,  1,  1,  1,  1,  1,  1, 1,
                                               1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,  1,  1,  1,  1,  1,  1, 1,
                                               1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1};
const std::vector<int> kDefaultOffsets = {1, 1, 1, 1, 1, 1, 2, 2, 2, 1,  1,  1,  1,  1, 1,
                                          1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1};

// One frame's state: what blocks hand on to later blocks.
class Frame {
 public:
  explicit Frame(std::vector<uint8_t>& out, size_t limit) : out_(out), limit_(limit) {}

  // 3.1.1.2
  void decode(ByteReader& in) {
    const auto descriptor = static_cast<unsigned>(in.number(1));
    const bool single = descriptor & 0x20;
    constexpr size_t kDictionaryBytes[] = {0, 1, 2, 4};
    constexpr size_t kSizeBytes[] = {0, 2, 4, 8};
    require((descriptor & 0x08) == 0);
    if (!single) in.take(1);
    require(in.number(kDictionaryBytes[descriptor & 3]) == 0);
    in.take(descriptor >> 6 == 0 ? single : kSizeBytes[descriptor >> 6]);
    for (bool last = false; !last;) {
      const uint64_t header = in.number(3);
      last = header & 1;
      const size_t size = header >> 3;
      switch ((header >> 1) & 3) {
        case 0:
          append(in.take(size));
          break;
        case 1:
          require(size <= limit_ - out_.size());
          out_.insert(out_.end(), size, static_cast<uint8_t>(in.number(1)));
          break;
        case 2:
          block(ByteReader(in.take(size)));
          break;
        default:
          throw Damaged{};
      }
    }
    if (descriptor & 0x04) in.take(4);  // checksum
  }

 private:
  void append(std::span<const uint8_t> bytes) {
    require(bytes.size() <= limit_ - out_.size());
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }

  // 3.1.1.3.1
  std::vector<uint8_t> literals(ByteReader& in) {
    const unsigned first = in.rest().empty() ? throw Damaged{} : in.rest()[0];
    const unsigned type = first & 3, format = (first >> 2) & 3;
    if (type < 2) {
      const size_t bytes = (format & 1) == 0 ? 1 : format == 1 ? 2 : 3;
      const size_t size = in.number(bytes) >> (bytes == 1 ? 3 : 4);
      require(size <= limit_);
      if (type == 1) return std::vector<uint8_t>(size, static_cast<uint8_t>(in.number(1)));
      const auto raw = in.take(size);
      return {raw.begin(), raw.end()};
    }
    const int bits = format < 2 ? 10 : format == 2 ? 14 : 18;
    const uint64_t header = in.number(format < 2 ? 3 : format + 2);
    const size_t size = (header >> 4) & ((1u << bits) - 1);
    const size_t compressed = (header >> (4 + bits)) & ((1u << bits) - 1);
    ByteReader data(in.take(compressed));
    if (type == 2) huffman_ = HuffmanTable::read(data);
    require(!huffman_.entries.empty());
    std::vector<uint8_t> decoded;
    if (format == 0) {
      huffman_.decode(data.rest(), size, decoded);
      return decoded;
    }
    size_t sizes[3];
    for (size_t& stream : sizes) stream = data.number(2);
    const size_t each = (size + 3) / 4;
    require(each * 3 <= size);
    for (const size_t stream : sizes) huffman_.decode(data.take(stream), each, decoded);
    huffman_.decode(data.rest(), size - 3 * each, decoded);
    return decoded;
  }

  static void readTable(unsigned mode, ByteReader& in, FseTable& table, const std::vector<int>& defaults,
                        int defaultLog, int maxLog, size_t symbols) {
    switch (mode) {
      case 0:
        table = FseTable::build(defaults, defaultLog);
        break;
      case 1: {
        const auto symbol = static_cast<uint8_t>(in.number(1));
        require(symbol < symbols);
        table = FseTable::constant(symbol);
        break;
      }
      case 2:
        table = FseTable::read(in, maxLog, symbols);
        break;
      default:
        require(!table.entries.empty());
        break;
    }
  }

  // 3.1.1.5: offsets 1 to 3 name recent ones.
  size_t offsetOf(uint64_t value, size_t literalLength) {
    if (value > 3) {
      recent_[2] = recent_[1];
      recent_[1] = recent_[0];
      return recent_[0] = value - 3;
    }
    const size_t index = value - 1 + (literalLength == 0);
    if (index == 0) return recent_[0];
    const size_t offset = index < 3 ? recent_[index] : recent_[0] - 1;
    if (index > 1) recent_[2] = recent_[1];
    recent_[1] = recent_[0];
    return recent_[0] = offset;
  }

  void block(ByteReader in) {
    const std::vector<uint8_t> bytes = literals(in);
    std::span<const uint8_t> pending(bytes);
    size_t count = in.number(1);
    if (count >= 128) count = count < 255 ? ((count - 128) << 8) + in.number(1) : in.number(2) + 0x7f00;
    if (count > 0) {
      const auto modes = static_cast<unsigned>(in.number(1));
      readTable(modes >> 6, in, literalTable_, kDefaultLiteralLengths, 6, 9, 36);
      readTable((modes >> 4) & 3, in, offsetTable_, kDefaultOffsets, 5, 8, 32);
      readTable((modes >> 2) & 3, in, matchTable_, kDefaultMatchLengths, 6, 9, 53);
      BackwardBits stream(in.rest());
      FseState literal(literalTable_, stream), offset(offsetTable_, stream), match(matchTable_, stream);
      for (size_t i = 0; i < count; ++i) {
        const uint64_t value = (uint64_t{1} << offset.symbol()) + stream.read(offset.symbol());
        const LengthCode matchCode = matchLength(match.symbol());
        const size_t length = matchCode.base + stream.read(matchCode.bits);
        const LengthCode literalCode = kLiteralLengths[literal.symbol()];
        const size_t literalLength = literalCode.base + stream.read(literalCode.bits);
        require(stream.left() >= 0 && literalLength <= pending.size());
        append(pending.first(literalLength));
        pending = pending.subspan(literalLength);
        copyMatch(offsetOf(value, literalLength), length);
        if (i + 1 == count) break;
        literal.advance(stream);
        match.advance(stream);
        offset.advance(stream);
      }
      require(stream.left() == 0);
    }
    append(pending);
  }

  void copyMatch(size_t offset, size_t length) {
    require(offset > 0 && offset <= out_.size() && length <= limit_ - out_.size());
    for (; length > 0; --length) out_.push_back(out_[out_.size() - offset]);  // may overlap
  }

  std::vector<uint8_t>& out_;
  const size_t limit_;
  HuffmanTable huffman_;
  FseTable literalTable_, offsetTable_, matchTable_;
  size_t recent_[3] = {1, 4, 8};
};

constexpr uint64_t kFrameMagic = 0xfd2fb528;

}  // namespace

bool decompressZstd(std::string_view input, char* output, size_t size) {
  try {
    ByteReader in({reinterpret_cast<const uint8_t*>(input.data()), input.size()});
    std::vector<uint8_t> out;
    out.reserve(size);
    while (in.left() > 0 && out.size() < size) {
      require(in.number(4) == kFrameMagic);
      Frame(out, size).decode(in);
    }
    if (out.size() != size) return false;
    std::copy(out.begin(), out.end(), output);
    return true;
  } catch (const Damaged&) {
    return false;
  }
}

}  // namespace gpusim
