# SPDX-License-Identifier: Apache-2.0
# Language, warnings, dead-code stripping and sanitizers, the same for every target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

function(pagewarp_compiler_options target)
  if(MSVC)
    target_compile_options(${target} PRIVATE /W3 /permissive- /Zc:__cplusplus /Zc:preprocessor /utf-8 /EHsc /bigobj)
    target_compile_definitions(${target} PRIVATE NOMINMAX WIN32_LEAN_AND_MEAN _CRT_SECURE_NO_WARNINGS)
    if(PAGEWARP_WERROR)
      target_compile_options(${target} PRIVATE /WX)
    endif()
    return()
  endif()

  target_compile_options(${target} PRIVATE -Wall -Wextra -ffunction-sections -fdata-sections)
  if(PAGEWARP_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(PAGEWARP_SANITIZE)
    target_compile_options(${target} PRIVATE
      -fsanitize=${PAGEWARP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
    target_link_options(${target} PUBLIC -fsanitize=${PAGEWARP_SANITIZE})
  endif()
endfunction()
