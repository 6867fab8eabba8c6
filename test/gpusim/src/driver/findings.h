// SPDX-License-Identifier: Apache-2.0
// Hazards that launches went on with: each is shown once, however many launches meet it.
#pragma once
#include "check/check.h"

namespace gpusim {

/// Counts a hazard; true when the process has not met it before, at this instruction of this kernel.
bool isNews(const Report& report);

/// At the end of the process: how often hazards occurred that several launches met.
void reportRepeated();

}  // namespace gpusim
