// SPDX-License-Identifier: Apache-2.0
// Kernels for gpu_test.cpp, as PTX: nothing has to be compiled for them, and the table takes the place of the one that
// cmake/DeviceCode.cmake generates.
#include <cstddef>

#include "gpu/embedded_modules.h"

namespace {

const char kGood[] = R"(
.version 7.0
.target sm_80
.address_size 64

.visible .entry pw_test_store(.param .align 8 .b8 params[16]) {
  .reg .pred %p;
  .reg .b32 %r<6>;
  .reg .b64 %d<3>;
  ld.param.u64 %d0, [params];
  ld.param.u32 %r0, [params+8];
  ld.param.u32 %r1, [params+12];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %tid.x;
  shl.b32 %r2, %r2, 5;
  add.u32 %r2, %r2, %r3;
  setp.ge.u32 %p, %r2, %r1;
  @%p ret;
  mul.wide.u32 %d1, %r2, 4;
  add.u64 %d0, %d0, %d1;
  st.global.u32 [%d0], %r0;
  ret;
}

.visible .entry pw_test_double(.param .align 8 .b8 params[24]) {
  .reg .pred %p;
  .reg .b32 %r<4>;
  .reg .b64 %d<5>;
  ld.param.u64 %d0, [params];
  ld.param.u64 %d1, [params+8];
  ld.param.u64 %d2, [params+16];
  ld.global.u32 %r0, [%d0];
  mov.u32 %r1, %ctaid.x;
  setp.ge.u32 %p, %r1, %r0;
  @%p ret;
  mul.wide.u32 %d3, %r1, 4;
  add.u64 %d1, %d1, %d3;
  add.u64 %d2, %d2, %d3;
  ld.global.u32 %r2, [%d1];
  shl.b32 %r2, %r2, 1;
  st.global.u32 [%d2], %r2;
  ret;
}

.visible .entry pw_test_report(.param .align 8 .b8 params[24]) {
  .reg .pred %p;
  .reg .b32 %r<4>;
  .reg .b64 %d<3>;
  ld.param.u64 %d0, [params];
  ld.param.u32 %r0, [params+8];
  ld.param.u32 %r1, [params+12];
  ld.param.u64 %d1, [params+16];
  atom.global.cas.b32 %r2, [%d0], 0, %r0;
  setp.ne.u32 %p, %r2, 0;
  @%p ret;
  st.global.u32 [%d0+4], %r1;
  st.global.u64 [%d0+8], %d1;
  ret;
}

.visible .entry pw_test_wait(.param .align 8 .b8 params[8]) {
  .reg .pred %p;
  .reg .b32 %r<1>;
  .reg .b64 %d<1>;
  ld.param.u64 %d0, [params];
again:
  ld.volatile.global.u32 %r0, [%d0];
  setp.eq.u32 %p, %r0, 0;
  @%p bra again;
  ret;
}
)";

const char kFaulty[] = R"(
.version 7.0
.target sm_80
.address_size 64

.visible .entry pw_test_fault(.param .align 8 .b8 params[8]) {
  .reg .b64 %d<2>;
  ld.param.u64 %d0, [params];
  st.global.u64 [%d0], %d0;
  ret;
}
)";

const char kBroken[] = ".version 7.0\n.target sm_80\n.address_size 64\nthis is no PTX\n";

template <size_t n>
constexpr pw::gpu::EmbeddedModule module(const char* name, const char (&text)[n]) {
  return {name, reinterpret_cast<const unsigned char*>(text), reinterpret_cast<const unsigned char*>(text) + n};
}

}  // namespace

namespace pw::gpu {

const EmbeddedModule kEmbeddedModules[] = {
    module("test/good", kGood),
    module("test/faulty", kFaulty),
    module("test/broken", kBroken),
    {nullptr, nullptr, nullptr},
};
const int kEmbeddedToolkitVersion = 11000;

}  // namespace pw::gpu
