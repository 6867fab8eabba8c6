// SPDX-License-Identifier: Apache-2.0
#include "check/reporter.h"

#include <algorithm>

namespace gpusim {
namespace {

std::string threadText(const LaunchConfig& config, uint32_t thread) {
  const Dim3& b = config.block;
  return "(" + std::to_string(thread % b.x) + "," + std::to_string(thread / b.x % b.y) + "," +
         std::to_string(thread / (b.x * b.y)) + ")";
}

std::string blockText(const LaunchConfig& config, uint64_t block) {
  const Dim3& g = config.grid;
  return "(" + std::to_string(block % g.x) + "," + std::to_string(block / g.x % g.y) + "," +
         std::to_string(block / (uint64_t(g.x) * g.y)) + ")";
}

}  // namespace

std::string Reporter::where(uint32_t pc) const {
  if (pc == kNoPc || pc >= launch_.module->code.size()) return "";
  const Origin& o = launch_.module->origins[launch_.module->code[pc].origin];
  std::string s = " at PTX line " + std::to_string(o.line);
  const ptx::SourcePlace place = o.inlinedAt.empty() ? ptx::SourcePlace{o.file, o.sourceLine} : o.inlinedAt.back();
  auto file = launch_.module->files.find(place.file);
  if (file != launch_.module->files.end()) s += " (" + file->second + ":" + std::to_string(place.line) + ")";
  return s;
}

void Reporter::addAt(ReportKind kind, const Origin* origin, uint64_t position, uint64_t block, uint32_t thread,
                     const std::string& message, uint64_t address, bool fatal) {
  std::lock_guard lock(mutex_);
  auto [it, fresh] = entries_.try_emplace({int(kind), origin});
  Entry& e = it->second;
  ++e.counts[position];
  if (!fresh && e.position <= position) return;
  const LaunchConfig& config = *launch_.config;
  Report r;
  r.kind = kind;
  r.fatal = fatal;
  r.message = message;
  r.kernel = launch_.kernel->name;
  r.block[0] = uint32_t(block % config.grid.x);
  r.block[1] = uint32_t(block / config.grid.x % config.grid.y);
  r.block[2] = uint32_t(block / (uint64_t(config.grid.x) * config.grid.y));
  r.thread[0] = thread % config.block.x;
  r.thread[1] = thread / config.block.x % config.block.y;
  r.thread[2] = thread / (config.block.x * config.block.y);
  r.address = address;
  if (origin) {
    r.ptxLine = origin->line;
    r.ptxText = origin->text;
    auto file = launch_.module->files.find(origin->file);
    if (file != launch_.module->files.end()) r.sourceFile = file->second, r.sourceLine = origin->sourceLine;
    for (const ptx::SourcePlace& site : origin->inlinedAt) {
      file = launch_.module->files.find(site.file);
      if (file != launch_.module->files.end()) r.inlinedAt.push_back(file->second + ":" + std::to_string(site.line));
    }
  }
  e.report = std::move(r);
  e.position = position;
}

void Reporter::add(ReportKind kind, const Instruction* in, const Block* block, uint32_t thread,
                   const std::string& message, uint64_t address, bool fatal) {
  addAt(kind, in ? &launch_.module->origins[in->origin] : nullptr, block ? block->position : 0,
        block ? block->index : 0, thread, message, address, fatal);
}

bool Reporter::counted(ReportKind kind, const Instruction& in, const Block& block) {
  std::lock_guard lock(mutex_);
  auto it = entries_.find({int(kind), &launch_.module->origins[in.origin]});
  if (it == entries_.end() || it->second.position > block.position) return false;
  ++it->second.counts[block.position];
  return true;
}

void Reporter::sharedRace(Context& c, const Instruction& in, uint32_t lane, const RaceHit& hit, bool write,
                          uint64_t offset) {
  if (counted(ReportKind::SharedRace, in, *c.block)) return;
  const bool sameWarp = hit.thread / kLanes == c.warp->index;
  std::string text =
      std::string(hit.earlierWrite ? (write ? "write-after-write" : "read-after-write") : "write-after-read") +
      " hazard in shared memory at offset " + std::to_string(offset) + ": thread " +
      threadText(*c.launch->config, hit.thread) + (hit.earlierWrite ? " wrote" : " read") + " it" + where(hit.pc) +
      " with no " + (sameWarp ? "__syncwarp or barrier" : "barrier") + " in between";
  add(ReportKind::SharedRace, &in, c.block, c.warp->index * kLanes + lane, text, offset, false);
}

namespace {
std::string globalRaceText(const LaunchConfig& config, const GlobalRace& r, const std::string& where) {
  const char* kind = r.firstWrites ? (r.secondWrites ? "two blocks write" : "one block writes and another reads")
                                   : "one block reads and another writes";
  return std::string("race in global memory: ") + kind +
         " the same address with no synchronisation between them: block " + blockText(config, keyBlock(r.first)) +
         " thread " + threadText(config, keyThread(r.first)) + (r.firstWrites ? " writes" : " reads") + where;
}
}  // namespace

void Reporter::globalRace(Context& c, const Instruction& in, uint32_t lane, const GlobalRace& r) {
  if (counted(ReportKind::GlobalRace, in, *c.block)) return;
  add(ReportKind::GlobalRace, &in, c.block, c.warp->index * kLanes + lane,
      globalRaceText(*launch_.config, r, where(keyPc(r.first))), r.address, false);
}

void Reporter::globalRaceAtEnd(const GlobalRace& r) {
  const Instruction& in = launch_.module->code[keyPc(r.second)];
  addAt(ReportKind::GlobalRace, &launch_.module->origins[in.origin], 0, keyBlock(r.second), keyThread(r.second),
        globalRaceText(*launch_.config, r, where(keyPc(r.first))), r.address, false);
}

std::vector<Report> Reporter::take() {
  std::lock_guard lock(mutex_);
  std::vector<Entry> list;
  const uint64_t failedAt = launch_.failedAt.load();
  for (auto& [key, e] : entries_) {
    if (e.position > failedAt) continue;
    e.report.count = 0;
    for (auto& [position, n] : e.counts)
      if (position <= failedAt) e.report.count += n;
    list.push_back(std::move(e));
  }
  entries_.clear();
  std::sort(list.begin(), list.end(), [](const Entry& a, const Entry& b) {
    if (a.report.fatal != b.report.fatal) return a.report.fatal;
    if (a.report.ptxLine != b.report.ptxLine) return a.report.ptxLine < b.report.ptxLine;
    return a.report.kind < b.report.kind;
  });
  std::vector<Report> out;
  for (auto& e : list) out.push_back(std::move(e.report));
  return out;
}

Status Reporter::statusOf(ReportKind kind) {
  switch (kind) {
    case ReportKind::OutOfBounds:
      return Status::IllegalAddress;
    case ReportKind::Misaligned:
      return Status::MisalignedAddress;
    case ReportKind::Assert:
      return Status::Assert;
    case ReportKind::StackOverflow:
      return Status::HardwareStackError;
    case ReportKind::IllegalInstruction:
      return Status::IllegalInstruction;
    case ReportKind::Timeout:
      return Status::LaunchTimeout;
    default:
      return Status::LaunchFailed;
  }
}

void raise(Context& c, const Instruction& in, ReportKind kind, uint32_t lane, const std::string& message,
           uint64_t address) {
  c.launch->reporter->add(kind, &in, c.block, c.warp->index * kLanes + lane, message, address, true);
  c.launch->fail(c.block->position);
  c.event = Event::Stop;
}

void note(Context& c, const Instruction& in, ReportKind kind, uint32_t lane, const std::string& message,
          uint64_t address) {
  c.launch->reporter->add(kind, &in, c.block, c.warp->index * kLanes + lane, message, address, false);
}

bool hazard(Context& c, const Instruction& in, ReportKind kind, uint32_t lane, const std::string& message) {
  if (c.launch->checks.strict) {
    raise(c, in, kind, lane, message);
    return false;
  }
  note(c, in, kind, lane, message);
  return true;
}

}  // namespace gpusim
