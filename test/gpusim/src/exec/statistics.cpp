// SPDX-License-Identifier: Apache-2.0
#include "exec/statistics.h"

#include <algorithm>

namespace gpusim {
namespace {

void addSite(ProfileRecord& p, const LaunchState& l, const Instruction& in, const SiteCounters& s) {
  if (in.counted) {
    p.warpInstructions += s.warps;
    p.threadInstructions += s.lanes;
    p.warpByClass[size_t(in.kind)] += s.warps;
    p.threadByClass[size_t(in.kind)] += s.lanes;
  }
  const bool store = in.kind == InstructionClass::StoreGlobal || in.kind == InstructionClass::StoreShared;
  if (s.bytes) {
    (store ? p.globalStoreRequests : p.globalLoadRequests) += s.requests;
    (store ? p.globalStoreSectors : p.globalLoadSectors) += s.sectors;
    (store ? p.globalStoreIdealSectors : p.globalLoadIdealSectors) += s.idealSectors;
    (store ? p.globalStoreBytes : p.globalLoadBytes) += s.bytes;
  }
  if (!s.wavefronts) return;
  (store ? p.sharedStoreWavefronts : p.sharedLoadWavefronts) += s.wavefronts;
  (store ? p.sharedStoreIdeal : p.sharedLoadIdeal) += s.idealWavefronts;
  if (s.wavefronts == s.idealWavefronts) return;
  const Origin& o = l.module->origins[in.origin];
  BankConflictSite site;
  site.ptxLine = o.line;
  site.text = o.text;
  auto file = l.module->files.find(o.file);
  if (file != l.module->files.end()) site.source = file->second + ":" + std::to_string(o.sourceLine);
  site.accesses = s.requests;
  site.wavefronts = s.wavefronts;
  site.ideal = s.idealWavefronts;
  p.conflicts.push_back(site);
}

}  // namespace

ProfileRecord collectProfile(const LaunchState& l, std::vector<Worker>& workers, uint64_t residentBlocks) {
  ProfileRecord p;
  p.kernel = l.kernel->name;
  p.device = l.device->model.name;
  const LaunchConfig& c = *l.config;
  p.grid[0] = c.grid.x, p.grid[1] = c.grid.y, p.grid[2] = c.grid.z;
  p.block[0] = c.block.x, p.block[1] = c.block.y, p.block[2] = c.block.z;
  p.staticShared = l.code->sharedStatic;
  p.dynamicShared = c.dynamicShared;
  p.registers = l.kernel->registers;
  p.residentBlocks = uint32_t(residentBlocks);
  for (uint32_t pc = 0; pc < l.module->code.size(); ++pc) {
    SiteCounters sum;
    for (const Worker& w : workers) {
      const SiteCounters& s = w.sites[pc];
      sum.warps += s.warps, sum.lanes += s.lanes, sum.requests += s.requests, sum.sectors += s.sectors;
      sum.idealSectors += s.idealSectors, sum.bytes += s.bytes, sum.wavefronts += s.wavefronts,
          sum.idealWavefronts += s.idealWavefronts;
    }
    addSite(p, l, l.module->code[pc], sum);
  }
  for (Worker& w : workers) {
    if (&w != &workers[0]) workers[0].touched.merge(w.touched);
    p.branches += w.branches;
    p.divergentBranches += w.divergentBranches;
    p.barriers += w.barriers;
    p.atomics += w.atomics;
    p.matrixOperations += w.matrixOperations;
  }
  p.globalBytesTouched = workers[0].touched.count() * 32;
  std::sort(p.conflicts.begin(), p.conflicts.end(),
            [](auto& a, auto& b) { return a.wavefronts - a.ideal > b.wavefronts - b.ideal; });
  return p;
}

}  // namespace gpusim
