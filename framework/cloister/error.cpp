// SPDX-License-Identifier: BSD-3-Clause
// The texts of errors and exit statuses.
#include <cloister/error.hpp>

#include <cstring>

namespace cloister {

std::string_view to_string(errc code) noexcept {
  switch (code) {
    case errc::timed_out: return "timed_out";
    case errc::would_block: return "would_block";
    case errc::closed: return "closed";
    case errc::peer_down: return "peer_down";
    case errc::stopping: return "stopping";
    case errc::interrupted: return "interrupted";
    case errc::too_large: return "too_large";
    case errc::no_memory: return "no_memory";
    case errc::no_descriptors: return "no_descriptors";
    case errc::undecodable: return "undecodable";
    case errc::wrong_type: return "wrong_type";
    case errc::gone: return "gone";
    case errc::broken: return "broken";
    case errc::not_attached: return "not_attached";
    case errc::invalid: return "invalid";
    case errc::not_started: return "not_started";
    case errc::not_found: return "not_found";
    case errc::already_started: return "already_started";
    case errc::already_present: return "already_present";
    case errc::running: return "running";
    case errc::restarting: return "restarting";
    case errc::unsupported: return "unsupported";
    case errc::threw: return "threw";
    case errc::not_owner: return "not_owner";
    case errc::deadlock: return "deadlock";
    case errc::barrier_broken: return "barrier_broken";
    case errc::worker_lost: return "worker_lost";
    case errc::cancelled: return "cancelled";
  }
  return "unknown errc";
}

exit_status exit_status::exited(int code) {
  exit_status e;
  e.kind_ = kind::exited;
  e.code_ = code;
  return e;
}

exit_status exit_status::signaled(int signal) {
  exit_status e;
  e.kind_ = kind::signaled;
  e.code_ = signal;
  return e;
}

exit_status exit_status::threw(std::string type, std::string text) {
  exit_status e;
  e.kind_ = kind::threw;
  e.code_ = 1;
  e.exception_type_ = std::move(type);
  e.exception_text_ = std::move(text);
  return e;
}

std::optional<int> exit_status::code() const noexcept {
  if (kind_ == kind::exited || kind_ == kind::threw) return code_;
  return {};
}

std::optional<int> exit_status::signal() const noexcept {
  if (kind_ == kind::signaled) return code_;
  return {};
}

std::string exit_status::text() const {
  switch (kind_) {
    case kind::unknown: return "unknown";
    case kind::exited: return "exit " + std::to_string(code_);
    case kind::signaled: {
      const char* name = ::sigabbrev_np(code_);
      return "killed by " + (name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(code_));
    }
    case kind::threw: return exception_text_.empty() ? exception_type_ : exception_type_ + ": " + exception_text_;
  }
  return {};
}

error::error(errc code, std::string text, exit_status exit)
    : code_(code), text_(std::move(text)), exit_(std::make_shared<const exit_status>(std::move(exit))) {}

}  // namespace cloister
