#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

// ThreadSanitizer does not see into libzmq, libsodium, libcaf and libspdlog, which are not instrumented: it takes
// what their own queues and guards order for races. What is reported is what happens between threads in our
// code.

#if defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libzmq.so\n"
         "race:libzmq.so\n"
         "called_from_lib:libsodium.so\n"
         "called_from_lib:libspdlog.so\n"
         "race:libspdlog.so\n"
         "race:spdlog::\n";
}
#endif
