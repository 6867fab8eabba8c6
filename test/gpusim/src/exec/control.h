// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "exec/context.h"

namespace gpusim {

// Handlers of control flow. Branches: imm is the target pc, aux the pc of the join (kNoPc: none).
void branch(Context& c, const Instruction& in);
void branchIndexed(Context& c, const Instruction& in);  ///< payload BranchTable, a: index
void callFunction(Context& c, const Instruction& in);   ///< payload CallSite, a: target of an indirect call
void returnFromFunction(Context& c, const Instruction& in);
void exitThread(Context& c, const Instruction& in);
void trapThread(Context& c, const Instruction& in);
void breakpoint(Context& c, const Instruction& in);
void joinPoint(Context& c, const Instruction& in);
void unsupportedInstruction(Context& c, const Instruction& in);  ///< payload std::string: why

/// Functions that the simulator provides: vprintf, __assertfail, malloc, free. -1 when there is none of that name.
int builtinIndex(const std::string& name);
void callBuiltin(Context& c, const Instruction& in, const CallSite& site);

/// Reads memory at a generic address without checks, for printf and assertions; false when it is not readable.
bool peek(Context& c, uint32_t lane, uint64_t address, void* out, size_t bytes);

}  // namespace gpusim
