# SPDX-License-Identifier: Apache-2.0
# Node-API headers from the npm packages node-api-headers and node-addon-api: the same answer whoever runs CMake, and
# nothing is ever downloaded.

find_program(PAGEWARP_NODE node REQUIRED)
execute_process(
  COMMAND "${PAGEWARP_NODE}" -p "[require('node-api-headers').include_dir, require('path').resolve(require('node-addon-api').include_dir), require('node-api-headers').def_paths.node_api_def].join(';')"
  WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" OUTPUT_VARIABLE pagewarp_node_paths OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE pagewarp_node_result)
if(NOT pagewarp_node_result EQUAL 0)
  message(FATAL_ERROR "node-api-headers or node-addon-api is missing: run `npm install` first")
endif()
file(TO_CMAKE_PATH "${pagewarp_node_paths}" pagewarp_node_paths)
list(GET pagewarp_node_paths 0 1 PAGEWARP_NODE_INCLUDES)
list(GET pagewarp_node_paths 2 PAGEWARP_NODE_DEF)

function(pagewarp_node_addon target)
  target_include_directories(${target} SYSTEM PRIVATE ${PAGEWARP_NODE_INCLUDES})
  target_compile_definitions(${target} PRIVATE
    NAPI_VERSION=9 NODE_ADDON_API_CPP_EXCEPTIONS NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
  set_target_properties(${target} PROPERTIES PREFIX "" SUFFIX ".node")

  if(PAGEWARP_OUT_DIR)
    set(out "${PAGEWARP_OUT_DIR}")
  elseif(DEFINED CMAKE_JS_VERSION)
    set(out "${CMAKE_CURRENT_SOURCE_DIR}/build/$<CONFIG>")
  else()
    set(out "${CMAKE_CURRENT_BINARY_DIR}/$<CONFIG>")
  endif()
  # $<1:...> keeps multi-configuration generators from adding a second <config> folder.
  set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "$<1:${out}>")

  if(APPLE)
    target_link_options(${target} PRIVATE -undefined dynamic_lookup -Wl,-dead_strip)
  elseif(MSVC)
    # An import library for whatever executable hosts Node-API; the hook below finds it when it is not called node.exe.
    set(node_lib "${CMAKE_CURRENT_BINARY_DIR}/node.lib")
    execute_process(COMMAND "${CMAKE_AR}" "/def:${PAGEWARP_NODE_DEF}" "/out:${node_lib}" ${CMAKE_STATIC_LINKER_FLAGS}
      COMMAND_ERROR_IS_FATAL ANY)
    target_sources(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/cmake/delay_load_node.cpp")
    target_link_libraries(${target} PRIVATE "${node_lib}" delayimp)
    target_link_options(${target} PRIVATE /DELAYLOAD:NODE.EXE)
  else()
    set(exports "${CMAKE_CURRENT_SOURCE_DIR}/cmake/exports.map")
    target_link_options(${target} PRIVATE -Wl,--gc-sections -Wl,--exclude-libs,ALL "-Wl,--version-script,${exports}")
    set_target_properties(${target} PROPERTIES LINK_DEPENDS "${exports}")
  endif()
endfunction()
