// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "pagewarp/attention.h"

namespace pw {

/// Empty if the plan can run with these tensors and this workspace, else what does not fit.
std::string planMisfit(const pw_attention_args& args);

}  // namespace pw
