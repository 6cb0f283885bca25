#include "actors/link/zap.hpp"

#include "actors/link/zmq_io.hpp"

#include <algorithm>
#include <exception>

namespace skerry::link::detail {

namespace {

enum frame : std::size_t { version, request, domain, address, identity, mechanism, credentials, frame_count };

std::string_view text_of(const zmq::message_t& message) {
  return {static_cast<const char*>(message.data()), message.size()};
}

void reply(zmq::socket_t& socket, const zap_request& asked, const zmq::message_t& id, std::string_view status,
           std::string_view text, std::string_view user_id) {
  const auto put = [&](std::string_view part, zmq::send_flags flags) {
    (void)socket.send(zmq::buffer(part), flags | zmq::send_flags::dontwait);
  };
  put(text_of(asked.asker), zmq::send_flags::sndmore);
  put("", zmq::send_flags::sndmore);
  put("1.0", zmq::send_flags::sndmore);
  put(text_of(id), zmq::send_flags::sndmore);
  put(status, zmq::send_flags::sndmore);
  put(text, zmq::send_flags::sndmore);
  put(user_id, zmq::send_flags::sndmore);
  put("", zmq::send_flags::none);
}

} // namespace

zmq::socket_t make_zap_socket(zmq::context_t& context) {
  zmq::socket_t socket{context, zmq::socket_type::router};
  set_option(socket, ZMQ_LINGER, 0);
  socket.bind(zap_endpoint);
  return socket;
}

std::optional<zap_request> next_zap(zmq::socket_t& socket) {
  zap_request out;
  if (!socket.recv(out.asker, zmq::recv_flags::dontwait))
    return std::nullopt;
  bool more = out.asker.more();
  for (bool envelope = true; more; envelope = false) {
    zmq::message_t part;
    if (!socket.recv(part, zmq::recv_flags::dontwait))
      break;
    more = part.more();
    if (!(envelope && part.size() == 0) && out.frames.size() < zap_frames_max)
      out.frames.push_back(std::move(part));
  }
  return out;
}

zap_verdict answer_zap(zmq::socket_t& socket, const zap_request& asked,
                       const std::function<admission(const curve_key&, const std::string&)>& admit) {
  const auto& frames = asked.frames;
  zap_verdict out;
  if (frames.size() != frame_count || text_of(frames[version]) != "1.0"
      || text_of(frames[domain]) != zap_domain || text_of(frames[mechanism]) != "CURVE"
      || frames[credentials].size() != out.key.bytes.size()) {
    out.what = zap_verdict::kind::malformed;
    const zmq::message_t none;
    reply(socket, asked, frames.size() > request ? frames[request] : none, "500", "not understood", "");
    return out;
  }
  out.address = text_of(frames[address]);
  std::memcpy(out.key.bytes.data(), frames[credentials].data(), out.key.bytes.size());
  admission said;
  try {
    said = admit(out.key, out.address);
  } catch (const std::exception&) {
    said = {.admitted = false, .user_id = {}, .reason = "failed", .retry = true};
  }
  if (said.admitted && (said.user_id.empty() || said.user_id.size() > user_id_bytes_max))
    said = {.admitted = false, .user_id = {}, .reason = "failed", .retry = true};
  if (said.admitted) {
    out.what = zap_verdict::kind::admitted;
    out.user_id = said.user_id;
    reply(socket, asked, frames[request], "200", "", out.user_id);
    return out;
  }
  // 400 is final for the client's socket; after 300 it tries again. The reason stays here: it would tell a
  // stranger which keys are known.
  out.what = said.retry ? zap_verdict::kind::deferred : zap_verdict::kind::refused;
  out.reason = std::move(said.reason);
  reply(socket, asked, frames[request], said.retry ? "300" : "400", said.retry ? "later" : "refused", "");
  return out;
}

} // namespace skerry::link::detail
