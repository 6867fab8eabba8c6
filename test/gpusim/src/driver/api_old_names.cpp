// SPDX-License-Identifier: Apache-2.0
// First versions of functions whose second version has the same signature; headers since CUDA 4 name the second.
#include "api.h"

CUresult cuCtxDestroy(CUcontext ctx) { return cuCtxDestroy_v2(ctx); }
CUresult cuCtxPopCurrent(CUcontext* pctx) { return cuCtxPopCurrent_v2(pctx); }
CUresult cuCtxPushCurrent(CUcontext ctx) { return cuCtxPushCurrent_v2(ctx); }
CUresult cuEventDestroy(CUevent hEvent) { return cuEventDestroy_v2(hEvent); }
CUresult cuStreamDestroy(CUstream hStream) { return cuStreamDestroy_v2(hStream); }
