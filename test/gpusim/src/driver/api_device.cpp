// SPDX-License-Identifier: Apache-2.0
// Devices: properties and primary contexts.
#include <cstdio>
#include <cstring>

#include "api.h"
#include "device_attributes.h"
#include "pool.h"

using namespace gpusim;

namespace {

constexpr int kPciDomain = 0;
constexpr int kPciDevice = 0;
constexpr int pciBus(const Device& device) { return device.ordinal + 1; }

std::shared_ptr<Context> primaryOf(Device& device) {
  std::lock_guard lock(device.mutex);
  return device.primary;
}

}  // namespace

CUresult cuDeviceGetCount(int* count) {
  return initialised([&] {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(devices().size());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return onDevice(ordinal, [&](Device&) {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char* name, int len, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!name || len <= 0) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(name, static_cast<size_t>(len), "%s", device.description.model.name.c_str());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!uuid) return CUDA_ERROR_INVALID_VALUE;
    std::memset(uuid->bytes, 0, sizeof uuid->bytes);
    std::memcpy(uuid->bytes, "gpusim", 6);
    uuid->bytes[15] = static_cast<char>(device.ordinal + 1);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice dev) { return cuDeviceGetUuid_v2(uuid, dev); }

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    *bytes = device.description.model.memoryBytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* pi, CUdevice_attribute attrib, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!pi) return CUDA_ERROR_INVALID_VALUE;
    switch (attrib) {
      case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
        *pi = pciBus(device);
        return CUDA_SUCCESS;
      case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
        *pi = kPciDevice;
        return CUDA_SUCCESS;
      case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
        *pi = kPciDomain;
        return CUDA_SUCCESS;
      default:
        return deviceAttribute(device.description, attrib, *pi) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CUresult cuDeviceGetProperties(CUdevprop* prop, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!prop) return CUDA_ERROR_INVALID_VALUE;
    const auto get = [&](CUdevice_attribute which) {
      int value = 0;
      deviceAttribute(device.description, which, value);
      return value;
    };
    *prop = {get(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
             {get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X), get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y),
              get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)},
             {get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X), get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y),
              get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)},
             get(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK),
             get(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY),
             get(CU_DEVICE_ATTRIBUTE_WARP_SIZE),
             get(CU_DEVICE_ATTRIBUTE_MAX_PITCH),
             get(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK),
             get(CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
             get(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT)};
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!major || !minor) return CUDA_ERROR_INVALID_VALUE;
    *major = device.description.model.computeMajor;
    *minor = device.description.model.computeMinor;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetPCIBusId(char* pciBusId, int len, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!pciBusId || len < 13) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(pciBusId, static_cast<size_t>(len), "%04x:%02x:%02x.0", kPciDomain, pciBus(device), kPciDevice);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetByPCIBusId(CUdevice* dev, const char* pciBusId) {
  return initialised([&] {
    if (!dev || !pciBusId) return CUDA_ERROR_INVALID_VALUE;
    unsigned domain = 0, bus = 0, slot = 0;
    if (std::sscanf(pciBusId, "%x:%x:%x", &domain, &bus, &slot) != 3) return CUDA_ERROR_INVALID_VALUE;
    if (domain != kPciDomain || slot != kPciDevice || !deviceByOrdinal(static_cast<int>(bus) - 1))
      return CUDA_ERROR_INVALID_DEVICE;
    *dev = static_cast<int>(bus) - 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceCanAccessPeer(int* canAccessPeer, CUdevice dev, CUdevice peerDev) {
  return onDevice(dev, [&](Device&) {
    if (!canAccessPeer) return CUDA_ERROR_INVALID_VALUE;
    if (!deviceByOrdinal(peerDev)) return CUDA_ERROR_INVALID_DEVICE;
    *canAccessPeer = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attrib, CUdevice srcDevice, CUdevice dstDevice) {
  return onDevice(srcDevice, [&](Device&) {
    if (!deviceByOrdinal(dstDevice)) return CUDA_ERROR_INVALID_DEVICE;
    if (!value || srcDevice == dstDevice || attrib < CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK ||
        attrib > CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED)
      return CUDA_ERROR_INVALID_VALUE;
    *value = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* pctx, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!pctx) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult fault = processFault(); fault != CUDA_SUCCESS) return fault;
    std::lock_guard lock(device.mutex);
    if (!device.primary) {
      device.primary = std::make_shared<Context>(device, device.primaryFlags, true);
      handles<Context>().add(device.primary);
    }
    device.primary->setAlive(true);
    ++device.primaryUsers;
    *pctx = asHandle<CUcontext>(device.primary.get());
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    {
      std::lock_guard lock(device.mutex);
      if (device.primaryUsers == 0) return CUDA_ERROR_INVALID_CONTEXT;
      if (--device.primaryUsers > 0) return CUDA_SUCCESS;
    }
    const auto primary = primaryOf(device);
    primary->clear("the primary context was released");
    primary->setAlive(false);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (const auto primary = primaryOf(device)) primary->clear("the primary context was reset");
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags) {
  return onDevice(dev, [&](Device& device) {
    if (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard lock(device.mutex);
    device.primaryFlags = flags;
    if (device.primary) device.primary->flags = flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int* flags, int* active) {
  return onDevice(dev, [&](Device& device) {
    if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard lock(device.mutex);
    *flags = device.primaryFlags;
    *active = device.primaryUsers > 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool_out, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!pool_out) return CUDA_ERROR_INVALID_VALUE;
    *pool_out = asHandle<CUmemoryPool>(defaultPool(device).get());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    *pool = asHandle<CUmemoryPool>(currentPool(device).get());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool) {
  return onDevice(dev, [&](Device& device) {
    const auto chosen = fromHandle<MemoryPool>(pool);
    if (!chosen || &chosen->device != &device) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard lock(device.mutex);
    device.currentPool = chosen;
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease(CUdevice dev) { return cuDevicePrimaryCtxRelease_v2(dev); }
CUresult cuDevicePrimaryCtxReset(CUdevice dev) { return cuDevicePrimaryCtxReset_v2(dev); }
CUresult cuDevicePrimaryCtxSetFlags(CUdevice dev, unsigned int flags) {
  return cuDevicePrimaryCtxSetFlags_v2(dev, flags);
}
