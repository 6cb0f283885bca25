# skerry_library(NAME SOURCES … DEPS … [PRIVATE_DEPS …]): a static library of the tree.
function(skerry_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE skerry_options ${ARG_PRIVATE_DEPS})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${SKERRY_UNITY})
endfunction()

add_custom_target(logic_tests) # what CI builds and runs under sanitizers
add_custom_target(other_tests) # and without them: tests that are no logic
# What users run, and what end-to-end tests and tests/bench/bounds start besides.
add_custom_target(programs DEPENDS skerry-edge skerry-cloud skerry skerry-sim)

# skerry_test(NAME SOURCES … DEPS … [LABELS …]): one Catch2 program, one ctest entry.
# Labels: "fast" (the default) runs in every `tests/run --fast`; "logic" also runs under sanitizers in CI.
function(skerry_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS fast logic)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE skerry_options skerry_test_main Boost::headers fmt::fmt spdlog::spdlog ${ARG_DEPS})
  target_precompile_headers(${name} REUSE_FROM skerry_test_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  if("logic" IN_LIST ARG_LABELS)
    add_dependencies(logic_tests ${name})
  else()
    add_dependencies(other_tests ${name})
  endif()
endfunction()
