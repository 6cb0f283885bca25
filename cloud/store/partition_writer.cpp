#include "cloud/store/partition_writer.hpp"

#include "cloud/store/partition_format.hpp"
#include "cloud/store/symbols.hpp"

namespace skerry::cloud {

namespace {

// Large values start on a page of their own: the more in one, the less is lost at its end.
constexpr std::size_t extent_bytes = 256 << 10;
constexpr std::size_t postings_pending_max = 8192; // each a page, in one go
constexpr std::size_t page_bytes = 4096;

} // namespace

result<partition_writer> partition_writer::begin(partition& into, const log_name& log, const seal_plan& plan,
                                                 std::size_t step_pages, std::function<void()> stepped) {
  BOOST_OUTCOME_TRY(txn, into.env_->write());
  partition_writer w{into, partition_reader{into, std::move(txn)}, log, plan};
  w.step_pages_ = step_pages;
  w.stepped_ = std::move(stepped);
  BOOST_OUTCOME_TRY(count, w.reader_.source_count());
  w.next_source_ = count;
  BOOST_OUTCOME_TRYV(w.go_on_numbering()); // past what is deleted now: readers may have kept some of that
  BOOST_OUTCOME_TRY(before, w.reader_.begun(log.id));
  w.noted_begun_ = before.has_value();
  w.begun_ = before.value_or(seal_begun{plan, w.next_extent_, w.next_part_});
  if (before) {
    BOOST_OUTCOME_TRYV(w.drop_unfinished());
  }
  return w;
}

// What an attempt left that did not come to its end; sources and what names them stay, the next one uses them.
result<void> partition_writer::drop_unfinished() {
  const auto drop = [&](MDB_dbi db, bytes_view first, const auto& is_of_it) -> result<void> {
    byte_buffer next{first.begin(), first.end()};
    for (bool more = true; more;) {
      std::vector<byte_buffer> gone; // no cursor stays open over a deletion
      more = false;
      {
        BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(reader_.txn_, db));
        for (auto op = MDB_SET_RANGE;; op = MDB_NEXT) {
          BOOST_OUTCOME_TRY(item, cursor.move(op, op == MDB_SET_RANGE ? bytes_view{next} : bytes_view{}));
          if (!item)
            break;
          if (gone.size() == step_pages_) {
            next.assign(item->key.begin(), item->key.end());
            more = true;
            break;
          }
          if (is_of_it(item->key))
            gone.emplace_back(item->key.begin(), item->key.end());
        }
      }
      for (const auto& key : gone) {
        BOOST_OUTCOME_TRYV(erase(db, key));
      }
      BOOST_OUTCOME_TRYV(step_if_large());
    }
    return ok();
  };
  BOOST_OUTCOME_TRYV(
      drop(into_->extent_, key_builder{}.number(log_.number).number(begun_.extent).view(),
           [&](bytes_view key) { return key.size() == 12 && key_u64(key, 0) == log_.number; }));
  return drop(into_->block_, key_builder{}.number(std::uint32_t{0}).view(), [&](bytes_view key) {
    return key.size() == 24 && key_u64(key, 12) == log_.number && key_u32(key, 20) >= begun_.part;
  });
}

// Nothing that stands here is written over, should some of this log be here already.
result<void> partition_writer::go_on_numbering() {
  const auto extents_of_log = key_builder{}.number(log_.number);
  BOOST_OUTCOME_TRY(extents, lmdb_cursor::open(reader_.txn_, into_->extent_));
  for (auto op = MDB_SET_RANGE;; op = MDB_NEXT) {
    BOOST_OUTCOME_TRY(item, extents.move(op, op == MDB_SET_RANGE ? extents_of_log.view() : bytes_view{}));
    if (!item || item->key.size() != 12 || key_u64(item->key, 0) != log_.number)
      break;
    next_extent_ = key_u32(item->key, 8) + 1;
  }
  if (next_extent_ == 0)
    return ok();
  BOOST_OUTCOME_TRY(blocks, lmdb_cursor::open(reader_.txn_, into_->block_));
  for (auto op = MDB_FIRST;; op = MDB_NEXT) {
    BOOST_OUTCOME_TRY(item, blocks.move(op));
    if (!item)
      return ok();
    if (item->key.size() == 24 && key_u64(item->key, 12) == log_.number)
      next_part_ = std::max(next_part_, key_u32(item->key, 20) + 1);
  }
}

result<void> partition_writer::put(MDB_dbi db, bytes_view key, bytes_view value, unsigned flags) {
  BOOST_OUTCOME_TRY(room, reader_.txn_.reserve(db, key, value_checksum_bytes + value.size(), flags));
  const auto checksum = value_checksum(key, value);
  std::memcpy(room.data(), &checksum, sizeof checksum);
  if (!value.empty())
    std::memcpy(room.data() + sizeof checksum, value.data(), value.size());
  touched_pages_ += 1 + value.size() / page_bytes;
  return ok();
}

result<void> partition_writer::put_ordered(MDB_dbi db, ordered_end& end, bytes_view key, bytes_view value) {
  const auto keep = [&](bytes_view last) {
    end.bytes = std::min(last.size(), end.key.size());
    std::copy_n(last.begin(), end.bytes, end.key.begin());
  };
  if (!end.known) {
    BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(reader_.txn_, db));
    BOOST_OUTCOME_TRY(last, cursor.move(MDB_LAST));
    keep(last ? last->key : bytes_view{});
    end.known = true;
  }
  const auto last = bytes_view{end.key}.first(end.bytes);
  const bool behind = std::lexicographical_compare(last.begin(), last.end(), key.begin(), key.end());
  if (behind)
    keep(key);
  return put(db, key, value, behind ? MDB_APPEND : 0);
}

result<void> partition_writer::erase(MDB_dbi db, bytes_view key) {
  ++touched_pages_;
  return reader_.txn_.erase(db, key);
}

result<void> partition_writer::step_if_large() { return touched_pages_ < step_pages_ ? ok() : step(); }

result<void> partition_writer::step() {
  BOOST_OUTCOME_TRYV(flush_extent());
  BOOST_OUTCOME_TRYV(flush_postings());
  if (!noted_begun_) {
    scratch_.clear();
    byte_writer w{scratch_};
    w.fixed(begun_.plan.now_ns);
    w.fixed(begun_.plan.span_s);
    w.fixed(begun_.extent);
    w.fixed(begun_.part);
    BOOST_OUTCOME_TRYV(put(into_->meta_, as_bytes(meta_key(meta_begun, log_.id)), scratch_));
    noted_begun_ = true;
  }
  const auto format = static_cast<std::byte>(partition_version);
  BOOST_OUTCOME_TRYV(put(into_->meta_, as_bytes(meta_format), {&format, 1}));
  BOOST_OUTCOME_TRYV(reader_.txn_.commit());
  if (stepped_)
    stepped_();
  BOOST_OUTCOME_TRY(txn, into_->env_->write());
  reader_.txn_ = std::move(txn);
  touched_pages_ = 0;
  return ok();
}

result<std::uint32_t> partition_writer::source(partition_source like,
                                               const std::function<result<series_set_ptr>()>& content) {
  BOOST_OUTCOME_TRYV(step_if_large());
  BOOST_OUTCOME_TRY(known, reader_.find_source(like));
  if (known)
    return *known;
  BOOST_OUTCOME_TRY(set, content());
  if (!set)
    return fail(errc::corrupt, "a series set is missing: " + to_string(like.set));
  like.number = next_source_++;
  const auto hash_key = std::as_bytes(std::span{set->hash.bytes});
  BOOST_OUTCOME_TRY(have, reader_.get(into_->set_, hash_key));
  byte_buffer value;
  if (!have) {
    byte_writer w{value};
    w.varint(set->encoded.view.size());
    pack_set(set->encoded.view, value);
    BOOST_OUTCOME_TRYV(put(into_->set_, hash_key, value));
    for (const auto& f : set->families) {
      byte_buffer family;
      byte_writer fw{family};
      fw.fixed(static_cast<std::uint8_t>(f.type));
      fw.text(f.name);
      fw.text(f.help);
      fw.text(f.unit);
      const auto key = hash_set(family);
      const auto key_bytes = std::as_bytes(std::span{key.bytes});
      BOOST_OUTCOME_TRY(known_family, reader_.get(into_->family_, key_bytes));
      if (!known_family) {
        BOOST_OUTCOME_TRYV(put(into_->family_, key_bytes, family));
      }
    }
  }
  value.clear();
  byte_writer w{value};
  w.fixed(like.tenant);
  w.fixed(static_cast<std::uint64_t>(like.edge));
  w.fixed(like.set.bytes);
  w.text(like.site);
  w.text(like.host);
  w.fixed(set_kin(*set));
  BOOST_OUTCOME_TRYV(
      put_ordered(into_->source_, source_end_, key_builder{}.number(like.number).view(), value));
  for (std::uint64_t probe = 0;; ++probe) {
    const auto key = source_lookup_key(like, probe);
    BOOST_OUTCOME_TRY(taken, reader_.get(into_->source_key_, key.view()));
    if (taken)
      continue;
    BOOST_OUTCOME_TRYV(put(into_->source_key_, key.view(), std::as_bytes(std::span{&like.number, 1})));
    break;
  }
  BOOST_OUTCOME_TRYV(index(like.number, *set, site_beside(like.edge, like.site)));
  return like.number;
}

result<void> partition_writer::index(std::uint32_t source, const series_set& set, std::string_view site) {
  const auto first = source * static_cast<std::uint32_t>(set_series_max);
  const auto add = [&](std::string_view name, std::string_view value, std::uint32_t id) {
    auto key = make_posting_key(name, value);
    auto& p = postings_[std::move(key.key)];
    if (!key.exact && p.exact) {
      p.exact = false;
      p.name = name;
      p.value = value;
    }
    p.bitmap.add(id);
  };
  for (std::uint32_t i = 0; i < set.members.size(); ++i) {
    auto all = set.members[i].all;
    add_site(all, site);
    for (const auto& [name, value] : all)
      add(name, value, first + i);
    add("", "", first + i);
  }
  return postings_.size() > postings_pending_max ? flush_postings() : ok();
}

result<void> partition_writer::flush_postings() {
  std::vector<const std::string*> keys; // in order: neighbouring pages are written together
  keys.reserve(postings_.size());
  for (const auto& [key, posting] : postings_)
    keys.push_back(&key);
  std::sort(keys.begin(), keys.end(), [](const auto* a, const auto* b) { return *a < *b; });
  for (const auto* key : keys) {
    auto& p = postings_.at(*key);
    BOOST_OUTCOME_TRY(stored, reader_.get(into_->posting_, as_bytes(*key)));
    if (stored) {
      BOOST_OUTCOME_TRY(content, read_posting(*stored));
      BOOST_OUTCOME_TRY(bitmap, read_bitmap(content.bitmap));
      p.bitmap |= bitmap;
    }
    p.bitmap.runOptimize();
    scratch_.clear();
    byte_writer w{scratch_};
    w.fixed(static_cast<std::uint8_t>(p.exact ? 1 : 0));
    if (!p.exact) {
      w.text(p.name);
      w.text(p.value);
    }
    const auto at = scratch_.size();
    scratch_.resize(at + p.bitmap.getSizeInBytes());
    p.bitmap.write(reinterpret_cast<char*>(scratch_.data() + at));
    BOOST_OUTCOME_TRYV(put(into_->posting_, as_bytes(*key), scratch_));
  }
  postings_.clear();
  return ok();
}

result<void> partition_writer::flush_extent() {
  if (extent_.empty())
    return ok();
  const auto key = key_builder{}.number(log_.number).number(next_extent_);
  BOOST_OUTCOME_TRYV(reader_.txn_.put(into_->extent_, key.view(), extent_));
  touched_pages_ += 1 + extent_.size() / page_bytes;
  ++next_extent_;
  extent_.clear();
  return ok();
}

result<void> partition_writer::block(std::uint32_t source, std::span<const std::int64_t> times_ns,
                                     std::size_t samples, bytes_view encoded) {
  BOOST_OUTCOME_TRYV(step_if_large());
  if (!extent_.empty() && extent_.size() + encoded.size() > extent_bytes) {
    BOOST_OUTCOME_TRYV(flush_extent());
  }
  scratch_.clear();
  byte_writer w{scratch_};
  w.varint(static_cast<std::uint64_t>(times_ns.back()) - static_cast<std::uint64_t>(times_ns.front()));
  w.varint(next_extent_);
  w.varint(extent_.size());
  w.varint(encoded.size());
  w.varint(times_ns.size());
  w.varint(samples);
  const auto key =
      key_builder{}.number(source).time(times_ns.front()).number(log_.number).number(next_part_++);
  BOOST_OUTCOME_TRYV(put(into_->block_, key.view(), scratch_));
  extent_.insert(extent_.end(), encoded.begin(), encoded.end());
  samples_ += samples;
  newest_ns_ = std::max(newest_ns_, times_ns.back());
  return ok();
}

result<void> partition_writer::ledger(const ledger_entry& entry) {
  BOOST_OUTCOME_TRYV(step_if_large());
  scratch_.clear();
  byte_writer w{scratch_};
  w.fixed(entry.tenant);
  w.fixed(static_cast<std::uint8_t>(entry.kind));
  w.varint(entry.seq);
  w.fixed(static_cast<std::uint64_t>(entry.origin.edge));
  w.varint(entry.origin.epoch.boot_counter);
  w.fixed(entry.origin.epoch.random);
  w.fixed(static_cast<std::uint8_t>(entry.origin.stream));
  w.text(entry.site);
  w.text(entry.host);
  const auto identity = hash_set(scratch_); // the same record twice is one entry
  w.bytes(entry.payload);
  key_builder key;
  key.time(entry.time_ns).bytes(std::as_bytes(std::span{identity.bytes}));
  return put_ordered(into_->ledger_, ledger_end_, key.view(), scratch_);
}

result<void> partition_writer::record(const kept_record& record) {
  BOOST_OUTCOME_TRYV(step_if_large());
  BOOST_OUTCOME_TRY(view, decode_record(record.bytes));
  scratch_.clear();
  byte_writer w{scratch_};
  w.fixed(record.tenant);
  w.fixed(static_cast<std::uint64_t>(record.origin.edge));
  w.varint(record.origin.epoch.boot_counter);
  w.fixed(record.origin.epoch.random);
  w.fixed(static_cast<std::uint8_t>(record.origin.stream));
  w.text(record.site);
  const auto content = scratch_.size();
  w.varint(view.seq);
  const auto identity = hash_set(scratch_); // the same record twice is one
  scratch_.resize(content);
  w.bytes(record.bytes);
  key_builder key;
  key.time(view.time_ns).bytes(std::as_bytes(std::span{identity.bytes}));
  return put_ordered(into_->record_, record_end_, key.view(), scratch_);
}

result<void> partition_writer::commit(const std::set<std::uint64_t>& live_logs) {
  BOOST_OUTCOME_TRYV(flush_extent());
  BOOST_OUTCOME_TRYV(flush_postings());
  BOOST_OUTCOME_TRY(samples, reader_.samples());
  const bool is_new = samples == 0;
  samples += samples_;
  BOOST_OUTCOME_TRY(before_ns, reader_.newest_ns());
  const auto newest_ns = is_new ? newest_ns_ : std::max(newest_ns_, before_ns);
  const auto format = static_cast<std::byte>(partition_version);
  BOOST_OUTCOME_TRYV(put(into_->meta_, as_bytes(meta_format), {&format, 1}));
  BOOST_OUTCOME_TRYV(put(into_->meta_, as_bytes(meta_samples), std::as_bytes(std::span{&samples, 1})));
  BOOST_OUTCOME_TRYV(put(into_->meta_, as_bytes(meta_newest), std::as_bytes(std::span{&newest_ns, 1})));

  std::vector<std::string> gone;
  {
    BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(reader_.txn_, into_->meta_));
    for (auto op = MDB_FIRST;; op = MDB_NEXT) {
      BOOST_OUTCOME_TRY(item, cursor.move(op));
      if (!item)
        break;
      const auto key = as_text(item->key);
      std::uint64_t id;
      const auto of_log = [&](std::string_view prefix) {
        if (key.size() != prefix.size() + sizeof id || !key.starts_with(prefix))
          return false;
        std::memcpy(&id, key.data() + prefix.size(), sizeof id);
        return true;
      };
      if ((of_log(meta_log) && !live_logs.contains(id))
          || (of_log(meta_begun) && (id == log_.id || !live_logs.contains(id))))
        gone.emplace_back(key);
    }
  }
  for (const auto& key : gone) {
    BOOST_OUTCOME_TRYV(reader_.txn_.erase(into_->meta_, as_bytes(key)));
  }
  BOOST_OUTCOME_TRY(plans, reader_.plans_of(log_.id));
  plans.push_back(plan_);
  scratch_.clear();
  byte_writer w{scratch_};
  for (const auto& each : plans) {
    w.fixed(each.now_ns);
    w.fixed(each.span_s);
  }
  BOOST_OUTCOME_TRYV(put(into_->meta_, as_bytes(meta_key(meta_log, log_.id)), scratch_));
  return reader_.txn_.commit();
}

} // namespace skerry::cloud
