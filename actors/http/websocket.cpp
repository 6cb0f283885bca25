#include "actors/http/lasting.hpp"

#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <nlohmann/json.hpp>

namespace skerry::http {

namespace {

namespace ws = beast::websocket;

// Of one message from the client. None means anything yet.
constexpr std::size_t client_message_bytes_max = 4 << 10;

ws::close_reason reason_of(stream_end why) {
  switch (why) {
  case stream_end::overflow:
    return {ws::close_code::try_again_later, "this client reads more slowly than messages come"};
  case stream_end::stopping: return {ws::close_code::going_away, "this node stops"};
  default: return {ws::close_code::normal, "there is no more"};
  }
}

// RFC 6455. A message is one text frame, {"event":…,"id":…,"data":…}; nothing is compressed.
class websocket final : public lasting_client {
public:
  explicit websocket(lasting_start from)
      : lasting_client(from), asked_(std::move(from.asked)), stream_(std::move(from.socket)) {
    // Its timers would run beside the strand; ours bounds every step.
    stream_.set_option(ws::stream_base::timeout{ws::stream_base::none(), ws::stream_base::none(), false});
    stream_.set_option(ws::stream_base::decorator(
        [](ws::response_type& answer) { answer.erase(beast::http::field::server); }));
    // It would wait for the client to close its connection, too.
    stream_.control_callback([this](ws::frame_type kind, beast::string_view) {
      if (kind == ws::frame_type::close)
        leaving();
    });
    stream_.auto_fragment(false);
    stream_.read_message_max(client_message_bytes_max);
    stream_.text(true);
  }

private:
  void open() override {
    stream_.async_accept(asked_, on_strand([self = self()](error_code ec) {
                           self->asked_ = {};
                           self->opened(ec);
                         }));
  }

  void listen() override {
    stream_.async_read(received_, on_strand([self = self()](error_code ec, std::size_t) {
                         if (self->closed())
                           return;
                         self->received_ = beast::flat_buffer{};
                         if (ec)
                           return self->over(stream_end::client);
                         self->listen();
                       }));
  }

  void write(const std::string& text) override {
    stream_.async_write(asio::buffer(text),
                        on_strand([self = self()](error_code ec, std::size_t) { self->wrote(ec); }));
  }

  void beat() override {
    stream_.async_ping({}, on_strand([self = self()](error_code ec) { self->wrote(ec); }));
  }

  void say_goodbye(stream_end why, std::string text) override {
    last_ = std::move(text);
    stream_.async_write(asio::buffer(last_), on_strand([self = self(), why](error_code ec, std::size_t) {
                          if (self->closed())
                            return;
                          if (ec)
                            return self->over(why);
                          self->stream_.async_close(
                              reason_of(why), self->on_strand([self, why](error_code) { self->over(why); }));
                        }));
  }

  void close_socket() override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }

  void append(std::string& to, const stream_message& one) const override {
    to += R"({"event":)" + nlohmann::json(one.event).dump();
    if (!one.id.empty())
      to += R"(,"id":)" + nlohmann::json(one.id).dump();
    to += R"(,"data":)" + one.data + "}";
  }

  std::size_t batch_bytes() const noexcept override { return 1; } // each is a frame
  unsigned opened_status() const noexcept override { return 101; }

  std::shared_ptr<websocket> self() { return std::static_pointer_cast<websocket>(shared_from_this()); }

  beast::http::request<beast::http::string_body> asked_;
  ws::stream<stream_socket, false> stream_;
  beast::flat_buffer received_;
  std::string last_;
};

} // namespace

bool asks_for_websocket(const beast::http::request<beast::http::string_body>& request) {
  return ws::is_upgrade(request);
}

std::shared_ptr<lasting_client> make_websocket(lasting_start from) {
  return std::make_shared<websocket>(std::move(from));
}

} // namespace skerry::http
