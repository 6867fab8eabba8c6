// SPDX-License-Identifier: Apache-2.0
// What the exported functions share: the checks that every call begins with.
#pragma once
#include <exception>
#include <memory>
#include <new>

#include "context.h"
#include "cuda_functions.h"
#include "handles.h"
#include "log.h"
#include "work.h"

namespace gpusim {

/// Runs `body`; exceptions become error codes, because they must not leave a C function.
template <class Body>
CUresult guarded(Body&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    logText(std::string("internal error: ") + error.what());
    return CUDA_ERROR_UNKNOWN;
  }
}

/// For calls that need cuInit and no context. CUDA calls from a host function are not permitted.
template <class Body>
CUresult initialised(Body&& body) noexcept {
  return guarded([&]() -> CUresult {
    if (!runtimeInitialised()) return CUDA_ERROR_NOT_INITIALIZED;
    if (inHostFunction()) return CUDA_ERROR_NOT_PERMITTED;
    return body();
  });
}

/// For calls that act on a device: `body(Device&)`.
template <class Body>
CUresult onDevice(CUdevice ordinal, Body&& body) noexcept {
  return initialised([&]() -> CUresult {
    Device* device = deviceByOrdinal(ordinal);
    return device ? body(*device) : CUDA_ERROR_INVALID_DEVICE;
  });
}

/// The checks on a context: exists, not destroyed, no kernel left a fault in it.
inline CUresult usable(const std::shared_ptr<Context>& context) {
  if (!context) return CUDA_ERROR_INVALID_CONTEXT;
  if (!context->alive()) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  return context->fault();
}

/// For calls that act in the current context: `body(const std::shared_ptr<Context>&)`.
template <class Body>
CUresult inContext(Body&& body) noexcept {
  return initialised([&]() -> CUresult {
    const std::shared_ptr<Context> context = currentContext();
    const CUresult status = usable(context);
    return status == CUDA_SUCCESS ? body(context) : status;
  });
}

/// A stream together with the context that it belongs to.
struct StreamUse {
  std::shared_ptr<Stream> stream;
  std::shared_ptr<Context> context;
};

/// Finds a stream by its handle; null, CU_STREAM_LEGACY and CU_STREAM_PER_THREAD are the current context's default
/// streams (null is the per-thread one inside the `_ptsz` functions).
CUresult findStream(CUstream handle, StreamUse& use);

/// For calls that act on a stream: `body(const StreamUse&)`, with the stream's context checked.
template <class Body>
CUresult onStream(CUstream handle, Body&& body) noexcept {
  return initialised([&]() -> CUresult {
    StreamUse use;
    const CUresult status = findStream(handle, use);
    return status == CUDA_SUCCESS ? body(use) : status;
  });
}

/// While it lives, the null stream means the thread's own default stream.
class PerThreadDefaultStream {
 public:
  PerThreadDefaultStream();
  ~PerThreadDefaultStream();

 private:
  bool previous_;
};

/// The stream that functions without a stream argument use.
std::shared_ptr<Stream> defaultStream(const std::shared_ptr<Context>& context);

template <class Handle, class T>
Handle asHandle(T* object) {
  return reinterpret_cast<Handle>(object);
}

}  // namespace gpusim
