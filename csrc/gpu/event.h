// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <limits>

#include "core/engine.h"
#include "gpu/primary_context.h"

namespace pw::gpu {

/// A CUDA event, recorded once.
class GpuEventMark final : public EventMark {
 public:
  GpuEventMark(Ref<PrimaryContext> primary, CUstream stream) : primary_(std::move(primary)) {
    primary_->check(driver().eventCreate(&event_, 0), "cuEventCreate");
    if (const CUresult result = driver().eventRecord(event_, stream); result != kCudaSuccess) {
      driver().eventDestroy(event_);
      primary_->check(result, "cuEventRecord");
    }
  }
  ~GpuEventMark() override {
    const PrimaryContext::Scope scope(*primary_);
    driver().eventDestroy(event_);
  }

  CUevent event() const noexcept { return event_; }

  double since(const EventMark& start) const override {
    const auto* other = dynamic_cast<const GpuEventMark*>(&start);
    float milliseconds = 0;
    const PrimaryContext::Scope scope(*primary_);
    if (!other || driver().eventElapsed(&milliseconds, other->event_, event_) != kCudaSuccess)
      return -std::numeric_limits<double>::infinity();
    return milliseconds / 1000.0;
  }

 private:
  const Ref<PrimaryContext> primary_;
  CUevent event_ = nullptr;
};

}  // namespace pw::gpu
