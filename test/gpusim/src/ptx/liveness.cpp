// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

#include "ptx/cfg.h"

namespace gpusim::ptx {
namespace {

bool writesNothing(const Statement& s) {
  static const std::unordered_set<std::string> kNone = {
      "st",        "red",          "bra",           "brx",      "membar",         "fence",
      "ret",       "exit",         "trap",          "prefetch", "prefetchu",      "cp",
      "nanosleep", "discard",      "applypriority", "stmatrix", "griddepcontrol", "brkpt",
      "pmevent",   "stackrestore", "setmaxnreg",    "call"};
  const std::string& op = s.op[0];
  if (kNone.count(op)) return true;
  if (op == "bar" || op == "barrier") return !s.has("red");
  return op == "wmma" && s.op.size() > 1 && s.op[1] == "store";
}

void collect(const Operand& o, std::vector<int>& out) {
  if (o.kind == Operand::Kind::Register) out.push_back(o.reg);
  for (auto& e : o.elements) collect(e, out);
}

using Bits = std::vector<uint64_t>;
bool test(const Bits& b, int i) { return b[size_t(i) >> 6] >> (i & 63) & 1; }
void insert(Bits& b, int i) { b[size_t(i) >> 6] |= 1ull << (i & 63); }
void erase(Bits& b, int i) { b[size_t(i) >> 6] &= ~(1ull << (i & 63)); }

struct Liveness {
  std::vector<Bits> in, out;  ///< by block
};

Liveness solve(const FunctionAst& f, const Cfg& cfg, const std::vector<Accesses>& accesses) {
  const size_t words = f.registers.size() / 64 + 1, n = cfg.blocks.size();
  std::vector<Bits> gen(n, Bits(words)), kill(n, Bits(words));
  for (size_t b = 0; b < n; ++b) {
    for (uint32_t i = cfg.blocks[b].first; i < cfg.blocks[b].end; ++i) {
      for (int r : accesses[i].uses)
        if (!test(kill[b], r)) insert(gen[b], r);
      if (f.statements[i].guard < 0)
        for (int r : accesses[i].defs) insert(kill[b], r);
    }
  }
  Liveness live{std::vector<Bits>(n, Bits(words)), std::vector<Bits>(n, Bits(words))};
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = n; b-- > 0;) {
      for (size_t w = 0; w < words; ++w) {
        uint64_t out = 0;
        for (uint32_t s : cfg.blocks[b].successors) out |= live.in[s][w];
        const uint64_t in = gen[b][w] | (out & ~kill[b][w]);
        changed |= in != live.in[b][w];
        live.out[b][w] = out;
        live.in[b][w] = in;
      }
    }
  }
  return live;
}

uint32_t mostLive(const FunctionAst& f, const Cfg& cfg, const std::vector<Accesses>& accesses, const Liveness& live) {
  auto weight = [&](int r) { return (registerBytes(f.registers[size_t(r)].type) + 3) / 4; };
  uint32_t most = 0;
  for (size_t b = 0; b < cfg.blocks.size(); ++b) {
    Bits now = live.out[b];
    uint32_t units = 0;
    for (int r = 0; r < int(f.registers.size()); ++r)
      if (test(now, r)) units += weight(r);
    most = std::max(most, units);
    for (uint32_t i = cfg.blocks[b].end; i-- > cfg.blocks[b].first;) {
      if (f.statements[i].guard < 0)
        for (int r : accesses[i].defs)
          if (test(now, r)) erase(now, r), units -= weight(r);
      for (int r : accesses[i].uses)
        if (!test(now, r)) insert(now, r), units += weight(r);
      most = std::max(most, units);
    }
  }
  return most;
}

}  // namespace

unsigned registerBytes(Type t) { return t == Type::Pred ? 0 : std::max(2u, typeBytes(t)); }

Accesses registerAccesses(const Statement& s) {
  Accesses a;
  if (s.guard >= 0) a.uses.push_back(s.guard);
  const bool none = writesNothing(s);
  for (size_t i = 0; i < s.operands.size(); ++i) {
    const bool destination = i == 0 && !none && s.operands[0].kind != Operand::Kind::Address;
    collect(s.operands[i], destination ? a.defs : a.uses);
  }
  for (auto& o : s.callArguments) collect(o, a.uses);
  for (auto& o : s.callReturns) collect(o, a.defs);
  return a;
}

RegisterLayout layoutRegisters(const FunctionAst& f, const Cfg& cfg) {
  const size_t count = f.registers.size();
  std::vector<Accesses> accesses;
  accesses.reserve(f.statements.size());
  for (auto& s : f.statements) accesses.push_back(registerAccesses(s));
  const Liveness live = solve(f, cfg, accesses);

  std::vector<uint32_t> begin(count, UINT32_MAX), end(count, 0);
  auto extend = [&](int r, uint32_t at) {
    begin[size_t(r)] = std::min(begin[size_t(r)], at);
    end[size_t(r)] = std::max(end[size_t(r)], at);
  };
  for (size_t b = 0; b < cfg.blocks.size(); ++b) {
    const BasicBlock& block = cfg.blocks[b];
    for (size_t w = 0; w < live.in[b].size(); ++w) {
      for (uint64_t bits = live.in[b][w]; bits; bits &= bits - 1)
        extend(int(w * 64) + __builtin_ctzll(bits), block.first);
      if (block.end > block.first)
        for (uint64_t bits = live.out[b][w]; bits; bits &= bits - 1)
          extend(int(w * 64) + __builtin_ctzll(bits), block.end - 1);
    }
    for (uint32_t i = block.first; i < block.end; ++i) {
      for (int r : accesses[i].defs) extend(r, i);
      for (int r : accesses[i].uses) extend(r, i);
    }
  }

  // parameters that are registers come first; they are set on entry and read on return
  size_t parameters = 0;
  for (auto* list : {&f.returns, &f.parameters})
    for (auto& v : *list) parameters += v.space == Space::Reg;
  for (size_t r = 0; r < parameters; ++r) extend(int(r), 0), extend(int(r), uint32_t(f.statements.size()));

  RegisterLayout layout;
  layout.maxLive = mostLive(f, cfg, accesses, live);
  layout.offset.assign(count, 0);
  std::vector<int> order;
  for (size_t r = 0; r < count; ++r)
    if (begin[r] != UINT32_MAX) order.push_back(int(r));
  std::sort(order.begin(), order.end(), [&](int x, int y) { return begin[size_t(x)] < begin[size_t(y)]; });
  uint32_t predicateBytes = 0;
  for (int r : order)
    if (f.registers[size_t(r)].type == Type::Pred) layout.offset[size_t(r)] = predicateBytes, predicateBytes += 4;
  layout.bytes = (predicateBytes + 63) / 64 * 64;
  std::map<unsigned, std::vector<uint32_t>> freeSlots;
  std::set<std::pair<uint32_t, int>> active;  // (end, register)
  for (int r : order) {
    const unsigned size = registerBytes(f.registers[size_t(r)].type) * 32;
    if (!size) continue;
    while (!active.empty() && active.begin()->first < begin[size_t(r)]) {
      const int done = active.begin()->second;
      freeSlots[registerBytes(f.registers[size_t(done)].type) * 32].push_back(layout.offset[size_t(done)]);
      active.erase(active.begin());
    }
    auto& pool = freeSlots[size];
    if (pool.empty()) {
      layout.offset[size_t(r)] = layout.bytes;
      layout.bytes += size;
    } else {
      layout.offset[size_t(r)] = pool.back();
      pool.pop_back();
    }
    active.insert({end[size_t(r)], r});
  }
  return layout;
}

}  // namespace gpusim::ptx
