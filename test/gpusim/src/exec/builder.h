// SPDX-License-Identifier: Apache-2.0
/// @file builder.h
/// From a parsed module to variables in device memory and one KernelCode for each entry.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"
#include "exec/decoder.h"
#include "ptx/ast.h"
#include "ptx/cfg.h"

namespace gpusim {

class ModuleBuilder : public Linker {
 public:
  ModuleBuilder(DeviceState& device, ptx::ModuleAst ast, JitLog& log)
      : device_(device), ast_(std::move(ast)), log_(log) {}
  Status build(std::unique_ptr<Module>& out);

  const Symbol* find(const std::string& name) override;
  int functionIndex(const std::string& name) override;

 private:
  struct Analysis {
    ptx::Cfg cfg;
    ptx::RegisterLayout layout;
  };

  Status placeVariables(Module& module);
  Status placeVariable(Module& module, const ptx::Variable& v, const std::string& key);
  void initialise(const ptx::Variable& v, uint64_t address);
  const Analysis& analysis(int function);
  const ptx::FunctionAst* functionNamed(const std::string& name) const;

  std::unique_ptr<Kernel> buildKernel(int entry);
  std::vector<int> reachable(int entry);
  uint32_t placeShared(const std::vector<int>& functions);
  void layoutParameters(const ptx::FunctionAst& f, FunctionCode& code, std::map<std::string, Symbol>& locals);
  void decodeFunction(ModuleCode& module, int function, FunctionCode& code);
  void decodeStatement(Decoder& d, const ptx::Statement& s, std::vector<size_t>& fixups);
  bool decodeControl(Decoder& d, const ptx::Statement& s, Instruction& in, std::vector<size_t>& fixups);
  void decodeCall(Decoder& d, const ptx::Statement& s, Instruction& in);
  void sumStacks(ModuleCode& module, KernelCode& kernel);
  bool communicates(const std::vector<int>& functions) const;
  uint32_t leastStore(const std::vector<int>& functions) const;

  DeviceState& device_;
  ptx::ModuleAst ast_;
  JitLog& log_;
  std::map<std::string, Symbol> globals_;  ///< .global and .const variables, functions
  std::map<std::string, Symbol> shared_;   ///< of the kernel being built
  std::map<int, std::unique_ptr<Analysis>> analyses_;
  std::map<int, int> codeIndex_;          ///< AST function -> FunctionCode of the kernel being built
  std::map<std::string, Symbol> locals_;  ///< of the function being decoded
  std::map<std::string, std::string> unsupported_;
};

}  // namespace gpusim
