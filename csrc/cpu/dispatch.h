// SPDX-License-Identifier: Apache-2.0
/// @file One kernel source, several instruction sets.
///
/// `kernel.inl` of an op is written once over the vector type of cpu/simd/vec.h and included by portable.cpp, avx2.cpp
/// and avx512.cpp, which CMake compiles with the flags of their name; each lands in the namespace of that name. An op
/// whose inner loop needs instructions of its own has separate sources with the same entry points.
///
/// Files compiled for an instruction set must not instantiate shared templates or inline functions (std::vector,
/// std::max, ...): the linker keeps one copy for everybody, which may be the one that an older CPU cannot run.
#pragma once
#include "cpu/context.h"

#if defined(__x86_64__) || defined(_M_X64)
#define PW_CPU_X86 1
#define PW_CPU_DECLARE(function, Args)  \
  namespace reference {                 \
  void function(const Args&, Context&); \
  }                                     \
  namespace portable {                  \
  void function(const Args&, Context&); \
  }                                     \
  namespace avx2 {                      \
  void function(const Args&, Context&); \
  }                                     \
  namespace avx512 {                    \
  void function(const Args&, Context&); \
  }
#define PW_CPU_DISPATCH(function, args, context) \
  switch ((context).isa()) {                     \
    case Isa::kReference:                        \
      return reference::function(args, context); \
    case Isa::kPortable:                         \
      return portable::function(args, context);  \
    case Isa::kAvx2:                             \
      return avx2::function(args, context);      \
    case Isa::kAvx512:                           \
    case Isa::kAmx:                              \
      return avx512::function(args, context);    \
  }
#else
#define PW_CPU_DECLARE(function, Args)  \
  namespace reference {                 \
  void function(const Args&, Context&); \
  }                                     \
  namespace portable {                  \
  void function(const Args&, Context&); \
  }
#define PW_CPU_DISPATCH(function, args, context) \
  return (context).isa() == Isa::kReference ? reference::function(args, context) : portable::function(args, context);
#endif
