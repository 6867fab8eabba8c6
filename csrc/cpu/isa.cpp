// SPDX-License-Identifier: Apache-2.0
#include "cpu/isa.h"

#include <cstdint>
#include <cstring>

#include "core/error.h"

#if defined(__x86_64__) || defined(_M_X64)
#define PW_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

#if defined(PW_CPU_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pw::cpu {
namespace {

#if defined(PW_X86)
struct Registers {
  uint32_t eax, ebx, ecx, edx;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r{};
#if defined(_MSC_VER)
  int out[4];
  __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
  std::memcpy(&r, out, sizeof r);
#else
  __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
#endif
  return r;
}

/// Register state that the operating system saves (XCR0): without it AVX instructions fault.
uint64_t enabledState() {
  if ((cpuid(1, 0).ecx & (1u << 27)) == 0) return 0;
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

bool bit(uint32_t word, int index) { return ((word >> index) & 1u) != 0; }

/// Whether AMX multiplies int8 tiles here: instructions (CPUID leaf 7, EDX), state that the system saves, and the
/// system's permission, which a Linux process asks for once, for all of its threads. Tiles have one palette so far, the
/// one that kernels configure.
bool amxPermitted(uint32_t features, uint64_t state) {
#if defined(PW_CPU_AMX)
  constexpr uint64_t kTileState = 0x60000;                     // XTILECFG, XTILEDATA
  constexpr int kRequestPermission = 0x1023, kTileData = 18;   // asm/prctl.h, which may be older
  if (!bit(features, 24) || !bit(features, 25)) return false;  // AMX-TILE AMX-INT8
  return (state & kTileState) == kTileState && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  static_cast<void>(features), static_cast<void>(state);
  return false;
#endif
}

Isa findIsa() {
  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6;
  const uint64_t state = enabledState();
  if (cpuid(0, 0).eax < 7) return Isa::kPortable;
  const Registers one = cpuid(1, 0), seven = cpuid(7, 0);
  const bool avx2 =
      bit(one.ecx, 12) && bit(one.ecx, 29) && bit(seven.ebx, 5) && bit(seven.ebx, 8);  // FMA F16C AVX2 BMI2
  if (!avx2 || (state & kYmm) != kYmm) return Isa::kPortable;
  const bool avx512 =
      bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) && bit(seven.ebx, 31);  // F DQ BW VL
  if (!avx512 || (state & kZmm) != kZmm) return Isa::kAvx2;
  return bit(seven.ecx, 11) && amxPermitted(seven.edx, state) ? Isa::kAmx : Isa::kAvx512;
}
#endif

}  // namespace

Isa detectIsa() {
#if defined(PW_X86)
  static const Isa isa = findIsa();
  return isa;
#else
  return Isa::kPortable;
#endif
}

Features detectFeatures() {
  Features features;
#if defined(PW_X86)
  if (detectIsa() >= Isa::kAvx512) {
    features.vnni = bit(cpuid(7, 0).ecx, 11);
    features.bf16 = bit(cpuid(7, 1).eax, 5);
  }
#endif
  return features;
}

const char* isaName(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return "reference";
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAmx:
      break;
  }
  return "amx";
}

Isa parseIsa(const std::string& name) {
  for (Isa isa : {Isa::kReference, Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAmx}) {
    if (name != isaName(isa)) continue;
    if (isa > detectIsa())
      throw Error(PW_DEVICE_UNAVAILABLE, "instruction set \"" + name + "\" was asked for, but this processor (" +
                                             cpuName() + ") offers at most \"" + isaName(detectIsa()) + "\"");
    return isa;
  }
  throw Error(PW_INVALID_ARGUMENT,
              "unknown instruction set \"" + name + "\"; expected reference, portable, avx2, avx512 or amx");
}

std::string cpuName() {
#if defined(PW_X86)
  if (cpuid(0x80000000u, 0).eax >= 0x80000004u) {
    char brand[49] = {};
    for (uint32_t i = 0; i < 3; ++i) {
      const Registers r = cpuid(0x80000002u + i, 0);
      std::memcpy(brand + 16 * i, &r, 16);
    }
    std::string name(brand);
    const size_t begin = name.find_first_not_of(' '), end = name.find_last_not_of(' ');
    if (begin != std::string::npos) return name.substr(begin, end - begin + 1);
  }
  return "x86-64";
#elif defined(__aarch64__) || defined(_M_ARM64)
  return "arm64";
#else
  return "unknown processor";
#endif
}

}  // namespace pw::cpu
