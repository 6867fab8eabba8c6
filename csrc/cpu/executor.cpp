// SPDX-License-Identifier: Apache-2.0
#include "cpu/executor.h"

#include "cpu/copy/copy.h"
#include "cpu/norm/norm.h"

namespace pw::cpu {

void CpuExecutor::copy(const pw_tensor& from, const pw_tensor& to) { cpu::copy(from, to); }
void CpuExecutor::upload(const void* from, const pw_tensor& to) { cpu::copy(contiguousView(from, to), to); }
void CpuExecutor::download(const pw_tensor& from, void* to) { cpu::copy(from, contiguousView(to, from)); }
void CpuExecutor::fill(const pw_tensor& to, double value) { cpu::fill(to, value); }
void CpuExecutor::rmsNorm(const pw_rmsnorm_args& args) { cpu::rmsNorm(args, context_); }

}  // namespace pw::cpu
