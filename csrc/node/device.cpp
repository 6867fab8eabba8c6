// SPDX-License-Identifier: Apache-2.0
#include "gpu/device.h"

#include <algorithm>
#include <thread>

#include "cpu/executor.h"
#include "node/call.h"
#include "node/environment.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// A device handle: when JavaScript lets go of it, the engine finishes its queue and ends.
class DeviceObject final : public RefCounted {
 public:
  DeviceObject(Environment& environment, Ref<Device> device) : device(std::move(device)), environment_(environment) {
    environment_.adopt(Ref<Engine>(&this->device->engine()));
  }
  ~DeviceObject() override { environment_.retire(Ref<Engine>(&device->engine())); }
  const Ref<Device> device;

 private:
  Environment& environment_;
};

/// createCpuDevice(threads, isa): isa "" takes the best one.
Napi::Value createCpuDevice(const Napi::CallbackInfo& info) {
  const int threads = info[0].As<Napi::Number>().Int32Value();
  const std::string isa = info[1].As<Napi::String>().Utf8Value();
  Ref<Device> device = makeRef<cpu::CpuDevice>(threads, isa.empty() ? cpu::detectIsa() : cpu::parseIsa(isa));
  return wrapObject(info.Env(), makeRef<DeviceObject>(Environment::of(info.Env()), device));
}

/// cpuInfo(): what this processor offers.
Napi::Value cpuInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const cpu::Features features = cpu::detectFeatures();
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", cpu::cpuName());
  result.Set("isa", cpu::isaName(cpu::detectIsa()));
  result.Set("cores", std::max(1u, std::thread::hardware_concurrency()));
  result.Set("vnni", features.vnni);
  result.Set("bf16", features.bf16);
  return result;
}

/// createCudaDevice(index, memoryLimit): 0 for no limit.
Napi::Value createCudaDevice(const Napi::CallbackInfo& info) {
  const int index = info[0].As<Napi::Number>().Int32Value();
  const int64_t memoryLimit = info[1].As<Napi::Number>().Int64Value();
  Ref<Device> device = gpu::GpuDevice::open(index, memoryLimit);
  return wrapObject(info.Env(), makeRef<DeviceObject>(Environment::of(info.Env()), device));
}

/// cudaInfo(): the driver, or why there is none, and its GPUs.
Napi::Value cudaInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto reasonOrNull = [env](const std::string& reason) {
    return reason.empty() ? env.Null() : Napi::Value(Napi::String::New(env, reason));
  };
  const gpu::Driver& driver = gpu::driver();
  Napi::Object result = Napi::Object::New(env);
  result.Set("reason", reasonOrNull(driver.reason));
  result.Set("driverVersion", driver.version);
  Napi::Array devices = Napi::Array::New(env);
  for (const gpu::DeviceProperties& properties : gpu::listDevices()) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("name", properties.name);
    device.Set("reason", reasonOrNull(properties.reason));
    device.Set("capability", properties.capability);
    device.Set("multiprocessors", properties.multiprocessors);
    device.Set("memoryBytes", static_cast<double>(properties.memoryBytes));
    devices.Set(devices.Length(), device);
  }
  result.Set("devices", devices);
  return result;
}

/// cudaStatistics(device) -> { used, peak, reserved, limit, kernels, graphCaptures, graphLaunches }
Napi::Value cudaStatistics(const Napi::CallbackInfo& info) {
  const Ref<DeviceObject> object = unwrap<DeviceObject>(info[0]);
  const auto* device = dynamic_cast<const gpu::GpuDevice*>(object->device.get());
  if (!device) throw Error(PW_UNSUPPORTED, "statistics are kept for CUDA devices only");
  const gpu::MemoryStatistics memory = device->memory();
  const gpu::LaunchCounters& counters = device->counters();
  Napi::Object result = Napi::Object::New(info.Env());
  const auto set = [&result](const char* name, int64_t value) { result.Set(name, static_cast<double>(value)); };
  set("used", memory.used);
  set("peak", memory.peak);
  set("reserved", memory.reserved);
  set("limit", memory.limit);
  set("kernels", counters.kernels);
  set("graphCaptures", counters.graphCaptures);
  set("graphLaunches", counters.graphLaunches);
  return result;
}

/// deviceBytesInUse(device)
Napi::Value deviceBytesInUse(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(unwrap<DeviceObject>(info[0])->device->bytesInUse()));
}

/// createStream(device, isDefault)
Napi::Value createStream(const Napi::CallbackInfo& info) {
  Ref<DeviceObject> object = unwrap<DeviceObject>(info[0]);
  return wrapObject(info.Env(), makeRef<StreamObject>(object->device, makeRef<Stream>(info[1].ToBoolean().Value())));
}

/// createTensor(device, dtype, shape): uninitialised, contiguous.
Napi::Value createTensor(const Napi::CallbackInfo& info) {
  Ref<DeviceObject> object = unwrap<DeviceObject>(info[0]);
  pw_tensor view{};
  view.dtype = static_cast<pw_dtype>(info[1].As<Napi::Number>().Int32Value());
  const Napi::Array shape = info[2].As<Napi::Array>();
  view.rank = static_cast<int32_t>(std::min<uint32_t>(shape.Length(), PW_MAX_RANK + 1));
  int64_t elements = 1;
  for (int d = std::min(view.rank, PW_MAX_RANK) - 1; d >= 0; --d) {
    view.shape[d] = shape.Get(static_cast<uint32_t>(d)).As<Napi::Number>().Int64Value();
    view.strides[d] = elements;
    elements *= view.shape[d];
  }
  const int64_t bytes = elements * pw_dtype_size(view.dtype);
  Ref<Storage> storage = object->device->allocate(static_cast<size_t>(bytes));
  return wrapObject(info.Env(), makeRef<Tensor>(storage, view, 0), bytes);
}

/// dispose(handle), for every kind of handle.
Napi::Value dispose(const Napi::CallbackInfo& info) {
  disposeHandle(info[0]);
  return info.Env().Undefined();
}

}  // namespace

void registerDevice(Napi::Env env, Napi::Object exports) {
  exports.Set("createCpuDevice", Napi::Function::New(env, guarded<createCpuDevice>));
  exports.Set("createCudaDevice", Napi::Function::New(env, guarded<createCudaDevice>));
  exports.Set("cudaStatistics", Napi::Function::New(env, guarded<cudaStatistics>));
  exports.Set("cpuInfo", Napi::Function::New(env, guarded<cpuInfo>));
  exports.Set("cudaInfo", Napi::Function::New(env, guarded<cudaInfo>));
  exports.Set("deviceBytesInUse", Napi::Function::New(env, guarded<deviceBytesInUse>));
  exports.Set("createStream", Napi::Function::New(env, guarded<createStream>));
  exports.Set("createTensor", Napi::Function::New(env, guarded<createTensor>));
  exports.Set("dispose", Napi::Function::New(env, guarded<dispose>));
}

}  // namespace pw::node
