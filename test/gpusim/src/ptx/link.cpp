// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "ptx/ast.h"

namespace gpusim::ptx {
namespace {

using Names = std::map<std::string, std::string>;

/// Internal symbols of the module, with names that no other module has.
Names internalNames(const ModuleAst& module, size_t number) {
  Names names;
  auto add = [&](const std::string& name) { names[name] = name + "#" + std::to_string(number); };
  for (auto& v : module.variables)
    if (v.linkage == Linkage::Internal) add(v.name);
  for (auto& f : module.functions)
    if (f.linkage == Linkage::Internal && !f.entry) add(f.name);
  return names;
}

void rename(const Names& names, std::string& name) {
  const auto found = names.find(name);
  if (found != names.end()) name = found->second;
}

void rename(const Names& names, Operand& o) {
  if (o.kind == Operand::Kind::Symbol) rename(names, o.name);
  for (auto& e : o.elements) rename(names, e);
}

void renameInternals(ModuleAst& module, const Names& names) {
  for (auto& v : module.variables) {
    rename(names, v.name);
    for (auto& init : v.init) rename(names, init.name);
  }
  for (auto& f : module.functions) {
    rename(names, f.name);
    // a variable of the function, or a parameter, may hide the module's
    Names seen = names;
    for (auto* list : {&f.returns, &f.parameters, &f.locals})
      for (auto& v : *list) seen.erase(v.name);
    for (auto& v : f.locals)
      for (auto& init : v.init) rename(seen, init.name);
    for (auto& s : f.statements)
      for (auto& o : s.operands) rename(seen, o);
  }
  Names aliases;
  for (auto& entry : module.aliases) {
    std::string alias = entry.first, name = entry.second;
    rename(names, alias), rename(names, name);
    aliases[alias] = name;
  }
  module.aliases = aliases;
}

/// Files are numbered by each module on its own.
void moveFiles(ModuleAst& module, int by) {
  std::map<int, std::string> files;
  for (auto& [number, name] : module.files) files[number + by] = name;
  module.files = files;
  for (auto& f : module.functions) {
    for (auto& s : f.statements) {
      s.file += by;
      for (auto& place : s.inlinedAt) place.file += by;
    }
  }
}

/// Adds a symbol to those of the same kind; a definition takes the place of a declaration.
template <class T, class Defined>
void add(std::vector<T>& all, T&& symbol, const char* kind, Defined defined) {
  auto same = std::find_if(all.begin(), all.end(), [&](const T& other) { return other.name == symbol.name; });
  if (same == all.end()) {
    all.push_back(std::move(symbol));
  } else if (!defined(*same)) {
    *same = std::move(symbol);
  } else if (defined(symbol) && symbol.linkage != Linkage::Weak) {
    if (same->linkage != Linkage::Weak)
      throw ParseError{symbol.line, std::string(kind) + " '" + symbol.name + "' is defined twice"};
    *same = std::move(symbol);
  }
}

}  // namespace

ModuleAst link(std::vector<ModuleAst> modules) {
  ModuleAst all = std::move(modules.front());
  for (size_t i = 1; i < modules.size(); ++i) {
    ModuleAst& next = modules[i];
    renameInternals(next, internalNames(next, i));
    moveFiles(next, all.files.empty() ? 0 : all.files.rbegin()->first);
    all.version = std::max(all.version, next.version);
    all.targetSm = std::max(all.targetSm, next.targetSm);
    all.files.insert(next.files.begin(), next.files.end());
    all.aliases.insert(next.aliases.begin(), next.aliases.end());
    for (auto& v : next.variables)
      add(all.variables, std::move(v), "variable", [](const Variable& x) { return x.linkage != Linkage::Extern; });
    for (auto& f : next.functions)
      add(all.functions, std::move(f), "function", [](const FunctionAst& x) { return x.defined; });
  }
  return all;
}

}  // namespace gpusim::ptx
