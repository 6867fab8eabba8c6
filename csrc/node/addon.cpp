// SPDX-License-Identifier: Apache-2.0
#include <napi.h>

#include "node/register.h"

namespace {

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  using namespace pw::node;
  exports.Set("napiVersion", NAPI_VERSION);
  registerDevice(env, exports);
  registerStream(env, exports);
  registerTensor(env, exports);
  registerAttentionOps(env, exports);
  registerKvCacheOps(env, exports);
  registerLinearOps(env, exports);
  registerMatrix(env, exports);
  registerQuantizer(env, exports);
  registerNormOps(env, exports);
  registerRopeOps(env, exports);
  registerActivationOps(env, exports);
  registerSampleOps(env, exports);
  registerGguf(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(pagewarp, initialize)
