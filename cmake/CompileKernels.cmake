# SPDX-License-Identifier: Apache-2.0
# cmake -DNVCC=... -DPTXAS=... -DFATBINARY=... -DSOURCE_DIR=<tree> -DNAME=<module> -DARCHITECTURES=80,90 -DPTX=80,120
#   -DCOMPRESS=<option> -DOUTPUT=<fatbin> -P CompileKernels.cmake
#
# cuda/<module>.cu becomes PTX, the first of it machine code for each of the architectures, and all of these one fatbin. What
# the tools say (ptxas -v: the registers, spills and shared memory of each kernel) is kept in <fatbin>.log.
#
# nvcc alone could do all that. But PTX keeps the lines of its source, which simulators name, and given these ptxas adds to
# the machine code line tables and a second copy of the PTX: two thirds of a release. So it is given PTX without them.
cmake_policy(SET CMP0007 NEW)
set(said "")

function(run)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    file(REMOVE "${OUTPUT}")
    message(FATAL_ERROR "${output}")
  endif()
  set(said "${said}${output}" PARENT_SCOPE)
endfunction()

get_filename_component(folder "${OUTPUT}" DIRECTORY)
file(MAKE_DIRECTORY "${folder}")
string(REPLACE "," ";" ARCHITECTURES "${ARCHITECTURES}")
string(REPLACE "," ";" PTX "${PTX}")
list(GET PTX 0 lowest)
set(images)

foreach(arch IN LISTS PTX)
  set(ptx "${OUTPUT}.${arch}.ptx")
  run("${NVCC}" -ptx "-arch=compute_${arch}" -m64 -O3 -std=c++17 -lineinfo
    -I "${SOURCE_DIR}/cuda" -I "${SOURCE_DIR}/csrc/include"
    -MD -MF "${OUTPUT}.d" -MT "${OUTPUT}" -o "${ptx}" "${SOURCE_DIR}/cuda/${NAME}.cu")
  file(READ "${ptx}" text)
  string(REPLACE "\"${SOURCE_DIR}/" "\"" text "${text}")  # a release does not say where it was built
  file(WRITE "${ptx}" "${text}")
  list(APPEND images "--image3=kind=ptx,sm=${arch},file=${ptx}")
  if(arch EQUAL lowest)
    string(REGEX REPLACE "\n[\t ]*\\.(loc|file)[\t ][^\n]*" "" text "${text}")
    set(plain "${OUTPUT}.plain.ptx")
    file(WRITE "${plain}" "${text}")
  endif()
endforeach()

set(temporary "${plain}")
foreach(arch IN LISTS ARCHITECTURES)
  set(cubin "${OUTPUT}.${arch}.cubin")
  run("${PTXAS}" -m64 -v "-arch=sm_${arch}" -o "${cubin}" "${plain}")
  list(APPEND images "--image3=kind=elf,sm=${arch},file=${cubin}")
  list(APPEND temporary "${cubin}")
endforeach()
foreach(arch IN LISTS PTX)
  list(APPEND temporary "${OUTPUT}.${arch}.ptx")
endforeach()

run("${FATBINARY}" -64 ${COMPRESS} "--create=${OUTPUT}" ${images})
file(REMOVE ${temporary})
file(WRITE "${OUTPUT}.log" "${said}")
string(REGEX MATCHALL "[^\n]*warning[^\n]*" warnings "${said}")
foreach(warning IN LISTS warnings)
  message("${warning}")
endforeach()
