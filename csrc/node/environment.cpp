// SPDX-License-Identifier: Apache-2.0
#include "node/environment.h"

#include <algorithm>

#include "core/error.h"

namespace pw::node {

Environment& Environment::of(Napi::Env env) {
  auto* state = env.GetInstanceData<Environment>();
  if (!state) {
    state = new Environment(env);
    env.SetInstanceData(state);
  }
  return *state;
}

Environment::Environment(Napi::Env env) : env_(env) {
  Napi::String name = Napi::String::New(env, "pagewarp");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, &Environment::callJs,
                                      &wake_) != napi_ok)
    throw Error(PW_INTERNAL, "could not create the completion queue");
  napi_unref_threadsafe_function(env, wake_);
  napi_add_env_cleanup_hook(env, &Environment::cleanup, this);
}

Environment::~Environment() = default;

void Environment::cleanup(void* self) {
  auto* state = static_cast<Environment*>(self);
  for (const Ref<Engine>& engine : state->engines_) engine->cancel();
  for (const Ref<Engine>& engine : state->engines_) engine->join();
  state->engines_.clear();
  std::lock_guard<std::mutex> lock(state->mutex_);
  state->closed_ = true;
  state->tasks_.clear();
}

void Environment::post(std::function<void(Napi::Env)> task) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  tasks_.push_back(std::move(task));
  if (tasks_.size() == 1) napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
}

void Environment::callJs(napi_env env, napi_value, void* context, void*) {
  if (env) static_cast<Environment*>(context)->drain(env);
}

void Environment::drain(Napi::Env env) {
  std::vector<std::function<void(Napi::Env)>> tasks;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    tasks.swap(tasks_);
  }
  for (auto& task : tasks) {
    Napi::HandleScope scope(env);
    try {
      task(env);
    } catch (const Napi::Error&) {
      // Settling a promise fails only while the environment is being torn down.
    }
  }
}

void Environment::promiseOpened() {
  if (openPromises_++ == 0) napi_ref_threadsafe_function(env_, wake_);
}

void Environment::promiseSettled() {
  if (--openPromises_ == 0) napi_unref_threadsafe_function(env_, wake_);
}

void Environment::adopt(Ref<Engine> engine) { engines_.push_back(std::move(engine)); }

void Environment::retire(Ref<Engine> engine) {
  Engine* retired = engine.get();
  retired->close([this, retired] { post([this, retired](Napi::Env) { forget(retired); }); });
}

void Environment::forget(Engine* engine) {
  engine->join();
  const auto same = [engine](const Ref<Engine>& other) { return other.get() == engine; };
  engines_.erase(std::remove_if(engines_.begin(), engines_.end(), same), engines_.end());
}

}  // namespace pw::node
