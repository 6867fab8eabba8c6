// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

#include <functional>
#include <mutex>
#include <vector>

#include "core/device.h"

namespace pw::node {

/// State of one JavaScript environment (the main thread or a worker): its engines, and the way back from their threads.
///
/// Shutdown order is what keeps worker.terminate() and process.exit() safe: environment clean-up hooks run last in,
/// first out, and ours is added after the thread-safe function was made, so every engine thread is joined before that
/// function goes away. Nothing is ever detached.
class Environment {
 public:
  /// The environment's state, created on first use.
  static Environment& of(Napi::Env env);

  explicit Environment(Napi::Env env);
  ~Environment();

  /// From any thread: runs `task` on the JavaScript thread, soon. Dropped when the environment is going away.
  void post(std::function<void(Napi::Env)> task);

  /// JavaScript thread only: while at least one promise is open the process stays alive.
  void promiseOpened();
  void promiseSettled();

  /// Joins the engine when the environment ends, or when it has ended by itself after close.
  void adopt(Ref<Engine> engine);
  /// Lets the engine finish its queue in the background and joins it then.
  void retire(Ref<Engine> engine);

 private:
  static void callJs(napi_env env, napi_value, void* context, void*);
  static void cleanup(void* self);
  void drain(Napi::Env env);
  void forget(Engine* engine);

  napi_env env_;
  napi_threadsafe_function wake_ = nullptr;
  int openPromises_ = 0;
  std::vector<Ref<Engine>> engines_;
  std::mutex mutex_;
  std::vector<std::function<void(Napi::Env)>> tasks_;
  bool closed_ = false;
};

}  // namespace pw::node
