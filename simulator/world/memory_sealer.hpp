#pragma once

// Sealing on the simulated disk: logs of a few frames become partitions, step by step, by a clock that is another one in
// each life of the process. Which partition takes a frame, and what an attempt before has done, is decided by the code of
// cloud/store; where frames lie is checked at each step. Single-threaded.

#include "actors/base/planted.hpp"
#include "cloud/store/sealer.hpp"
#include "simulator/world/oracle.hpp"
#include "simulator/world/random.hpp"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace skerry::sim {

struct sealed_frame {
  stream_key origin;
  sequence seq = 0;
  std::int64_t time_ns = 0;
  std::string site;
  std::string host;
  bool damaged = false; // its bytes are not what was written
};

// What of it is on the disk.
struct sealing_image {
  struct log {
    std::uint64_t id = 0;
    std::vector<sealed_frame> frames;
  };
  struct partition {
    std::map<std::uint64_t, std::vector<cloud::seal_plan>> plans; // by log
    std::map<std::pair<stream_key, sequence>, sealed_frame> frames;
    bool damaged = false; // some of them
  };
  std::deque<log> logs; // the last is written
  std::map<cloud::partition_id, partition> partitions;
  std::uint64_t logs_made = 0;

  void add(sealed_frame frame);
};

// Damages a part of what one partition has of one host, as a block would be. Frames.
std::size_t damage_block(sealing_image& on, seeded_random& random);

class memory_sealer {
public:
  // `on`: the disk's image, which outlives this.
  memory_sealer(sealing_image& on, scheduler& time, seeded_random random, oracle& truth,
                const clock_source& clock, planted_faults planted);
  // The process dies: of a partition's commit, the disk may have all or nothing.
  void crash(bool torn);
  // Begins to seal the oldest closed log, where there is one and none is being sealed.
  void look();

private:
  using share = std::vector<sealed_frame>;
  [[nodiscard]] std::map<cloud::partition_id, share> divide(const sealing_image::log& log) const;
  void step();
  void commit(const cloud::partition_id& id, const share& part);
  void end();

  sealing_image& on_;
  scheduler& time_;
  seeded_random random_;
  oracle& truth_;
  const clock_source& clock_;
  planted_faults planted_;
  std::int64_t clock_is_off_ns_; // in this life
  bool busy_ = false;
  bool committing_ = false;
  cloud::seal_plan plan_;
  std::map<cloud::partition_id, share> left_; // of the attempt that is under way
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace skerry::sim
