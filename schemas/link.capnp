@0xd1c9a4e1f27b3302;

# What crosses a link between an edge or gateway (DEALER) and the node above it (ROUTER). One message is one ZeroMQ
# message: part 1 holds a Message; Batch and Sets carry raw bytes in the parts after it, so that they are copied once.
#
# Compatibility: fields and message kinds are only added, with higher ordinals; what a peer does not know it skips.
# `protocol` is raised only when a peer that does not know the change would do harm; both sides then speak the lower
# of the two numbers, and refuse with Bye{version} below `protocolMin`.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("skerry::wire");

struct Message {
  session @0 :UInt64;     # 0 before Welcome; messages of another session are dropped
  union {
    hello @1 :Hello;
    welcome @2 :Welcome;
    batch @3 :Batch;
    ack @4 :Ack;
    need @5 :Need;
    sets @6 :Sets;
    credit @7 :Credit;
    config @8 :Config;
    redirect @9 :Redirect;
    join @10 :Join;
    joined @11 :Joined;
    bye @12 :Bye;
    ping @13 :Ping;
    pong @14 :Ping;
    origins @15 :Origins;
    originState @16 :OriginState;
    refusal @17 :Refusal;
    originLinks @18 :OriginLinks;
  }
}

struct EpochId {
  bootCounter @0 :UInt64;
  random @1 :Data;        # 16 bytes
}

struct Range {
  first @0 :UInt64;
  last @1 :UInt64;        # inclusive
}

struct StreamKey {
  edge @0 :UInt64;
  epoch @1 :EpochId;
  stream @2 :UInt8;
}

# Of one stream that the sender of Hello holds or held.
struct StreamState {
  key @0 :StreamKey;
  held @1 :List(Range);      # in the spool, not yet released
  released @2 :List(Range);  # deleted after the receiver's ack: the receiver must have these
  last @3 :UInt64;           # the newest sequence that was ever committed
  closed @4 :Bool;           # an older epoch: `last` is its end
  lastDigest @5 :UInt64;     # checksum of record `last`, 0 when it is no longer held
  kept @6 :List(Range);      # of `released`: not deleted yet, and can be sent again where Welcome.again asks for it
}

struct Hello {
  protocol @0 :UInt16;
  protocolMin @1 :UInt16;
  features @2 :UInt64;       # bits: 1 knows Refusal; 2 keeps records of kinds that it does not know, and passes them on;
                             # 4 tells levels of acks apart
  edge @3 :UInt64;
  instance @4 :Data;         # 16 random bytes, new with each process start
  streams @5 :List(StreamState);
  wallNs @6 :Int64;
  monotonicNs @7 :Int64;
  software @8 :Text;         # "skerry-edge 0.1.0"
  receiver @9 :Data;         # the incarnation of the receiver that acknowledged last; empty: none yet
  current @10 :EpochId;      # the epoch that is being written
  pingIntervalNs @11 :Int64; # silent for longer than twice of it, the sender is not there; 0: it does not say
  kinds @12 :UInt64;         # that it knows: bit n is record kind n; 0: it does not say
}

struct Welcome {
  protocol @0 :UInt16;
  features @1 :UInt64;           # as in Hello
  durable @2 :List(StreamHeld);  # what need not be sent again
  creditBytes @3 :UInt64;        # how many bytes of batches may be unacknowledged
  configVersion @4 :UInt64;
  serverTimeNs @5 :Int64;
  incarnation @6 :Data;          # 16 random bytes, kept by the receiver's store
  lostCustody @7 :List(StreamHeld);  # released by the sender, yet not here: written as lost
  batchBytesMax @8 :UInt32;
  refusedEdges @9 :List(UInt64); # that Hello names and that the sender may not speak for: nothing of them is taken
  again @10 :List(StreamHeld);   # of what Hello says is kept: not here, to be sent again as backlog
  kinds @11 :UInt64;             # as in Hello
  notSafe @12 :List(StreamHeld); # of `durable`: to be kept, for it may be taken back
}

struct StreamHeld {
  key @0 :StreamKey;
  ranges @1 :List(Range);
}

enum Lane {
  live @0;
  backlog @1;
  alert @2;
}

# Part 2: one run (docs/formats.md).
struct Batch {
  number @0 :UInt64;       # ascending within the session, from 1; for diagnosis
  lane @1 :Lane;
  pendingRecords @2 :UInt64; # to come, this batch included: committed, not acknowledged, not refused for good
  quota @3 :UInt16;          # how far the sender's quota is used up: 0 open … 4 exhausted
  linkBytesToday @4 :UInt64; # at the IP level, both directions, since midnight UTC
}

# To a side without feature 4, and from one, `durable` is all that there is: it is safe as well.
enum AckLevel {
  durable @0;              # on stable storage in one place: not to be sent again in this session, nor to be deleted
  safe @1;                 # durable, and for good: the sender may delete it
}

struct Ack {
  level @0 :AckLevel;
  ranges @1 :List(StreamHeld);
  freedBytes @2 :UInt64;   # of credit, by this ack
}

# The receiver lacks these sets. Batches that name them are kept back until they arrive, and count against credit.
struct Need {
  edge @0 :UInt64;
  sets @1 :List(Data);     # 16 bytes each
}

# Parts 2 and on: one set each, zstd-compressed, in the order of `sets`.
struct Sets {
  edge @0 :UInt64;
  sets @1 :List(Data);
  missing @2 :List(Data);  # asked for, and not here: the batch that names it can't be kept
}

struct Credit {
  bytes @0 :UInt64;        # replaces what Welcome gave
}

struct Config {
  version @0 :UInt64;
  document @1 :Data;
}

struct Redirect {
  owner @0 :Text;
  reserved @1 :Data;
}

struct Join {
  publicKey @0 :Data;      # 32 bytes, CURVE
  software @1 :Text;
  edge @2 :UInt64;         # who the sender is already; 0: nobody yet. An invite for another edge is then refused
}

struct Joined {
  edge @0 :UInt64;
  site @1 :Text;
}

struct Bye {
  enum Reason {
    stopping @0;           # reconnect later
    revoked @1;
    duplicate @2;          # another live node uses this key
    superseded @3;         # the session has ended: a newer one took over, or it is to say Hello again
    version @4;
    protocolError @5;
    expired @6;            # the token of a join
  }
  reason @0 :Reason;
  message @1 :Text;
}

struct Ping {
  wallNs @0 :Int64;
  monotonicNs @1 :Int64;
  quota @2 :UInt16;          # as in Batch; 0 in a Pong
  linkBytesToday @3 :UInt64;
}

# The edges further out for which the sender asks to speak. One that belongs to another key is answered with Refusal.
struct Origins {
  edges @0 :List(UInt64);
}

# What an edge further out last said of its epochs in a Hello to the sender. Without it a receiver does not know how far
# the older epochs of that edge reach, and calls nothing of it complete.
struct OriginState {
  edge @0 :UInt64;
  current @1 :EpochId;
  closed @2 :List(StreamEnd);
}

struct StreamEnd {
  key @0 :StreamKey;
  last @1 :UInt64;
}

# Something of what was sent is not taken, and the session goes on. The sender keeps it, sends nothing more of the scope,
# and tries one record of it after a while. Only to a sender that knows it (Hello.features); another one gets a Bye.
struct Refusal {
  enum Reason {
    notNow @0;             # it can't be stored at the moment
    forbidden @1;          # this key may not speak for the edge
    malformed @2;          # it does not decode
    overLimit @3;          # it is beyond a bound
  }
  enum Scope {
    batch @0;              # these records
    stream @1;
    edge @2;
    everything @3;
  }
  key @0 :StreamKey;       # for the scope `edge` only its edge may be given
  batch @1 :Range;         # what was not taken; 0 to 0: nothing came yet
  scope @2 :Scope;
  reason @3 :Reason;
  message @4 :Text;
}

# How the edges further out stand with the sender: those that changed since it last said so in this session. An entry
# replaces the one before it. A receiver that does not know this kind skips it.
struct OriginLinks {
  links @0 :List(OriginLink);
}

struct OriginLink {
  edge @0 :UInt64;
  state @1 :UInt16;        # 0 never heard of, 1 connected, 2 stopped, 3 unreachable, 4 quota, 5 refused, 6 revoked, 7 duplicate
  sinceNs @2 :Int64;       # by the sender's clock
  heardNs @3 :Int64;       # when it was last heard; 0: never
  cause @4 :Text;          # in words, where the state alone does not say it; 256 bytes at most
}
