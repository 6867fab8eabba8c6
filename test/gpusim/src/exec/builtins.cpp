// SPDX-License-Identifier: Apache-2.0
// Device functions that nvcc leaves to the driver: printf, assert, malloc and free.
#include <algorithm>
#include <cstring>

#include "check/reporter.h"
#include "exec/access.h"
#include "exec/control.h"
#include "exec/heap.h"

namespace gpusim {
namespace {

enum Builtin { kPrintf, kAssertFail, kMalloc, kFree };

template <class T>
T argument(const Context& c, const CallSite& site, uint32_t lane, size_t index) {
  T v{};
  if (index < site.arguments.size()) {
    const auto& slot = site.arguments[index];
    std::memcpy(&v, c.frame->params.data() + size_t(lane) * c.frame->function->paramBytes + slot.offset,
                std::min<size_t>(sizeof v, slot.bytes));
  }
  return v;
}

template <class T>
void result(const Context& c, const CallSite& site, uint32_t lane, T v) {
  if (site.returns.empty()) return;
  const auto& slot = site.returns[0];
  std::memcpy(c.frame->params.data() + size_t(lane) * c.frame->function->paramBytes + slot.offset, &v,
              std::min<size_t>(sizeof v, slot.bytes));
}

std::string textAt(Context& c, uint32_t lane, uint64_t address) {
  std::string s;
  for (char ch; s.size() < 4096 && peek(c, lane, address + s.size(), &ch, 1) && ch;) s += ch;
  return s;
}

/// One conversion of a format, with its argument taken from the buffer at `at`.
std::string formatOne(Context& c, uint32_t lane, std::string spec, uint64_t buffer, uint64_t& at, int& converted) {
  const char kind = spec.back();
  auto take = [&](auto& v) {
    at = (at + sizeof v - 1) / sizeof v * sizeof v;
    peek(c, lane, buffer + at, &v, sizeof v);
    at += sizeof v;
  };
  for (size_t star = spec.find('*'); star != std::string::npos; star = spec.find('*')) {
    int32_t n = 0;
    take(n);
    spec.replace(star, 1, std::to_string(n));
  }
  char text[512];
  ++converted;
  const bool isLong = spec.find('l') != std::string::npos || spec.find('z') != std::string::npos ||
                      spec.find('t') != std::string::npos || spec.find('j') != std::string::npos;
  if (std::strchr("diouxXc", kind)) {
    if (isLong) {
      int64_t v = 0;
      take(v);
      std::snprintf(text, sizeof text, spec.c_str(), v);
    } else {
      int32_t v = 0;
      take(v);
      std::snprintf(text, sizeof text, spec.c_str(), v);
    }
  } else if (std::strchr("fFeEgGaA", kind)) {
    double v = 0;
    take(v);
    std::snprintf(text, sizeof text, spec.c_str(), v);
  } else {
    uint64_t v = 0;
    take(v);
    if (kind == 's') return textAt(c, lane, v);
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(v));
  }
  return text;
}

void print(Context& c, const CallSite& site, uint32_t lane) {
  const std::string format = textAt(c, lane, argument<uint64_t>(c, site, lane, 0));
  const uint64_t buffer = argument<uint64_t>(c, site, lane, 1);
  std::string out;
  uint64_t at = 0;
  int converted = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    const size_t end = format.find_first_of("diouxXcfFeEgGaAsp%", i + 1);
    if (end == std::string::npos) {
      out += format.substr(i);
      break;
    }
    if (format[end] == '%')
      out += '%';
    else
      out += formatOne(c, lane, format.substr(i, end - i + 1), buffer, at, converted);
    i = end;
  }
  c.block->printed += out;
  result<int32_t>(c, site, lane, converted);
}

}  // namespace

bool peek(Context& c, uint32_t lane, uint64_t address, void* out, size_t bytes) {
  if (isShared(address)) {
    const uint64_t offset = address - kSharedWindow;
    if (offset + bytes > c.launch->sharedBytes) return false;
    std::memcpy(out, c.block->shared.data() + offset, bytes);
    return true;
  }
  if (isLocal(address)) {
    const uint64_t offset = address - kLocalWindow;
    if (offset + bytes > c.launch->stackBytes) return false;
    std::memcpy(out, c.warp->localMemory.data() + size_t(lane) * c.launch->stackBytes + offset, bytes);
    return true;
  }
  return c.launch->device->memory.read(out, address, bytes) == Status::Success;
}

int builtinIndex(const std::string& name) {
  static const std::pair<const char*, int> kNames[] = {
      {"vprintf", kPrintf}, {"__assertfail", kAssertFail}, {"malloc", kMalloc}, {"free", kFree}};
  for (auto& [known, index] : kNames)
    if (name == known) return index;
  return -1;
}

void callBuiltin(Context& c, const Instruction& in, const CallSite& site) {
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    switch (site.builtin) {
      case kPrintf:
        print(c, site, lane);
        break;
      case kAssertFail: {
        const std::string condition = textAt(c, lane, argument<uint64_t>(c, site, lane, 0)),
                          file = textAt(c, lane, argument<uint64_t>(c, site, lane, 1));
        const std::string function = textAt(c, lane, argument<uint64_t>(c, site, lane, 3));
        raise(c, in, ReportKind::Assert, lane,
              "assertion `" + condition + "` failed at " + file + ":" +
                  std::to_string(argument<uint32_t>(c, site, lane, 2)) + " in " + function);
        return;
      }
      case kMalloc:
        result<uint64_t>(c, site, lane, deviceMalloc(*c.launch->device, argument<uint64_t>(c, site, lane, 0)));
        break;
      default:
        if (!deviceFree(*c.launch->device, argument<uint64_t>(c, site, lane, 0)))
          raise(c, in, ReportKind::OutOfBounds, lane, "free of an address that malloc did not return",
                argument<uint64_t>(c, site, lane, 0));
        break;
    }
  }
}

}  // namespace gpusim
