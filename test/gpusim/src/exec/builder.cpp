// SPDX-License-Identifier: Apache-2.0
#include "exec/builder.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include "exec/control.h"

namespace gpusim {

using ptx::FunctionAst;
using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::Variable;

namespace {

uint32_t alignUp(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

void forEachSymbol(const Operand& o, const std::function<void(const std::string&)>& visit) {
  if (o.kind == Operand::Kind::Symbol) visit(o.name);
  for (auto& e : o.elements) forEachSymbol(e, visit);
}

}  // namespace

const Symbol* ModuleBuilder::find(const std::string& name) {
  auto s = shared_.find(name);
  if (s != shared_.end()) return &s->second;
  auto g = globals_.find(name);
  return g == globals_.end() ? nullptr : &g->second;
}

int ModuleBuilder::functionIndex(const std::string& name) {
  auto alias = ast_.aliases.find(name);
  const std::string& real = alias == ast_.aliases.end() ? name : alias->second;
  for (size_t i = 0; i < ast_.functions.size(); ++i)
    if (ast_.functions[i].name == real && ast_.functions[i].defined) return int(i);
  return -1;
}

Status ModuleBuilder::build(std::unique_ptr<Module>& out) {
  std::unique_ptr<Module> module(new Module(device_));
  module->target_ = ast_.targetSm;
  module->isaVersion_ = ast_.version;
  if (ast_.targetSm > device_.model.smVersion()) {
    log_.error += "the PTX targets sm_" + std::to_string(ast_.targetSm) + ", the device is sm_" +
                  std::to_string(device_.model.smVersion()) + "\n";
    return Status::NoBinaryForGpu;
  }
  for (size_t i = 0; i < ast_.functions.size(); ++i) {
    Symbol s;
    s.isFunction = true;
    s.space = Space::Global;
    s.address = kFunctionWindow + 16 * i;
    globals_[ast_.functions[i].name] = s;
  }
  const Status status = placeVariables(*module);
  if (status != Status::Success) return status;
  for (size_t i = 0; i < ast_.functions.size(); ++i)
    if (ast_.functions[i].entry && ast_.functions[i].defined) module->kernels_.push_back(buildKernel(int(i)));
  uint32_t constants = 0;
  for (auto& v : module->variables_)
    if (v.constant) constants += uint32_t(v.size);
  for (auto& k : module->kernels_) k->constBytes = constants;
  for (auto& [what, where] : unsupported_) log_.info += "not implemented: " + what + " (" + where + ")\n";
  out = std::move(module);
  return Status::Success;
}

Status ModuleBuilder::placeVariables(Module& module) {
  std::vector<std::pair<const Variable*, std::string>> placed;
  for (auto& v : ast_.variables)
    if (v.space == Space::Global || v.space == Space::Const) placed.emplace_back(&v, v.name);
  for (auto& f : ast_.functions)
    for (auto& v : f.locals)
      if (v.space == Space::Global || v.space == Space::Const) placed.emplace_back(&v, f.name + "!" + v.name);
  std::set<std::string> defined;  // a definition may follow its declaration
  for (auto& [v, key] : placed)
    if (v->linkage != ptx::Linkage::Extern) defined.insert(key);
  std::erase_if(placed, [&](const auto& entry) {
    return entry.first->linkage == ptx::Linkage::Extern && defined.count(entry.second);
  });
  for (auto& [v, key] : placed) {
    if (v->linkage == ptx::Linkage::Extern) {
      log_.error += "line " + std::to_string(v->line) + ": '" + v->name + "' is not defined\n";
      return Status::SharedObjectSymbolNotFound;
    }
    const Status status = placeVariable(module, *v, key);
    if (status != Status::Success) return status;
  }
  for (auto& [v, key] : placed) initialise(*v, globals_.at(key).address);
  return Status::Success;
}

Status ModuleBuilder::placeVariable(Module& module, const Variable& v, const std::string& key) {
  Symbol s;
  s.space = v.space;
  s.bytes = v.bytes;
  if (v.bytes) {
    const bool constant = v.space == Space::Const;
    Status status;
    if (v.managed) {
      void* pointer = nullptr;
      status = device_.memory.allocateHost(v.bytes, MemoryKind::ModuleManaged, pointer);
      s.address = reinterpret_cast<uint64_t>(pointer);
    } else {
      status = device_.memory.allocate(v.bytes, constant ? MemoryKind::ModuleConstant : MemoryKind::ModuleVariable,
                                       s.address, v.name);
    }
    if (status != Status::Success) return status;
    device_.memory.fill(s.address, 0, 1, v.bytes);
    module.variables_.push_back({v.name, s.address, v.bytes, constant, v.managed});
  }
  globals_[key] = s;
  return Status::Success;
}

void ModuleBuilder::initialise(const Variable& v, uint64_t address) {
  const unsigned bytes = ptx::typeBytes(v.type);
  for (size_t i = 0; i < v.init.size() && (i + 1) * bytes <= v.bytes; ++i) {
    const ptx::Initialiser& init = v.init[i];
    uint64_t value = init.value;
    if (init.kind == ptx::Initialiser::Kind::Symbol) {
      const Symbol* s = find(init.name);
      if (!s) {
        throw ptx::ParseError{v.line, "initialiser names '" + init.name + "', which is not defined"};
      }
      value = s->address + uint64_t(init.offset);
      if (init.mask) value = (value & init.mask) >> __builtin_ctzll(init.mask);
    } else if (init.kind == ptx::Initialiser::Kind::Float64 && v.type == ptx::Type::F32) {
      double d;
      std::memcpy(&d, &init.value, 8);
      const float f = float(d);
      uint32_t bits;
      std::memcpy(&bits, &f, 4);
      value = bits;
    }
    device_.memory.write(address + i * bytes, &value, std::min(bytes, 8u));
  }
}

const ModuleBuilder::Analysis& ModuleBuilder::analysis(int function) {
  auto& slot = analyses_[function];
  if (!slot) {
    slot = std::make_unique<Analysis>();
    const FunctionAst& f = ast_.functions[size_t(function)];
    slot->cfg = ptx::Cfg::build(f);
    slot->layout = ptx::layoutRegisters(f, slot->cfg);
  }
  return *slot;
}

// Called functions, and, where there is an indirect call, every function whose address anything in the module takes.
std::vector<int> ModuleBuilder::reachable(int entry) {
  std::vector<int> order{entry};
  std::set<int> seen{entry};
  auto add = [&](int f) {
    if (f >= 0 && !ast_.functions[size_t(f)].entry && seen.insert(f).second) order.push_back(f);
  };
  bool indirect = false;
  for (size_t i = 0; i < order.size(); ++i) {
    for (auto& s : ast_.functions[size_t(order[i])].statements) {
      if (s.op[0] == "call") {
        if (s.operands[0].kind == Operand::Kind::Symbol)
          add(functionIndex(s.operands[0].name));
        else
          indirect = true;
      } else {
        for (auto& o : s.operands) forEachSymbol(o, [&](const std::string& n) { add(functionIndex(n)); });
      }
    }
    if (indirect && i + 1 == order.size())
      for (auto& v : ast_.variables)
        for (auto& init : v.init)
          if (init.kind == ptx::Initialiser::Kind::Symbol) add(functionIndex(init.name));
  }
  return order;
}

// Static variables that the kernel's functions use, then all `extern` arrays at the start of dynamic memory.
uint32_t ModuleBuilder::placeShared(const std::vector<int>& functions) {
  shared_.clear();
  std::set<std::string> used;
  for (int f : functions)
    for (auto& s : ast_.functions[size_t(f)].statements)
      for (auto& o : s.operands) forEachSymbol(o, [&](const std::string& n) { used.insert(n); });
  uint32_t offset = 0;
  auto place = [&](const Variable& v, const std::string& key) {
    if (v.space != Space::Shared || v.unsized || (v.linkage == ptx::Linkage::Extern && !v.bytes)) return;
    offset = alignUp(offset, std::max(1u, v.align));
    Symbol s;
    s.space = Space::Shared;
    s.address = offset;
    s.bytes = v.bytes;
    shared_[key] = s;
    offset += uint32_t(v.bytes);
  };
  for (auto& v : ast_.variables)
    if (used.count(v.name)) place(v, v.name);
  for (int f : functions)
    for (auto& v : ast_.functions[size_t(f)].locals)
      if (used.count(v.name)) place(v, ast_.functions[size_t(f)].name + "!" + v.name);
  uint32_t align = 1;
  std::vector<std::string> dynamic;
  auto note = [&](const Variable& v, const std::string& key) {
    if (v.space != Space::Shared || !v.unsized || !used.count(v.name)) return;
    align = std::max(align, v.align);
    dynamic.push_back(key);
  };
  for (auto& v : ast_.variables) note(v, v.name);
  for (int f : functions)
    for (auto& v : ast_.functions[size_t(f)].locals) note(v, ast_.functions[size_t(f)].name + "!" + v.name);
  if (!dynamic.empty()) offset = alignUp(offset, align);
  for (auto& key : dynamic) {
    Symbol s;
    s.space = Space::Shared;
    s.address = offset;
    shared_[key] = s;
  }
  return offset;
}

std::unique_ptr<Kernel> ModuleBuilder::buildKernel(int entry) {
  const FunctionAst& f = ast_.functions[size_t(entry)];
  auto kernel = std::make_unique<Kernel>();
  auto code = std::make_shared<KernelCode>();
  code->module = std::make_shared<ModuleCode>();
  code->module->files = ast_.files;
  const std::vector<int> functions = reachable(entry);
  code->sharedStatic = placeShared(functions);
  codeIndex_.clear();
  for (int g : functions) {
    codeIndex_[g] = int(code->module->functions.size());
    code->module->functions.emplace_back();
    code->module->functions.back().tableIndex = g;
  }
  // callers need the callee's parameters only by position, so order does not matter
  uint32_t live = 0;
  for (int g : functions) {
    decodeFunction(*code->module, g, code->module->functions[size_t(codeIndex_[g])]);
    live = std::max(live, analysis(g).layout.maxLive + (g == entry ? 0u : 8u));
  }
  code->singleWorker = communicates(functions);
  sumStacks(*code->module, *code);
  code->minStoreBytes = leastStore(functions);

  kernel->name = f.name;
  for (auto& p : f.parameters) {
    KernelParameter k;
    k.name = p.name;
    k.align = std::max(1u, p.align);
    k.size = uint32_t(p.bytes);
    k.offset = alignUp(kernel->parameterBytes, k.align);
    kernel->parameterBytes = k.offset + k.size;
    kernel->parameters.push_back(k);
  }
  auto product = [](const uint32_t v[3]) { return v[0] * v[1] * v[2]; };
  const uint32_t declared = f.requiredThreads[0] ? product(f.requiredThreads) : product(f.maxThreads);
  kernel->maxThreads = declared ? std::min<uint32_t>(declared, uint32_t(device_.model.maxThreadsPerBlock))
                                : uint32_t(device_.model.maxThreadsPerBlock);
  std::copy(f.requiredThreads, f.requiredThreads + 3, kernel->requiredThreads);
  kernel->minBlocksPerSm = f.minBlocks;
  uint32_t limit = 255;
  if (declared) {
    const uint32_t warps = (declared + kLanes - 1) / kLanes * std::max(1u, f.minBlocks);
    limit = std::min<uint32_t>(limit, uint32_t(device_.model.registersPerSm) / std::max(1u, warps * kLanes) / 8 * 8);
  }
  if (f.maxRegisters) limit = std::min(limit, f.maxRegisters);
  kernel->registers = std::clamp(alignUp(live + 4, 8), 16u, std::max(16u, limit));
  kernel->staticShared = code->sharedStatic;
  kernel->localBytes = code->stackBytes;
  kernel->ptxVersion = ast_.targetSm;
  kernel->binaryVersion = device_.model.smVersion();
  kernel->communicates = code->singleWorker;
  kernel->code = code;
  return kernel;
}

void ModuleBuilder::sumStacks(ModuleCode& module, KernelCode& kernel) {
  std::vector<std::vector<int>> callees(module.functions.size());
  bool indirect = false, alloca = false;
  for (size_t i = 0; i < module.functions.size(); ++i) {
    const FunctionCode& f = module.functions[i];
    for (uint32_t pc = f.pc; pc < f.endPc; ++pc) {
      if (module.code[pc].run == callFunction) {
        const auto& site = *static_cast<const CallSite*>(module.code[pc].payload);
        indirect |= site.indirect;
        if (site.function >= 0) callees[i].push_back(site.function);
      }
      alloca |= module.origins[module.code[pc].origin].text.find("alloca") != std::string::npos;
    }
  }
  std::vector<int> state(module.functions.size());
  bool recursive = indirect || alloca;
  uint32_t deepest = 0;
  std::function<uint32_t(int)> depth = [&](int i) -> uint32_t {
    if (state[size_t(i)] == 1) {
      recursive = true;
      return 0;
    }
    state[size_t(i)] = 1;
    uint32_t below = 0;
    for (int callee : callees[size_t(i)]) below = std::max(below, depth(callee));
    state[size_t(i)] = 2;
    return alignUp(module.functions[size_t(i)].localBytes, 16) + below;
  };
  for (size_t i = 0; i < module.functions.size(); ++i) deepest = std::max(deepest, depth(int(i)));
  kernel.stackBytes = deepest;
  kernel.recursive = recursive;
}

// The granule of the race checks: neighbouring threads may store values of this size side by side.
uint32_t ModuleBuilder::leastStore(const std::vector<int>& functions) const {
  uint32_t least = 4;
  for (int f : functions) {
    for (auto& s : ast_.functions[size_t(f)].statements) {
      const bool store = s.op[0] == "st" || (s.op[0] == "wmma" && s.has("store"));
      if (!store || s.has("local") || s.has("param")) continue;
      uint32_t count = s.has("v2") ? 2 : s.has("v4") ? 4 : s.has("v8") ? 8 : 1;
      for (auto& part : s.op)
        if (ptx::parseType(part) != ptx::Type::None)
          least = std::min(least, ptx::typeBytes(ptx::parseType(part)) * count);
    }
  }
  return least;
}

bool ModuleBuilder::communicates(const std::vector<int>& functions) const {
  for (int f : functions) {
    for (auto& s : ast_.functions[size_t(f)].statements) {
      const std::string& op = s.op[0];
      const bool shared = s.has("shared") || s.has("shared::cta") || s.has("local");
      if ((op == "atom" || op == "red") && !shared) return true;
      if ((op == "ld" || op == "st") && !shared)
        for (const char* word : {"volatile", "relaxed", "acquire", "release", "mmio", "cv"})
          if (s.has(word)) return true;
    }
  }
  return false;
}

Status Module::load(DeviceState& device, const std::string& ptx, JitLog& log, std::unique_ptr<Module>& out) {
  try {
    return ModuleBuilder(device, ptx::parse(ptx), log).build(out);
  } catch (const ptx::ParseError& e) {
    log.error += "PTX line " + std::to_string(e.line) + ": " + e.message + "\n";
    return Status::InvalidPtx;
  } catch (const std::logic_error& e) {
    log.error += std::string("malformed PTX: ") + e.what() + "\n";
    return Status::InvalidPtx;
  }
}

Module::~Module() {
  for (auto& v : variables_) device_.memory.free(v.address);
}

const Kernel* Module::kernel(const std::string& name) const {
  for (auto& k : kernels_)
    if (k->name == name) return k.get();
  return nullptr;
}

const ModuleVariable* Module::variable(const std::string& name) const {
  for (auto& v : variables_)
    if (v.name == name) return &v;
  return nullptr;
}

}  // namespace gpusim
