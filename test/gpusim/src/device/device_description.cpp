// SPDX-License-Identifier: Apache-2.0
#include "device/device_description.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "device/built_in.h"

namespace gpusim {
namespace {

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// One line's place in the file, for messages.
struct Place {
  const std::string& source;
  int line;
  [[noreturn]] void fail(const std::string& what) const {
    throw DeviceError(source + ":" + std::to_string(line) + ": " + what);
  }
};

uint64_t parseInteger(std::string_view value, uint64_t low, uint64_t high, const Place& place) {
  uint64_t number = 0;
  const bool hex = value.starts_with("0x");
  const char* begin = value.data() + (hex ? 2 : 0);
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(begin, end, number, hex ? 16 : 10);
  if (error != std::errc() || stop != end || number < low || number > high)
    place.fail("'" + std::string(value) + "' is not a whole number from " + std::to_string(low) + " to " +
               std::to_string(high));
  return number;
}

double parsePositive(std::string_view value, const Place& place) {
  double number = 0;
  const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || stop != value.data() + value.size() || !(number > 0) || number > 1e30)
    place.fail("'" + std::string(value) + "' is not a positive number");
  return number;
}

using Setter = std::function<void(DeviceDescription&, std::string_view, const Place&)>;

template <class Owner, class Field>
Setter integer(Owner DeviceDescription::*owner, Field Owner::*field, uint64_t low, uint64_t high) {
  return [=](DeviceDescription& device, std::string_view value, const Place& place) {
    device.*owner.*field = static_cast<Field>(parseInteger(value, low, high, place));
  };
}

template <class Field>
Setter integer(Field DeviceDescription::*field, uint64_t low, uint64_t high) {
  return [=](DeviceDescription& device, std::string_view value, const Place& place) {
    device.*field = static_cast<Field>(parseInteger(value, low, high, place));
  };
}

const std::map<std::string, Setter, std::less<>>& setters() {
  using M = DeviceModel;
  using D = DeviceDescription;
  constexpr uint64_t kInt = std::numeric_limits<int>::max();
  static const std::map<std::string, Setter, std::less<>> table = {
      {"name",
       [](D& device, std::string_view value, const Place& place) {
         if (value.empty() || value.size() > 255) place.fail("the name must have 1 to 255 characters");
         device.model.name = value;
       }},
      {"computeMajor", integer(&D::model, &M::computeMajor, 7, 12)},
      {"computeMinor", integer(&D::model, &M::computeMinor, 0, 9)},
      {"smCount", integer(&D::model, &M::smCount, 1, 1024)},
      {"clockKhz", integer(&D::model, &M::clockKhz, 1, kInt)},
      {"memoryClockKhz", integer(&D::model, &M::memoryClockKhz, 1, kInt)},
      {"memoryBusBits", integer(&D::model, &M::memoryBusBits, 1, 1 << 20)},
      {"memoryBytes", integer(&D::model, &M::memoryBytes, 1 << 20, uint64_t{1} << 40)},
      {"l2Bytes", integer(&D::model, &M::l2Bytes, 1, kInt)},
      {"maxPersistingL2Bytes", integer(&D::model, &M::maxPersistingL2Bytes, 0, kInt)},
      {"warpsPerSm", integer(&D::model, &M::warpsPerSm, 1, 128)},
      {"blocksPerSm", integer(&D::model, &M::blocksPerSm, 1, 128)},
      {"registersPerSm", integer(&D::model, &M::registersPerSm, 1024, 1 << 20)},
      {"registersPerBlock", integer(&D::model, &M::registersPerBlock, 1024, 1 << 20)},
      {"registerAllocationUnit", integer(&D::model, &M::registerAllocationUnit, 1, 4096)},
      {"sharedPerSm", integer(&D::model, &M::sharedPerSm, 1024, 1 << 24)},
      {"sharedPerBlock", integer(&D::model, &M::sharedPerBlock, 1024, 1 << 24)},
      {"sharedPerBlockOptin", integer(&D::model, &M::sharedPerBlockOptin, 1024, 1 << 24)},
      {"sharedReservedPerBlock", integer(&D::model, &M::sharedReservedPerBlock, 0, 1 << 16)},
      {"sharedAllocationUnit", integer(&D::model, &M::sharedAllocationUnit, 1, 1 << 16)},
      {"maxThreadsPerBlock", integer(&D::model, &M::maxThreadsPerBlock, 32, 1024)},
      {"maxThreadsPerSm", integer(&D::model, &M::maxThreadsPerSm, 32, 4096)},
      {"constantBytes", integer(&D::model, &M::constantBytes, 1024, 1 << 20)},
      {"memoryBandwidth", [](D& device, std::string_view value,
                             const Place& place) { device.model.memoryBandwidth = parsePositive(value, place); }},
      {"copyEngines", integer(&D::copyEngines, 0, 16)},
      {"singleToDoubleRatio", integer(&D::singleToDoubleRatio, 1, 1024)},
      {"ecc", integer(&D::ecc, 0, 1)},
      {"pciDeviceId", integer(&D::pciDeviceId, 0, 0xffffffff)},
  };
  return table;
}

std::string knownKeys() {
  std::string text;
  for (const auto& [key, setter] : setters()) text += (text.empty() ? "" : ", ") + key;
  return text + ", peak.KIND";
}

void checkConsistent(const DeviceModel& model, const std::string& source) {
  const auto require = [&](bool good, const char* rule) {
    if (!good) throw DeviceError(source + ": " + rule);
  };
  require(model.sharedPerBlock <= model.sharedPerBlockOptin, "sharedPerBlock must not exceed sharedPerBlockOptin");
  require(model.sharedPerBlockOptin + model.sharedReservedPerBlock <= model.sharedPerSm,
          "sharedPerBlockOptin + sharedReservedPerBlock must not exceed sharedPerSm");
  require(model.registersPerBlock <= model.registersPerSm, "registersPerBlock must not exceed registersPerSm");
  require(model.warpsPerSm * 32 == model.maxThreadsPerSm, "maxThreadsPerSm must be 32 times warpsPerSm");
  require(model.maxThreadsPerBlock <= model.maxThreadsPerSm, "maxThreadsPerBlock must not exceed maxThreadsPerSm");
}

std::string idOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  std::string id = slash == std::string::npos ? path : path.substr(slash + 1);
  if (id.ends_with(".txt")) id.resize(id.size() - 4);
  return id;
}

bool isPath(const std::string& text) { return text.find('/') != std::string::npos || text.ends_with(".txt"); }

}  // namespace

DeviceDescription parseDevice(std::string_view text, const std::string& source) {
  DeviceDescription device;
  device.id = idOf(source);
  std::set<std::string, std::less<>> seen;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const Place place{source, number};
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) place.fail("expected 'key = value'");
    const std::string key(trim(line.substr(0, equals)));
    const std::string_view value = trim(line.substr(equals + 1));
    if (!seen.insert(key).second) place.fail("'" + key + "' is given twice");
    if (key.starts_with("peak.") && key.size() > 5) {
      device.model.peaks[key.substr(5)] = parsePositive(value, place);
      continue;
    }
    const auto setter = setters().find(key);
    if (setter == setters().end()) place.fail("unknown key '" + key + "'; known are " + knownKeys());
    setter->second(device, value, place);
  }
  for (const auto& [key, setter] : setters())
    if (!seen.count(key)) throw DeviceError(source + ": '" + key + "' is missing");
  checkConsistent(device.model, source);
  return device;
}

std::vector<std::string> builtInDevices() {
  std::vector<std::string> names;
  for (const BuiltInDevice& device : builtInDeviceTexts()) names.emplace_back(device.name);
  std::sort(names.begin(), names.end());
  return names;
}

DeviceDescription loadDevice(const std::string& nameOrPath) {
  if (isPath(nameOrPath)) {
    std::ifstream file(nameOrPath, std::ios::binary);
    if (!file) throw DeviceError(nameOrPath + ": cannot be opened");
    std::stringstream text;
    text << file.rdbuf();
    return parseDevice(text.str(), nameOrPath);
  }
  for (const BuiltInDevice& device : builtInDeviceTexts())
    if (device.name == nameOrPath) return parseDevice(device.text, nameOrPath + ".txt");
  std::string known;
  for (const std::string& name : builtInDevices()) known += (known.empty() ? "" : ", ") + name;
  throw DeviceError("no device model is called '" + nameOrPath + "'; built in are " + known +
                    ", and a path ending in .txt names a file");
}

std::vector<DeviceDescription> loadDevices(const std::string& list) {
  std::vector<DeviceDescription> devices;
  std::stringstream words(list);
  for (std::string word; std::getline(words, word, ',');)
    if (const std::string_view name = trim(word); !name.empty()) devices.push_back(loadDevice(std::string(name)));
  if (devices.empty()) throw DeviceError("GPUSIM_DEVICE names no device");
  return devices;
}

}  // namespace gpusim
