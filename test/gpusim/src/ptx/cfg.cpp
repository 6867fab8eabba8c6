// SPDX-License-Identifier: Apache-2.0
#include "ptx/cfg.h"

#include <algorithm>

namespace gpusim::ptx {
namespace {

bool leavesFunction(const Statement& s) { return s.op[0] == "ret" || s.op[0] == "exit"; }
bool endsBlock(const Statement& s) {
  return s.op[0] == "bra" || s.op[0] == "brx" || leavesFunction(s) || s.op[0] == "trap";
}

/// Immediate dominators of the reversed graph, whose root (the virtual exit) has index blocks.size().
/// Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm (2001).
std::vector<int> postDominators(const std::vector<BasicBlock>& blocks) {
  const int n = int(blocks.size()), root = n;
  std::vector<std::vector<int>> predecessors(size_t(n) + 1);  // in the original graph: edges of the reversed one
  for (int b = 0; b < n; ++b) {
    for (uint32_t s : blocks[size_t(b)].successors) predecessors[s].push_back(b);
    if (blocks[size_t(b)].exits) predecessors[size_t(root)].push_back(b);
  }
  std::vector<int> order, number(size_t(n) + 1, -1);
  std::vector<std::pair<int, size_t>> stack{{root, 0}};
  std::vector<bool> seen(size_t(n) + 1);
  seen[size_t(root)] = true;
  while (!stack.empty()) {
    auto& [node, next] = stack.back();
    if (next < predecessors[size_t(node)].size()) {
      int p = predecessors[size_t(node)][next++];
      if (!seen[size_t(p)]) {
        seen[size_t(p)] = true;
        stack.push_back({p, 0});
      }
    } else {
      number[size_t(node)] = int(order.size());
      order.push_back(node);
      stack.pop_back();
    }
  }
  std::vector<int> idom(size_t(n) + 1, -1);
  idom[size_t(root)] = root;
  auto intersect = [&](int a, int b) {
    while (a != b) {
      while (number[size_t(a)] < number[size_t(b)]) a = idom[size_t(a)];
      while (number[size_t(b)] < number[size_t(a)]) b = idom[size_t(b)];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      const int node = *it;
      if (node == root) continue;
      int best = -1;
      auto consider = [&](int s) {
        if (number[size_t(s)] >= 0 && idom[size_t(s)] >= 0) best = best < 0 ? s : intersect(s, best);
      };
      for (uint32_t s : blocks[size_t(node)].successors) consider(int(s));
      if (blocks[size_t(node)].exits) consider(root);
      if (best != idom[size_t(node)]) {
        idom[size_t(node)] = best;
        changed = true;
      }
    }
  }
  return idom;
}

}  // namespace

uint32_t resolveLabel(const FunctionAst& f, const std::string& name, int scope, int line) {
  for (int s = scope; s >= 0; s = f.scopeParent[size_t(s)])
    for (auto& l : f.labels)
      if (l.scope == s && l.name == name) return l.target;
  throw ParseError{line, "label '" + name + "' is not defined"};
}

std::vector<uint32_t> branchTargets(const FunctionAst& f, const Statement& s) {
  std::vector<uint32_t> out;
  if (s.names.empty()) throw ParseError{s.line, "branch without a target"};
  if (s.op[0] == "bra") {
    out.push_back(resolveLabel(f, s.names[0], s.scope, s.line));
    return out;
  }
  auto it = f.branchTargets.find(s.names[0]);
  if (it == f.branchTargets.end()) throw ParseError{s.line, "'" + s.names[0] + "' names no .branchtargets"};
  for (auto& name : it->second) out.push_back(resolveLabel(f, name, s.scope, s.line));
  return out;
}

Cfg Cfg::build(const FunctionAst& f) {
  const uint32_t n = uint32_t(f.statements.size());
  std::vector<bool> leader(n + 1);
  leader[0] = true;
  for (uint32_t i = 0; i < n; ++i) {
    const Statement& s = f.statements[i];
    if (!endsBlock(s)) continue;
    leader[i + 1] = true;
    if (s.op[0] == "bra" || s.op[0] == "brx")
      for (uint32_t t : branchTargets(f, s)) leader[t] = true;
  }
  Cfg cfg;
  cfg.blockOf.resize(n + 1);
  for (uint32_t i = 0; i < n; ++i) {
    if (leader[i]) cfg.blocks.push_back({i, i, {}, false, -1, false});
    cfg.blockOf[i] = uint32_t(cfg.blocks.size() - 1);
    cfg.blocks.back().end = i + 1;
  }
  // a last empty block stands for falling off the end, and for labels there
  cfg.blockOf[n] = uint32_t(cfg.blocks.size());
  cfg.blocks.push_back({n, n, {}, true, -1, false});
  for (uint32_t b = 0; b + 1 < cfg.blocks.size(); ++b) {
    BasicBlock& block = cfg.blocks[b];
    const Statement& s = f.statements[block.end - 1];
    if (s.op[0] == "bra" || s.op[0] == "brx")
      for (uint32_t t : branchTargets(f, s)) block.successors.push_back(cfg.blockOf[t]);
    if (leavesFunction(s)) block.exits = true;
    if (!endsBlock(s) || s.guard >= 0) block.successors.push_back(b + 1);
    std::sort(block.successors.begin(), block.successors.end());
    block.successors.erase(std::unique(block.successors.begin(), block.successors.end()), block.successors.end());
  }
  const std::vector<int> idom = postDominators(cfg.blocks);
  for (size_t b = 0; b < cfg.blocks.size(); ++b) {
    const bool real = idom[b] >= 0 && idom[b] < int(cfg.blocks.size());
    cfg.blocks[b].immediatePostDominator = real ? idom[b] : -1;
    if (real && cfg.blocks[b].successors.size() > 1) cfg.blocks[size_t(idom[b])].joins = true;
  }
  return cfg;
}

}  // namespace gpusim::ptx
