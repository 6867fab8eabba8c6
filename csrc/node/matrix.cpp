// SPDX-License-Identifier: Apache-2.0
#include "core/gguf_file.h"
#include "core/matrix/block_formats.h"
#include "core/matrix/checkpoint.h"
#include "core/matrix/pack.h"
#include "core/matrix/packed_matrix.h"
#include "node/call.h"
#include "node/register.h"
#include "pagewarp/matrix_layout.h"

namespace pw::node {
namespace {

/// The elements of a typed array, or none.
template <class T>
std::vector<T> elements(const Napi::Value& value) {
  if (!value.IsTypedArray()) return {};
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

/// Rows that a pack command reads, and, for mapped files, what to tell when they have been read.
struct Source {
  RowSource rows;
  Ref<MappedFile> file;
};

/// [handle of a file or of a contiguous u8 tensor, byte offset, rows]
Source readSource(const Napi::Value& value, int64_t rowBytes, Call* call) {
  const auto parts = value.As<Napi::Array>();
  const int64_t offset = parts.Get(1u).As<Napi::Number>().Int64Value(),
                rows = parts.Get(2u).As<Napi::Number>().Int64Value();
  Ref<RefCounted> object(unwrapAny(parts.Get(0u)));
  call->hold(object);
  const uint8_t* data = nullptr;
  int64_t size = 0;
  Source source{};
  if (Ref<MappedFile> file = mappedFile(object.get())) {
    data = file->data();
    size = static_cast<int64_t>(file->size());
    source.file = std::move(file);
  } else if (auto* tensor = dynamic_cast<Tensor*>(object.get())) {
    data = static_cast<const uint8_t*>(tensor->view().data);
    size = tensor->view().shape[0];
  } else {
    throw Error(PW_INVALID_ARGUMENT, "a source of weights is neither a file nor a tensor");
  }
  if (offset < 0 || rows < 0 || offset > size || rows > (size - offset) / rowBytes)
    throw Error(PW_INVALID_ARGUMENT, "rows of weights lie outside their source: " + std::to_string(rows) + " rows of " +
                                         std::to_string(rowBytes) + " bytes from byte " + std::to_string(offset) +
                                         " of " + std::to_string(size));
  source.rows = {data + offset, rows, nullptr, !source.file};
  return source;
}

/// Where a tensor of a file lies.
struct FilePart {
  Ref<MappedFile> file;
  int64_t offset, bytes;

  /// @throws Error(PW_INVALID_MODEL) unless it has so many bytes
  const uint8_t* sized(int64_t expected, const char* what) const {
    const auto size = static_cast<int64_t>(file->size());
    if (bytes != expected || offset < 0 || offset > size || bytes > size - offset)
      throw Error(PW_INVALID_MODEL, std::string(what) + " of a 4-bit matrix take " + std::to_string(bytes) +
                                        " bytes, but its shape and groups ask for " + std::to_string(expected));
    return file->data() + offset;
  }
};

/// [handle, byte offset, bytes]
FilePart readPart(const Napi::Value& value) {
  const auto parts = value.As<Napi::Array>();
  Ref<MappedFile> file = mappedFile(unwrapAny(parts.Get(0u)));
  if (!file) throw Error(PW_INVALID_ARGUMENT, "a part of a 4-bit matrix is not in a file");
  return {std::move(file), parts.Get(1u).As<Napi::Number>().Int64Value(),
          parts.Get(2u).As<Napi::Number>().Int64Value()};
}

/// The tensors of a 4-bit matrix, as NativeInt4 in lib/native.ts describes them. `files` receives them in order: codes,
/// scales, zeros.
Int4Parts readInt4(const Napi::Object& from, std::vector<FilePart>* files) {
  const auto integer = [&](const char* name) { return from.Get(name).As<Napi::Number>().Int64Value(); };
  Int4Parts parts{};
  parts.packing = static_cast<Int4Packing>(integer("packing"));
  parts.n = integer("rows");
  parts.k = integer("columns");
  parts.groupSize = integer("groupSize");
  parts.scaleType = static_cast<ScaleType>(integer("scaleType"));
  parts.zeroShift = static_cast<int>(integer("zeroShift"));
  parts.order = elements<int32_t>(from.Get("order"));
  files->push_back(readPart(from.Get("codes")));
  files->push_back(readPart(from.Get("scales")));
  if (from.Get("zeros").IsArray()) {
    files->push_back(readPart(from.Get("zeros")));
    parts.zeros = files->back().file->data();
  }
  const Int4Sizes sizes = int4Sizes(parts);
  parts.codes = (*files)[0].sized(sizes.codes, "the codes");
  parts.scales = (*files)[1].sized(sizes.scales, "the scales");
  if (parts.zeros) parts.zeros = (*files)[2].sized(sizes.zeros, "the zero points");
  return parts;
}

/// Memory for a matrix with `tables` tables of levels or factors and, if wanted, an order of its columns.
Ref<PackedMatrix> newMatrix(StreamObject& stream, pw_matrix_format format, int64_t n, int64_t k, int64_t tables = 0,
                            bool ordered = false) {
  const int64_t data = stream.device->matrixBytes(format, n, k), levels = levelBytes(format, tables),
                bytes = data + levels + (ordered ? k * static_cast<int64_t>(sizeof(int32_t)) : 0);
  Ref<Storage> storage = stream.device->allocate(static_cast<size_t>(bytes));
  auto* base = static_cast<uint8_t*>(storage->data());
  const pw_matrix view{base,
                       format,
                       n,
                       k,
                       tables > 0 ? reinterpret_cast<const float*>(base + data) : nullptr,
                       tables,
                       ordered ? reinterpret_cast<const int32_t*>(base + data + levels) : nullptr};
  return makeRef<PackedMatrix>(std::move(storage), view, bytes);
}

/// packMatrix(stream, block type, k, sources, drop pages of files, levels or factors | null, order of columns | null)
/// -> matrix
Napi::Value packMatrix(const Napi::CallbackInfo& info) {
  Call call(info);
  const auto type = static_cast<uint32_t>(call.integer(1));
  const pw_matrix_format format = call.stream().device->matrixFormat(type);
  const int64_t k = call.integer(2), rowBytes = sourceRowBytes(type, k);
  const auto list = info[3].As<Napi::Array>();
  const bool drop = call.flag(4);
  PackMatrix pack;
  pack.type = type;
  if (tableLength(format) > 0)
    pack.levels = type == kGgmlIQ4_NL ? std::vector<float>(std::begin(kIq4NlLevels), std::end(kIq4NlLevels))
                                      : elements<float>(info[5]);
  pack.order = elements<int32_t>(info[6]);
  std::vector<Source> files;
  int64_t n = 0;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    Source source = readSource(list.Get(i), rowBytes, &call);
    n += source.rows.rows;
    pack.sources.push_back(source.rows);
    if (source.file && drop) files.push_back(std::move(source));
  }
  const int64_t tables = pack.levels.empty() ? 0 : static_cast<int64_t>(pack.levels.size()) / tableLength(format);
  Ref<PackedMatrix> matrix = newMatrix(call.stream(), format, n, k,
                                       tables > 1 ? call.stream().device->paddedRows(n) : tables, !pack.order.empty());
  pack.out = matrix->view();
  pack.options.progress = [matrix](int64_t done, int64_t) { matrix->setRowsDone(done); };
  if (!files.empty())
    pack.options.consumed = [files, rowBytes](const uint8_t* begin, int64_t bytes) {
      for (const Source& source : files)
        if (begin >= source.rows.data && begin < source.rows.data + source.rows.rows * rowBytes)
          return source.file->drop(static_cast<size_t>(begin - source.file->data()), static_cast<size_t>(bytes));
    };
  call.enqueue("packMatrix", [pack](Executor& executor) { executor.packMatrix(pack); });
  return wrapObject(info.Env(), matrix, matrix->bytes());
}

/// int4IsSymmetric(4-bit matrix): are all its zero points 8?
Napi::Value int4IsSymmetric(const Napi::CallbackInfo& info) {
  std::vector<FilePart> files;
  return Napi::Boolean::New(info.Env(), allZerosAreEight(readInt4(info[0].As<Napi::Object>(), &files)));
}

/// packInt4(stream, 4-bit matrices of one width and order, block type, drop pages) -> matrix
Napi::Value packInt4(const Napi::CallbackInfo& info) {
  Call call(info);
  const auto list = info[1].As<Napi::Array>();
  const auto type = static_cast<BlockId>(call.integer(2));
  PackMatrix pack;
  pack.type = type;
  std::vector<FilePart> files;
  int64_t n = 0, k = 0;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    std::vector<FilePart> own;
    Int4Parts parts = readInt4(list.Get(i).As<Napi::Object>(), &own);
    n += parts.n;
    k = parts.k;
    pack.order = parts.order;
    const int64_t rows = parts.n;
    pack.sources.push_back({nullptr, rows, std::make_shared<Int4Rows>(std::move(parts), type)});
    for (const FilePart& part : own) call.hold(part.file);
    files.insert(files.end(), own.begin(), own.end());
  }
  Ref<PackedMatrix> matrix =
      newMatrix(call.stream(), call.stream().device->matrixFormat(pack.type), n, k, 0, !pack.order.empty());
  pack.out = matrix->view();
  // Groups of columns lie far apart in the codes, so that pages can be dropped at the end only.
  if (!call.flag(3)) files.clear();
  pack.options.progress = [matrix, files, n](int64_t done, int64_t) {
    matrix->setRowsDone(done);
    if (done < n) return;
    for (const FilePart& part : files)
      part.file->drop(static_cast<size_t>(part.offset), static_cast<size_t>(part.bytes));
  };
  call.enqueue("packInt4", [pack](Executor& executor) { executor.packMatrix(pack); });
  return wrapObject(info.Env(), matrix, matrix->bytes());
}

/// quantizeMatrix(stream, x, ggml type) -> matrix
Napi::Value quantizeMatrix(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_quantize_args a{};
  a.x = call.tensor(1);
  a.ggml_type = static_cast<uint32_t>(call.integer(2));
  Ref<PackedMatrix> matrix =
      newMatrix(call.stream(), call.stream().device->matrixFormat(a.ggml_type), a.x.shape[0], a.x.shape[1]);
  a.weight = matrix->view();
  matrix->setRowsDone(a.weight.n);
  call.hold(matrix);
  call.enqueue("quantizeMatrix", [a](Executor& executor) { executor.quantize(a); });
  return wrapObject(info.Env(), matrix, matrix->bytes());
}

/// viewMatrix(file, ggml type, offset, n, k) -> matrix over the file's own bytes
Napi::Value viewMatrix(const Napi::CallbackInfo& info) {
  const Ref<MappedFile> file = mappedFile(unwrapAny(info[0]));
  if (!file) throw Error(PW_INVALID_ARGUMENT, "a view of weights needs a file");
  pw_matrix_format format = PW_MATRIX_F32;
  const int64_t offset = info[2].As<Napi::Number>().Int64Value(), n = info[3].As<Napi::Number>().Int64Value(),
                k = info[4].As<Napi::Number>().Int64Value();
  const auto size = static_cast<int64_t>(file->size());
  if (!matrixFormat(info[1].As<Napi::Number>().Uint32Value(), &format) || isPacked(format))
    throw Error(PW_UNSUPPORTED, "quantised weights are packed, not viewed");
  const int64_t bytes = matrixBytes(format, n, k);
  if (offset < 0 || offset > size || bytes > size - offset || offset % elementBytes(format) != 0)
    throw Error(PW_INVALID_ARGUMENT, "the matrix lies outside its file, or is not aligned to its elements");
  auto* data = const_cast<uint8_t*>(file->data() + offset);
  Ref<Storage> storage = makeRef<BorrowedStorage>(data, static_cast<size_t>(bytes), file);
  Ref<PackedMatrix> matrix =
      makeRef<PackedMatrix>(std::move(storage), pw_matrix{data, format, n, k, nullptr, 0, nullptr}, 0);
  matrix->setRowsDone(n);
  return wrapObject(info.Env(), matrix);
}

/// matrixInfo(matrix) -> { bytes, rowsDone, ordered }
Napi::Value matrixInfo(const Napi::CallbackInfo& info) {
  const Ref<PackedMatrix> matrix = unwrap<PackedMatrix>(info[0]);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("bytes", static_cast<double>(matrix->bytes()));
  out.Set("rowsDone", static_cast<double>(matrix->rowsDone()));
  out.Set("ordered", matrix->view().order != nullptr);
  return out;
}

}  // namespace

void registerMatrix(Napi::Env env, Napi::Object exports) {
  exports.Set("packMatrix", Napi::Function::New(env, guarded<packMatrix>));
  exports.Set("packInt4", Napi::Function::New(env, guarded<packInt4>));
  exports.Set("int4IsSymmetric", Napi::Function::New(env, guarded<int4IsSymmetric>));
  exports.Set("quantizeMatrix", Napi::Function::New(env, guarded<quantizeMatrix>));
  exports.Set("viewMatrix", Napi::Function::New(env, guarded<viewMatrix>));
  exports.Set("matrixInfo", Napi::Function::New(env, guarded<matrixInfo>));
}

}  // namespace pw::node
