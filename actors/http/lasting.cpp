#include "actors/http/lasting.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace skerry::http {

namespace {

constexpr std::chrono::milliseconds goodbye_time{1'000}; // when the node stops, or the client closes
// Events that are written in one go, about.
constexpr std::size_t event_batch_bytes = 16 << 10;

std::string_view words(stream_end why) noexcept {
  switch (why) {
  case stream_end::overflow: return "this client reads more slowly than messages come";
  case stream_end::stopping: return "this node stops";
  default: return "there is no more";
  }
}

// Lets the kernel give up on a peer that is gone without a word: what is sent, heartbeats too, must arrive in time.
void bound_unacknowledged(stream_socket& socket, std::chrono::milliseconds limit) {
  const auto ms = static_cast<unsigned>(limit.count());
  // A Unix socket refuses the option, and its peer can't be lost.
  (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

// One line of an event. What would end the line early is left out.
void append_field(std::string& to, std::string_view name, std::string_view value) {
  to.append(name).append(": ");
  for (const auto c : value)
    if (c != '\n' && c != '\r' && c != '\0')
      to += c;
  to += '\n';
}

// Server-sent events, as the HTML standard has them: https://html.spec.whatwg.org/multipage/server-sent-events.html
class event_stream final : public lasting_client {
public:
  explicit event_stream(lasting_start from)
      : lasting_client(from),
        socket_(std::move(from.socket)),
        chunked_(from.asked.version() >= 11),
        header_(
            fmt::format("HTTP/1.{} 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                        "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nDate: {}\r\n"
                        "Connection: close\r\n{}\r\n",
                        chunked_ ? 1 : 0, http_date(), chunked_ ? "Transfer-Encoding: chunked\r\n" : "")) {}

private:
  void open() override {
    asio::async_write(socket_, asio::buffer(header_), on_strand([self = self()](error_code ec, std::size_t) {
                        self->header_ = std::string{};
                        self->opened(ec);
                      }));
  }

  void listen() override {
    socket_.async_read_some(asio::buffer(discarded_), on_strand([self = self()](error_code ec, std::size_t) {
                              if (self->closed())
                                return;
                              if (ec)
                                return self->over(stream_end::client);
                              self->listen();
                            }));
  }

  void write(const std::string& text) override {
    send(text, {}, [self = self()](error_code ec, std::size_t) { self->wrote(ec); });
  }

  void beat() override {
    static const std::string comment = ":\n\n";
    write(comment);
  }

  void say_goodbye(stream_end why, std::string text) override {
    header_ = std::move(text);
    send(header_, chunked_ ? "0\r\n\r\n" : "",
         [self = self(), why](error_code, std::size_t) { self->over(why); });
  }

  void close_socket() override {
    error_code ignored;
    socket_.shutdown(stream_socket::shutdown_send, ignored);
    socket_.close(ignored);
  }

  void append(std::string& to, const stream_message& one) const override {
    if (!one.id.empty())
      append_field(to, "id", one.id);
    append_field(to, "event", one.event);
    // A line break begins another line of data, and is a line break again where they are joined.
    std::string_view rest = one.data;
    for (;;) {
      const auto end = rest.find_first_of("\r\n");
      append_field(to, "data", rest.substr(0, end));
      if (end == rest.npos)
        break;
      rest.remove_prefix(end + (rest.substr(end).starts_with("\r\n") ? 2 : 1));
    }
    to += '\n';
  }

  std::size_t batch_bytes() const noexcept override { return event_batch_bytes; }
  unsigned opened_status() const noexcept override { return 200; }

  template <class F>
  void send(const std::string& text, std::string_view last, F done) {
    if (chunked_)
      size_ = fmt::format("{:x}\r\n", text.size());
    const std::string_view line_end = chunked_ ? "\r\n" : "";
    const std::array<asio::const_buffer, 4> all{asio::buffer(size_), asio::buffer(text),
                                                asio::buffer(line_end), asio::buffer(last)};
    asio::async_write(socket_, all, on_strand(std::move(done)));
  }

  std::shared_ptr<event_stream> self() { return std::static_pointer_cast<event_stream>(shared_from_this()); }

  stream_socket socket_;
  const bool chunked_;              // HTTP/1.0 ends with the connection
  std::string header_;              // and the goodbye
  std::string size_;                // of a chunk
  std::array<char, 256> discarded_; // NOLINT: never read
};

} // namespace

stream_place::~stream_place() {
  if (const auto of = of_.lock())
    of->give_stream_place();
}

lasting_client::lasting_client(lasting_start& from)
    : shared_(std::move(from.shared)),
      strand_(from.strand),
      timer_(strand_),
      pattern_(std::move(from.pattern)),
      queue_(std::move(from.queue)),
      place_(std::move(from.place)),
      started_(from.started) {
  bound_unacknowledged(from.socket, shared_->config.stall_timeout + shared_->config.stream_heartbeat);
}

void lasting_client::start() {
  if (!shared_->add(shared_from_this()))
    return over(stream_end::stopping);
  start_timer(shared_->config.stall_timeout, false);
  open();
}

void lasting_client::stop() {
  queue_->end(stream_end::stopping);
  asio::post(strand_, [self = shared_from_this()] {
    if (self->closed_)
      return;
    if (self->busy_) // the client may not be reading
      return self->start_timer(goodbye_time, false);
    self->pump();
  });
}

void lasting_client::opened(error_code ec) {
  if (closed_)
    return;
  if (ec)
    return over(stream_end::client);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started_;
  shared_->metrics.answered(pattern_, opened_status(), took.count());
  busy_ = false;
  // Weakly: the producer may keep the queue for longer.
  queue_->attach([weak = weak_from_this(), to = strand_] {
    asio::post(to, [weak] {
      if (const auto self = weak.lock())
        self->pump();
    });
  });
  listen();
  pump();
}

void lasting_client::pump() {
  if (closed_ || busy_)
    return;
  text_ = std::string{}; // a client that waits holds no buffer
  const auto next = queue_->take(batch_bytes());
  if (next.messages.empty() && next.end != stream_end::none)
    return goodbye(next.end, next.missed);
  if (next.messages.empty())
    return start_timer(shared_->config.stream_heartbeat, true);
  for (const auto& one : next.messages)
    append(text_, *one);
  busy_ = true;
  // As long as any other answer of that size may take.
  start_timer(text_.size() > answer_free_bytes ? shared_->config.request_timeout
                                               : shared_->config.stall_timeout,
              false);
  write(text_);
}

void lasting_client::wrote(error_code ec) {
  if (closed_)
    return;
  busy_ = false;
  queue_->written();
  if (ec)
    return over(stream_end::client);
  pump();
}

void lasting_client::goodbye(stream_end why, std::uint64_t missed) {
  busy_ = true;
  count(why);
  start_timer(why == stream_end::stopping ? goodbye_time : shared_->config.stall_timeout, false);
  std::string text;
  append(text,
         {"end",
          {},
          nlohmann::json{{"reason", to_string(why)}, {"message", words(why)}, {"missed", missed}}.dump()});
  say_goodbye(why, std::move(text));
}

void lasting_client::leaving() {
  busy_ = true;
  count(stream_end::client);
  queue_->end(stream_end::client);
  start_timer(goodbye_time, false);
}

void lasting_client::count(stream_end why) {
  if (!std::exchange(counted_, true))
    shared_->metrics.stream_ended(to_string(why));
}

void lasting_client::over(stream_end why) {
  if (std::exchange(closed_, true))
    return;
  count(why);
  queue_->end(why);
  queue_->attach({});
  ++timer_number_;
  timer_.cancel();
  close_socket();
  place_.reset();
  shared_->remove(shared_from_this());
}

void lasting_client::start_timer(std::chrono::milliseconds limit, bool is_heartbeat) {
  const auto number = ++timer_number_;
  timer_.expires_after(limit);
  timer_.async_wait([self = shared_from_this(), number, is_heartbeat](error_code ec) {
    if (!ec && !self->closed_ && self->timer_number_ == number)
      self->on_timer(is_heartbeat);
  });
}

void lasting_client::on_timer(bool is_heartbeat) {
  if (!is_heartbeat)
    return over(stream_end::timeout);
  busy_ = true;
  start_timer(shared_->config.stall_timeout, false);
  beat();
}

std::shared_ptr<lasting_client> make_lasting_client(lasting_start from) {
  if (asks_for_websocket(from.asked))
    return make_websocket(std::move(from));
  return std::make_shared<event_stream>(std::move(from));
}

} // namespace skerry::http
