# SPDX-License-Identifier: Apache-2.0
# Warnings, dead-code stripping and sanitizers, the same for every target.

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
