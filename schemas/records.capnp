@0xb8f3b1f5a6e0c201;

# Payloads of the small record kinds (schemas/model/payload.hpp). Add fields with higher ordinals only; a reader
# takes a missing field as its default and skips what it does not know.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("skerry::wire");

struct Watermark {
  intervalNs @0 :Int64;
  kinds @1 :UInt64;       # of which it speaks: bit n is record kind n; 0: of frames alone
}

struct ClockNote {
  bootId @0 :Data;        # 16 bytes of /proc/sys/kernel/random/boot_id
  monotonicNs @1 :Int64;  # CLOCK_BOOTTIME
  offsetNs @2 :Int64;     # wall time minus monotonicNs
}

struct Tombstone {
  last @0 :UInt64;        # the record's own sequence is the first
  fromNs @1 :Int64;
  toNs @2 :Int64;
  samples @3 :UInt64;
  bytes @4 :UInt64;
  cause @5 :UInt16;       # skerry::loss_cause
}

struct NotCollected {
  fromNs @0 :Int64;
  toNs @1 :Int64;
  cause @2 :UInt16;
  detail @3 :Text;
}
