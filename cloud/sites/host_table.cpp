#include "cloud/sites/host_table.hpp"

#include "schemas/bytes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace skerry::cloud {

namespace {

constexpr std::size_t hosts_at_once = 512;           // that a reader copies before the writer has its turn
constexpr std::size_t open_watermarks_max = 100'000; // a stream; beyond, every other one is forgotten
constexpr std::int64_t set_idle_ns =
    300'000'000'000; // a series set that is silent this long no longer counts
constexpr std::int64_t sweep_interval_ns = 30'000'000'000;
constexpr std::string_view tenant_prefix = "host/0/"; // of tenant 0

// An edge that tells of others so much later than of a host goes on without it.
constexpr std::int64_t gone_on_ns = 900'000'000'000;

template <class All>
auto find_speaker(All& all, edge_id edge) {
  return std::lower_bound(all.begin(), all.end(), edge,
                          [](const auto& one, edge_id e) { return one.what.edge < e; });
}

std::string state_key(const std::string& site, const std::string& host) {
  return fmt::format("{}{:016x}", tenant_prefix,
                     static_cast<std::uint64_t>(make_host_id(tenant_default, site, host)));
}

} // namespace

host_table::host_entry& host_table::entry(const std::string& site, std::string_view host) {
  auto& found = hosts_[{site, std::string{host}}];
  if (found.view.site.empty()) {
    found.view.site = site;
    found.view.host = host;
  }
  return found;
}

host_table::spoken& host_table::speaker(host_entry& of, edge_id edge) {
  const auto at = find_speaker(of.by_edge, edge);
  if (at != of.by_edge.end() && at->what.edge == edge)
    return *at;
  if (!of.by_edge.empty() && planted(planted_, planted_fault::statements_merged))
    return of.by_edge.front();
  places_->keep(of.view.site, of.view.host, edge);
  spoken fresh;
  fresh.what.edge = edge;
  return *of.by_edge.insert(at, fresh);
}

void host_table::begin_at(host_entry& of, spoken& by, std::int64_t seen_ns) {
  auto& first_ns = by.what.first_sample_ns;
  if (first_ns != 0 && first_ns <= seen_ns)
    return;
  first_ns = seen_ns;
  of.changed = true;
}

void host_table::count(host_entry& of, set_view& set, std::int64_t now_ns) {
  const auto heard = [now_ns](std::int64_t at_ns) { return at_ns > now_ns - set_idle_ns; };
  const auto before = set.counted;
  set.counted = heard(set.parts_ns) ? set.all : heard(set.whole_ns) ? set.series : 0;
  of.view.series += set.counted;
  of.view.series -= before;
}

void host_table::sweep(host_entry& of, std::int64_t now_ns) {
  of.swept_ns = now_ns;
  for (auto it = of.sets.begin(); it != of.sets.end();) {
    count(of, it->second, now_ns);
    it = it->second.counted == 0 ? of.sets.erase(it) : std::next(it);
  }
}

void host_table::apply(const committed_effects& what) {
  const std::lock_guard lock{mutex_};
  host_entry* last = nullptr; // records of one host often follow each other
  const auto of = [&](const record_view& record) -> host_entry& {
    if (last == nullptr || last->view.host != record.host)
      last = &entry(what.site, record.host);
    return *last;
  };
  for (const auto& frame : what.frames) {
    auto seen = frame.seen;
    seen.sets = what.sets_of(frame);
    take(of(frame.record), seen);
  }
  for (const auto& mark : what.watermarks)
    take(of(mark), what.origin, mark.seq, mark.time_ns);
}

void host_table::apply(const stream_news_list& news) {
  const std::lock_guard lock{mutex_};
  for (const auto& one : news)
    switch (one.what) {
    case stream_news::kind::held: held(one.key, one.through, one.older_complete); break;
    case stream_news::kind::disowned: {
      auto& stream = open_[one.key];
      stream.waiting.clear();
      stream.disowned = true;
      break;
    }
    case stream_news::kind::over: open_.erase(one.key); break;
    }
}

void host_table::on_frame(const std::string& site, std::string_view host, const frame_seen& frame) {
  const std::lock_guard lock{mutex_};
  take(entry(site, host), frame);
}

void host_table::on_watermark(const std::string& site, std::string_view host, const stream_key& key,
                              sequence seq, std::int64_t time_ns) {
  const std::lock_guard lock{mutex_};
  take(entry(site, host), key, seq, time_ns);
}

void host_table::on_held(const stream_key& key, sequence through, bool older_epochs_complete) {
  apply({{key, stream_news::kind::held, through, older_epochs_complete}});
}

void host_table::disown(const stream_key& key) { apply({{key, stream_news::kind::disowned}}); }

void host_table::let_go(const stream_key& key) { apply({{key, stream_news::kind::over}}); }

void host_table::take(host_entry& to, const frame_seen& frame) {
  auto& by = speaker(to, frame.edge);
  for (const auto& set : frame.sets) {
    to.view.samples += set.series;
    by.samples += set.series;
  }
  if (frame.edge != edge_pushed
      || to.view.edge == edge_id::none) // what an edge loses concerns the host all the same
    to.view.edge = frame.edge;
  by.seen_ns = std::max(by.seen_ns, frame.seen_ns != 0 ? frame.seen_ns : frame.time_ns);
  if (frame.seen_ns != 0) {
    begin_at(to, by, frame.seen_ns);
    to.view.last_sample_ns = std::max(to.view.last_sample_ns, frame.seen_ns);
  }
  if (to.sets.empty())
    to.view.series = 0; // of before a restart
  const auto now_ns = to.view.last_sample_ns;
  const auto seen_ns = frame.seen_ns != 0 ? frame.seen_ns : now_ns;
  for (const auto& set : frame.sets) {
    auto& known = to.sets[set.name];
    if (seen_ns < std::max(known.whole_ns, known.parts_ns))
      continue; // backlog
    known.all = set.all;
    if (frame.whole) {
      known.series = set.series;
      known.whole_ns = seen_ns;
    } else {
      known.parts_ns = seen_ns;
    }
    count(to, known, now_ns);
  }
  if (now_ns - to.swept_ns >= sweep_interval_ns)
    sweep(to, now_ns);
}

void host_table::take(host_entry& to, const stream_key& key, sequence seq, std::int64_t time_ns) {
  auto& by = speaker(to, key.edge);
  if (to.view.edge == edge_id::none)
    to.view.edge = key.edge;
  begin_at(to, by, time_ns);
  by.seen_ns = std::max(by.seen_ns, time_ns);
  if (time_ns > by.what.live_watermark_ns) {
    auto& interval = to.view.interval_ns;
    if (const auto step = time_ns - by.what.live_watermark_ns; by.what.live_watermark_ns != 0)
      interval = interval == 0 ? step : std::min(interval, step);
    by.what.live_watermark_ns = time_ns;
    to.changed = true;
  }
  auto& newest = newest_[key.edge];
  newest = std::max(newest, time_ns);
  auto& stream = open_[key];
  const open_watermark mark{seq, &to, time_ns};
  if (stream.disowned)
    return;
  if (stream.older_complete && seq <= stream.through) {
    complete(mark, key.edge);
    return;
  }
  auto& open = stream.waiting;
  open.push_back(mark);
  if (open.size() > open_watermarks_max) {
    std::size_t i = 0;
    std::erase_if(open, [&](const auto&) { return i++ % 2 == 0 && i < open_watermarks_max; });
  }
}

void host_table::complete(const open_watermark& mark, edge_id edge) {
  auto& complete_ns = speaker(*mark.host, edge).what.complete_watermark_ns;
  if (mark.time_ns <= complete_ns)
    return;
  complete_ns = mark.time_ns;
  mark.host->changed = true;
}

void host_table::held(const stream_key& key, sequence through, bool older_epochs_complete) {
  auto& stream = open_[key];
  stream.through = through;
  stream.older_complete = older_epochs_complete;
  stream.disowned = false;
  if (!older_epochs_complete)
    return;
  std::erase_if(stream.waiting, [&](const open_watermark& w) {
    if (w.seq > through)
      return false;
    complete(w, key.edge);
    return true;
  });
}

void host_table::end(edge_id edge, std::int64_t at_ns) {
  const std::lock_guard lock{mutex_};
  revoked_[edge] = at_ns;
}

bool host_table::ended(const host_statement& one) const {
  const auto said_ns = std::max(one.live_watermark_ns, one.complete_watermark_ns);
  if (const auto at = revoked_.find(one.edge); at != revoked_.end() && said_ns <= at->second)
    return true;
  const auto newest = newest_.find(one.edge);
  return newest != newest_.end() && newest->second - gone_on_ns > said_ns;
}

// As all say that speak for it; where none does any more, those that did. What was pushed speaks where no edge does.
host_view host_table::told(const host_entry& of) const {
  auto out = of.view;
  out.statements.reserve(of.by_edge.size());
  for (const auto& by : of.by_edge)
    out.statements.push_back(by.what);
  const auto from_edge = [](const host_statement& one) { return one.edge != edge_pushed; };
  if (out.statements.size() > 1) {
    const bool edges = std::any_of(out.statements.begin(), out.statements.end(), from_edge);
    for (auto& one : out.statements)
      one.ended = ended(one) || (edges && !from_edge(one));
    if (std::all_of(out.statements.begin(), out.statements.end(), [](const auto& one) { return one.ended; }))
      for (auto& one : out.statements)
        one.ended = edges && !from_edge(one);
  }
  bool first = true;
  for (const auto& one : out.statements) {
    if (one.first_sample_ns != 0)
      out.first_sample_ns =
          out.first_sample_ns == 0 ? one.first_sample_ns : std::min(out.first_sample_ns, one.first_sample_ns);
    out.live_watermark_ns = std::max(out.live_watermark_ns, one.live_watermark_ns);
    if (one.ended)
      continue;
    const auto& [least, most] = std::minmax(out.complete_watermark_ns, one.complete_watermark_ns);
    out.complete_watermark_ns = first ? one.complete_watermark_ns
                                : planted(planted_, planted_fault::most_complete_speaks) ? most
                                                                                         : least;
    first = false;
  }
  return out;
}

void host_table::forget_before(std::int64_t oldest_ns) {
  const std::lock_guard lock{mutex_};
  std::set<std::pair<const host_entry*, edge_id>> waiting; // their watermarks point to them
  for (const auto& [key, stream] : open_)
    for (const auto& watermark : stream.waiting)
      waiting.emplace(watermark.host, key.edge);
  for (auto it = hosts_.begin(); it != hosts_.end();) {
    auto& host = it->second;
    const auto before = host.by_edge.size();
    std::erase_if(host.by_edge, [&](const spoken& by) {
      if (by.seen_ns >= oldest_ns || waiting.contains({&host, by.what.edge}))
        return false;
      places_->leave(host.view.site, host.view.host, by.what.edge);
      return true;
    });
    host.changed = host.changed || host.by_edge.size() != before;
    if (host.by_edge.size() == 1)
      host.view.edge = host.by_edge.front().what.edge;
    if (host.by_edge.empty()) {
      dropped_.push_back(state_key(host.view.site, host.view.host));
      it = hosts_.erase(it);
    } else {
      ++it;
    }
  }
  std::erase_if(newest_, [&](const auto& one) { return one.second < oldest_ns; });
}

std::vector<host_view> host_table::hosts() const {
  std::vector<host_view> out;
  host_name next;
  for (bool more = true; more;) {
    const std::lock_guard lock{mutex_};
    out.reserve(hosts_.size());
    auto it = hosts_.lower_bound(next);
    for (std::size_t n = 0; n < hosts_at_once && it != hosts_.end(); ++n, ++it)
      out.push_back(told(it->second));
    more = it != hosts_.end();
    if (more)
      next = it->first;
  }
  return out;
}

std::vector<host_view> host_table::hosts(std::span<const host_name> these) const {
  const std::lock_guard lock{mutex_};
  std::vector<host_view> out;
  out.reserve(these.size());
  for (const auto& name : these)
    if (const auto known = hosts_.find(name); known != hosts_.end())
      out.push_back(told(known->second));
  return out;
}

std::map<std::pair<edge_id, std::string>, std::uint64_t> host_table::samples() const {
  const std::lock_guard lock{mutex_};
  std::map<std::pair<edge_id, std::string>, std::uint64_t> out;
  for (const auto& [name, host] : hosts_)
    for (const auto& by : host.by_edge)
      out[{by.what.edge, by.what.edge == edge_pushed ? host.view.site : std::string{}}] += by.samples;
  return out;
}

std::vector<std::pair<std::string, std::string>> host_table::take_changes() {
  const std::lock_guard lock{mutex_};
  std::vector<std::pair<std::string, std::string>> out;
  for (auto& key : dropped_)
    out.emplace_back(std::move(key), std::string{});
  dropped_.clear();
  for (auto& [name, host] : hosts_) {
    if (!host.changed)
      continue;
    host.changed = false;
    byte_buffer value;
    byte_writer w{value};
    auto view = told(host);
    w.text(view.site);
    w.text(view.host);
    w.varint(view.series);
    w.fixed(view.last_sample_ns);
    w.fixed(view.live_watermark_ns);
    w.fixed(view.complete_watermark_ns);
    w.fixed(static_cast<std::uint64_t>(view.edge));
    w.fixed(view.first_sample_ns);
    if (view.statements.size() == 1)
      view.statements.clear(); // it is all said
    else
      w.varint(view.statements.size());
    for (const auto& one : view.statements) {
      w.fixed(static_cast<std::uint64_t>(one.edge));
      w.fixed(one.first_sample_ns);
      w.fixed(one.live_watermark_ns);
      w.fixed(one.complete_watermark_ns);
    }
    out.emplace_back(state_key(name.first, name.second), std::string{as_text(value)});
  }
  return out;
}

void host_table::restore(std::string_view key, std::string_view value) {
  if (!key.starts_with(tenant_prefix))
    return;
  byte_reader r{as_bytes(value)};
  const std::string site{r.text()};
  const auto host = r.text();
  host_view view;
  view.series = r.varint();
  view.last_sample_ns = r.fixed<std::int64_t>();
  host_statement of_all; // which older versions wrote alone, at first without its begin
  of_all.live_watermark_ns = r.fixed<std::int64_t>();
  of_all.complete_watermark_ns = r.fixed<std::int64_t>();
  of_all.edge = view.edge = edge_id{r.fixed<std::uint64_t>()};
  if (r.failed())
    return;
  of_all.first_sample_ns = r.fixed<std::int64_t>();
  if (r.failed())
    of_all.first_sample_ns = 0;
  const auto count = r.remaining() == 0 ? 0 : r.varint();
  for (std::uint64_t i = 0; i < count; ++i) {
    host_statement one;
    one.edge = edge_id{r.fixed<std::uint64_t>()};
    one.first_sample_ns = r.fixed<std::int64_t>();
    one.live_watermark_ns = r.fixed<std::int64_t>();
    one.complete_watermark_ns = r.fixed<std::int64_t>();
    if (r.failed())
      return;
    view.statements.push_back(one);
  }
  if (view.statements.empty())
    view.statements.push_back(of_all);
  const std::lock_guard lock{mutex_};
  auto& known = entry(site, host);
  known.view.series = view.series;
  known.view.last_sample_ns = view.last_sample_ns;
  known.view.edge = view.edge;
  for (const auto& one : view.statements) {
    auto& by = speaker(known, one.edge);
    by.what = one;
    by.seen_ns = std::max(one.live_watermark_ns, view.statements.size() == 1 ? view.last_sample_ns : 0);
    if (one.edge == edge_pushed)
      by.seen_ns = view.last_sample_ns;
    auto& newest = newest_[one.edge];
    newest = std::max(newest, one.live_watermark_ns);
  }
}

} // namespace skerry::cloud
