#pragma once

// An answer's body for Beast: text in pieces, each given back as soon as it is written. Internal to this folder.

#include "schemas/memory_budget.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/optional.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace skerry::http {

struct answer_body {
  struct value_type {
    std::string first;
    std::vector<std::string> more;
    std::shared_ptr<memory_share> held; // null: nothing is counted
  };

  static std::uint64_t size(const value_type& body) noexcept {
    std::uint64_t bytes = body.first.size();
    for (const auto& piece : body.more)
      bytes += piece.size();
    return bytes;
  }

  class writer {
  public:
    using const_buffers_type = boost::asio::const_buffer;

    template <bool is_request, class Fields>
    writer(boost::beast::http::header<is_request, Fields>&, value_type& body) : body_(body) {}
    void init(boost::beast::error_code& ec) { ec = {}; }
    // The next piece; the one before it was written.
    boost::optional<std::pair<const_buffers_type, bool>> get(boost::beast::error_code& ec) {
      ec = {};
      if (next_ > 0)
        drop(piece(next_ - 1));
      const auto& now = piece(next_++);
      return {{boost::asio::buffer(now), next_ <= body_.more.size()}};
    }

  private:
    std::string& piece(std::size_t number) { return number == 0 ? body_.first : body_.more[number - 1]; }
    void drop(std::string& written) {
      const auto bytes = written.size();
      written = std::string{};
      if (body_.held && body_.held->bytes() > bytes)
        body_.held->shrink_to(body_.held->bytes() - bytes);
    }

    value_type& body_;
    std::size_t next_ = 0;
  };
};

} // namespace skerry::http
