#include "edge/collect/page_reader.hpp"

namespace skerry::edge {

scrape_answer do_work(scrape_work& work) {
  scrape_answer answer;
  switch (work.what) {
  case scrape_work::kind::page:
    answer.made = work.target->process(work.response, work.time_ns, work.monotonic_ns);
    answer.spare = std::move(work.response.body);
    break;
  case scrape_work::kind::failure:
    answer.made = work.target->fail(std::move(work.why), work.time_ns, work.monotonic_ns);
    break;
  case scrape_work::kind::end: answer.made = work.target->end(work.time_ns, work.monotonic_ns); break;
  }
  answer.target = std::move(work.target);
  return answer;
}

struct page_reader_state {
  page_reader_config config;

  void read(scrape_work& work) {
    if (config.stopping->load())
      return;
    auto answer = do_work(work);
    if (work.what != scrape_work::kind::end)
      caf::anon_send(work.from, std::make_shared<scrape_answer>(std::move(answer)));
    else if (!answer.made.records.empty())
      config.inbox->put(std::move(answer.made), config.gateway);
  }
};

namespace {

page_reader_actor::behavior_type page_reader(page_reader_actor::stateful_pointer<page_reader_state> self,
                                             page_reader_config config) {
  self->state.config = std::move(config);
  return {
      [self](scrape_work_ptr& work) { self->state.read(*work); },
      [self](stop_atom) {
        self->state.config.gateway = nullptr;
        self->quit();
      },
  };
}

} // namespace

page_reader_actor spawn_page_reader(caf::actor_system& system, page_reader_config config) {
  if (!config.detached)
    return system.spawn(page_reader, std::move(config));
  return system.spawn<caf::detached>(page_reader, std::move(config));
}

} // namespace skerry::edge
