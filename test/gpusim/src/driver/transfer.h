// SPDX-License-Identifier: Apache-2.0
// When a copy or fill happens as seen from the host: the rules for synchronous and asynchronous forms and for pageable,
// pinned and device memory.
#pragma once
#include "api.h"
#include "capture.h"
#include "copy.h"

namespace gpusim {

/// A synchronous copy function. It runs in the default stream; the host waits, except for copies within device memory.
CUresult copyNow(const std::shared_ptr<Context>& context, CopyWork copy);

/// An asynchronous copy function. From pageable memory the bytes are taken at once; to pageable memory the host waits.
CUresult copyLater(const StreamUse& use, CopyWork copy);

CUresult fillNow(const std::shared_ptr<Context>& context, FillWork fill);
CUresult fillLater(const StreamUse& use, FillWork fill);

}  // namespace gpusim
