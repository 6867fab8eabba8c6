# SPDX-License-Identifier: Apache-2.0
# Per-file instruction sets. A source is compiled for the set that its name ends in: avx2.cpp, gemm_avx512.cpp. The rest
# is compiled for the platform's baseline: which version runs is decided at run time, never by -march=native.

set(PAGEWARP_X86_SETS avx2 avx512 avx512vnni avx512amx avx512bf16)
set(PAGEWARP_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
# gcc 12 warns about uninitialised variables inside its own AVX-512 intrinsics.
set(PAGEWARP_FLAGS_avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mf16c -mbmi2
  -Wno-maybe-uninitialized -Wno-uninitialized)
set(PAGEWARP_FLAGS_avx512vnni ${PAGEWARP_FLAGS_avx512} -mavx512vnni)
set(PAGEWARP_FLAGS_avx512amx ${PAGEWARP_FLAGS_avx512vnni} -mamx-tile -mamx-int8)
set(PAGEWARP_FLAGS_avx512bf16 ${PAGEWARP_FLAGS_avx512} -mavx512bf16)
set(PAGEWARP_MSVC_avx2 /arch:AVX2)
set(PAGEWARP_MSVC_avx512 /arch:AVX512)
set(PAGEWARP_MSVC_avx512vnni /arch:AVX512)
set(PAGEWARP_MSVC_avx512bf16 /arch:AVX512)

if(APPLE AND CMAKE_OSX_ARCHITECTURES)
  set(pagewarp_processor "${CMAKE_OSX_ARCHITECTURES}")
elseif(MSVC AND CMAKE_CXX_COMPILER_ARCHITECTURE_ID)
  set(pagewarp_processor "${CMAKE_CXX_COMPILER_ARCHITECTURE_ID}")
else()
  set(pagewarp_processor "${CMAKE_SYSTEM_PROCESSOR}")
endif()
if(pagewarp_processor MATCHES "^(x86_64|AMD64|amd64|x64)$")
  set(PAGEWARP_X86 ON)
else()
  set(PAGEWARP_X86 OFF)
endif()

# AMX: permission to use its tiles is asked for in Linux's way, with compilers that know the instructions.
if(PAGEWARP_X86 AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag("-mamx-tile -mamx-int8" PAGEWARP_AMX)
  if(PAGEWARP_AMX)
    add_compile_definitions(PW_CPU_AMX)
  endif()
endif()

# How far kernels are optimised. Those of linear layers are unrolled and vectorised by hand, some hundred of them in each
# unit: gcc takes up to twice as long with -O3 for code that is no faster, where registers are many or, in the portable ones,
# arrays. With AVX2's sixteen, wide tiles are some percent faster with -O3.
function(pagewarp_optimization source result)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND source MATCHES "/csrc/cpu/linear/(avx512|portable)")
    set(${result} -O2 -fpeel-loops -fvect-cost-model=dynamic PARENT_SCOPE)
  else()
    set(${result} -O3 PARENT_SCOPE)
  endif()
endfunction()

# Sets the flags of each source in the named list, and drops from it what this platform cannot be compiled for.
function(pagewarp_select_instruction_sets list_name)
  set(kept)
  foreach(source IN LISTS ${list_name})
    get_filename_component(stem "${source}" NAME_WE)
    string(REGEX MATCH "[^_]+$" set_name "${stem}")
    pagewarp_optimization("${source}" level)
    if(set_name IN_LIST PAGEWARP_X86_SETS)
      if(NOT PAGEWARP_X86 OR (set_name STREQUAL "avx512amx" AND NOT PAGEWARP_AMX))
        continue()
      endif()
      if(MSVC)
        set(flags ${PAGEWARP_MSVC_${set_name}} /O2)
      else()
        set(flags ${PAGEWARP_FLAGS_${set_name}} ${level})
        if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
          list(REMOVE_ITEM flags -Wno-maybe-uninitialized)
        endif()
      endif()
      set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS "${flags}")
    elseif(source MATCHES "/csrc/cpu/" AND NOT MSVC)
      # Contracting a * b + c into one rounding would make results depend on the compiler and the platform.
      set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS "${level};-ffp-contract=off")
    endif()
    list(APPEND kept "${source}")
  endforeach()
  set(${list_name} ${kept} PARENT_SCOPE)
endfunction()
