# Warnings, sanitizers, ccache and mold. Everything here applies to our own targets only.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers need the sloppiness settings below to be cached at all. The base directory, and a hash
  # without the working directory, let one clone use what another has compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE_PROGRAM})
endif()

find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  # Without what nobody calls, and equal functions once: an edge node is to stay small in memory.
  add_link_options(-fuse-ld=mold -Wl,--gc-sections -Wl,--as-needed)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU") # mold 1.10 crashes over clang's tables of addresses
    add_link_options(-Wl,--icf=safe)
  endif()
endif()

add_library(skerry_options INTERFACE)
target_compile_options(skerry_options INTERFACE -Wall -Wextra -Wpedantic -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # -fpch-deps is what lets ccache see through a precompiled header.
  target_compile_options(skerry_options INTERFACE -fpch-deps)
  if(SKERRY_UNITY) # each type of an unnamed namespace would be taken for a header's
    target_compile_options(skerry_options INTERFACE -Wno-subobject-linkage)
  endif()
endif()
if(SKERRY_WERROR)
  target_compile_options(skerry_options INTERFACE -Werror)
endif()
target_compile_definitions(skerry_options INTERFACE SKERRY_VERSION="${PROJECT_VERSION}")
target_include_directories(skerry_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})

if(SKERRY_SANITIZE)
  add_compile_options(-fsanitize=${SKERRY_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SKERRY_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 sees uninitialised values in its own instrumented code.
    add_compile_options(-Wno-maybe-uninitialized)
    if(SKERRY_SANITIZE MATCHES "thread")
      add_compile_options(-Wno-tsan -DBOOST_ASIO_DISABLE_FENCED_BLOCK) # ThreadSanitizer knows no fences
    endif()
  endif()
endif()
