// SPDX-License-Identifier: Apache-2.0
#include "transfer.h"

namespace gpusim {
namespace {

bool empty(const CopyWork& copy) { return copy.width == 0 || copy.height == 0 || copy.depth == 0; }

CUresult finish(const std::shared_ptr<Context>& context, const CompletionPtr& done) {
  if (done) done->wait();
  return context->fault();
}

}  // namespace

CUresult copyNow(const std::shared_ptr<Context>& context, CopyWork copy) {
  if (const CUresult status = forbidDuringCapture(); status != CUDA_SUCCESS) return status;
  if (const CUresult status = validateCopy(copy); status != CUDA_SUCCESS) return status;
  if (empty(copy)) return CUDA_SUCCESS;
  const bool hostWaits = isHostPlace(placeOf(copy.source)) || isHostPlace(placeOf(copy.destination));
  CompletionPtr done;
  const CUresult status = submit(context, defaultStream(context), CU_GRAPH_NODE_TYPE_MEMCPY, std::move(copy), &done);
  if (status != CUDA_SUCCESS || !hostWaits) return status;
  return finish(context, done);
}

CUresult copyLater(const StreamUse& use, CopyWork copy) {
  if (const CUresult status = validateCopy(copy); status != CUDA_SUCCESS) return status;
  if (empty(copy)) return CUDA_SUCCESS;
  const bool toPageable = placeOf(copy.destination) == MemoryPlace::kPageable;
  bool capturing = false;
  if (anyCapture()) {
    std::lock_guard lock(captureLock());
    capturing = use.stream->capture != nullptr;
  }
  // A graph reads its source when it runs.
  if (!capturing && !toPageable && placeOf(copy.source) == MemoryPlace::kPageable) stageSource(copy);
  CompletionPtr done;
  const CUresult status = submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_MEMCPY, std::move(copy), &done);
  if (status != CUDA_SUCCESS || !toPageable) return status;
  return finish(use.context, done);
}

CUresult fillNow(const std::shared_ptr<Context>& context, FillWork fill) {
  if (const CUresult status = forbidDuringCapture(); status != CUDA_SUCCESS) return status;
  if (const CUresult status = validateFill(fill); status != CUDA_SUCCESS) return status;
  if (fill.width == 0 || fill.height == 0) return CUDA_SUCCESS;
  const bool hostWaits = placeOf(fill.destination) != MemoryPlace::kDevice;
  CompletionPtr done;
  const CUresult status = submit(context, defaultStream(context), CU_GRAPH_NODE_TYPE_MEMSET, fill, &done);
  if (status != CUDA_SUCCESS || !hostWaits) return status;
  return finish(context, done);
}

CUresult fillLater(const StreamUse& use, FillWork fill) {
  if (const CUresult status = validateFill(fill); status != CUDA_SUCCESS) return status;
  if (fill.width == 0 || fill.height == 0) return CUDA_SUCCESS;
  return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_MEMSET, fill);
}

}  // namespace gpusim
