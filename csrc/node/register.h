// SPDX-License-Identifier: Apache-2.0
/// @file One registration function per op group; each adds its functions to the addon's exports.
#pragma once
#include <napi.h>

namespace pw::node {

void registerDevice(Napi::Env env, Napi::Object exports);
void registerStream(Napi::Env env, Napi::Object exports);
void registerTensor(Napi::Env env, Napi::Object exports);
void registerAttentionOps(Napi::Env env, Napi::Object exports);
void registerKvCacheOps(Napi::Env env, Napi::Object exports);
void registerLinearOps(Napi::Env env, Napi::Object exports);
void registerMatrix(Napi::Env env, Napi::Object exports);
void registerQuantizer(Napi::Env env, Napi::Object exports);
void registerNormOps(Napi::Env env, Napi::Object exports);
void registerRopeOps(Napi::Env env, Napi::Object exports);
void registerActivationOps(Napi::Env env, Napi::Object exports);
void registerSampleOps(Napi::Env env, Napi::Object exports);
void registerGguf(Napi::Env env, Napi::Object exports);

}  // namespace pw::node
