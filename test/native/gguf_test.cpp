// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "check.h"
#include "core/error.h"
#include "core/gguf_file.h"
#include "gguf_bytes.h"

namespace {

using gguf_bytes::Bytes;
using pw::gguf::ValueType;

/// The message with which the bytes are refused, "" when they are accepted.
std::string refusal(const std::vector<uint8_t>& bytes) {
  try {
    pw::gguf::parse(bytes.data(), bytes.size());
    return "";
  } catch (const pw::Error& error) {
    return error.status() == PW_INVALID_MODEL ? error.what() : "wrong status";
  }
}

bool refuses(const std::vector<uint8_t>& bytes, const char* because) {
  const std::string message = refusal(bytes);
  if (message.find(because) != std::string::npos) return true;
  std::printf("refused with \"%s\", not \"%s\"\n", message.c_str(), because);
  return false;
}

std::vector<uint8_t> oneTensor(const std::vector<uint64_t>& shape, uint32_t type, uint64_t offset, size_t data) {
  Bytes b;
  b.header(1, 0).tensor("t", shape, type, offset);
  return b.padTo(32).fill(data, 1).data;
}

}  // namespace

TEST(readsEveryKindOfValue) {
  const std::vector<uint8_t> bytes = gguf_bytes::rich();
  const pw::gguf::File file = pw::gguf::parse(bytes.data(), bytes.size());
  CHECK(file.version == 3);
  CHECK(file.alignment == 64);
  CHECK(file.metadata.size() == 17);
  CHECK(file.metadata[1].key == "a.u8");
  CHECK(pw::gguf::readScalar<uint8_t>(file.metadata[1].value.payload) == 200);
  CHECK(pw::gguf::readScalar<int64_t>(file.metadata[10].value.payload) == -5);
  std::string joined;
  pw::gguf::forEachString(file.metadata[13].value, [&](std::string_view s) { joined += std::string(s) + "|"; });
  CHECK(joined == "<s>||\xe2\x96\x81the|");
  std::vector<uint64_t> lengths;
  pw::gguf::forEachArray(file.metadata[15].value, [&](const pw::gguf::Value& v) { lengths.push_back(v.count); });
  CHECK((lengths == std::vector<uint64_t>{2, 1}));
}

TEST(placesTensors) {
  const std::vector<uint8_t> bytes = gguf_bytes::rich();
  const pw::gguf::File file = pw::gguf::parse(bytes.data(), bytes.size());
  CHECK(file.tensors.size() == 4);
  CHECK(file.dataOffset % 64 == 0);
  CHECK(file.tensors[0].bytes == 128);
  CHECK(file.tensors[1].offset == file.dataOffset + 128);
  CHECK(file.tensors[1].bytes == 2 * 18);
  CHECK(file.tensors[2].rank == 1 && file.tensors[2].shape[1] == 1);
  CHECK(file.tensors[3].bytes == 0 && file.tensors[3].elements == 54);
}

TEST(refusesOtherFiles) {
  CHECK(refuses({}, "does not begin"));
  CHECK(refuses({'G', 'G', 'U'}, "does not begin"));
  CHECK(refuses(Bytes().raw("PK\3\4aaaaaaaaaaaaaaaaaaaaaaaa").data, "does not begin"));
  CHECK(refuses(Bytes().header(0, 0, 1).data, "version 1"));
  CHECK(refuses(Bytes().header(0, 0, 0x03000000).data, "big-endian"));
}

TEST(refusesImpossibleCounts) {
  CHECK(refuses(Bytes().header(1ull << 60, 0).data, "number of tensors"));
  CHECK(refuses(Bytes().header(0, 1000).data, "more than the rest of the file"));
  CHECK(refuses(Bytes().header(0, 1).string("k").u32(9).u32(4).u64(1ull << 62).fill(64, 0).data, "at most 67108864"));
  CHECK(refuses(Bytes().header(0, 1).string("k").u32(9).u32(4).u64(1 << 20).fill(64, 0).data, "longer than the rest"));
  CHECK(refuses(Bytes().header(0, 1).u64(~0ull).fill(64, 0).data, "metadata key has"));
  CHECK(refuses(Bytes().header(0, 1).string("k").u32(8).u64(99).fill(9, 0).data, "only 9 are left"));
}

TEST(refusesBadMetadata) {
  CHECK(refuses(Bytes().header(0, 1).string("k").u32(13).fill(8, 0).data, "value type 13"));
  CHECK(refuses(Bytes().header(0, 1).string("k").u32(7).put<uint8_t>(2).data, "boolean has the value 2"));
  CHECK(refuses(Bytes().header(0, 1).string("").u32(7).put<uint8_t>(1).data, "empty key"));
  CHECK(refuses(Bytes().header(0, 2).string("k").u32(7).put<uint8_t>(1).string("k").u32(7).put<uint8_t>(1).data,
                "twice"));
  Bytes deep;
  deep.header(0, 1).string("k").u32(9);
  for (int i = 0; i < 6; ++i) deep.u32(9).u64(1);
  CHECK(refuses(deep.fill(64, 0).data, "nested"));
}

TEST(refusesBadAlignment) {
  CHECK(refuses(Bytes().header(0, 1).string("general.alignment").u32(4).u32(0).data, "general.alignment is 0"));
  CHECK(refuses(Bytes().header(0, 1).string("general.alignment").u32(4).u32(48).data, "general.alignment is 48"));
  CHECK(refuses(Bytes().header(0, 1).string("general.alignment").u32(8).string("32").data, "not a u32"));
}

TEST(refusesBadTensors) {
  CHECK(refuses(oneTensor({}, 0, 0, 64), "0 dimensions"));
  CHECK(refuses(oneTensor({1, 1, 1, 1, 1}, 0, 0, 64), "5 dimensions"));
  CHECK(refuses(oneTensor({4, 0}, 0, 0, 64), "dimension of 0"));
  CHECK(refuses(oneTensor({1ull << 40, 1ull << 40}, 0, 0, 64), "2^63 elements"));
  CHECK(refuses(oneTensor({1ull << 62}, 0, 0, 64), "2^63 bytes"));
  CHECK(refuses(oneTensor({33}, 2, 0, 64), "block of 32"));
  CHECK(refuses(oneTensor({16}, 0, 8, 64), "multiple of the alignment"));
  CHECK(refuses(oneTensor({17}, 0, 0, 64), "cut off"));
  CHECK(refuses(oneTensor({16}, 0, 32, 64), "cut off"));
  CHECK(refuses(oneTensor({1}, 99, 1ull << 63, 64), "cut off"));
  CHECK(refusal(oneTensor({16}, 0, 0, 64)).empty());
  Bytes overlap;
  overlap.header(2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).padTo(32).fill(64, 0);
  CHECK(refuses(overlap.data, "overlap"));
  Bytes twice;
  twice.header(2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).padTo(32).fill(64, 0);
  CHECK(refuses(twice.data, "twice"));
}

TEST(refusesEveryTruncation) {
  const std::vector<uint8_t> whole = gguf_bytes::small();
  for (size_t length = 0; length < whole.size(); ++length)
    CHECK(!refusal(std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))).empty());
}

TEST(printsHostileNamesSafely) {
  Bytes b;
  b.header(1, 0).tensor("\x1b[31mred\n", {0}, 0, 0);
  const std::string message = refusal(b.padTo(32).data);
  CHECK(message.find('\x1b') == std::string::npos && message.find('\n') == std::string::npos);
  CHECK(message.find("?[31mred?") != std::string::npos);
}

TEST(mapsFiles) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "pagewarp-mapped-file-test.gguf";
  const std::vector<uint8_t> bytes = gguf_bytes::rich();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  {
    const pw::Ref<pw::GgufFile> file = pw::GgufFile::open(path.string());
    CHECK(file->file().size() == bytes.size());
    CHECK(file->data(file->tables().tensors[0])[0] == 0xab);
    file->file().drop(0, bytes.size());
    file->file().drop(bytes.size() + 5, ~size_t{0});
    file->file().drop(1, ~size_t{0});
    CHECK(std::memcmp(file->file().data(), bytes.data(), bytes.size()) == 0);
  }
  std::filesystem::remove(path);
}

TEST(saysWhyAFileCannotBeMapped) {
  const auto refusalOf = [](const std::string& path) -> std::string {
    try {
      pw::MappedFile::open(path);
      return "";
    } catch (const pw::Error& error) {
      return error.status() == PW_IO ? error.what() : "wrong status";
    }
  };
  CHECK(refusalOf("no/such/file.gguf").find("no/such/file.gguf") != std::string::npos);
  CHECK(!refusalOf(std::filesystem::temp_directory_path().string()).empty());
  const std::filesystem::path empty = std::filesystem::temp_directory_path() / "pagewarp-empty-file-test.gguf";
  std::ofstream(empty).close();
  CHECK(refusalOf(empty.string()).find("empty") != std::string::npos);
  std::filesystem::remove(empty);
}
