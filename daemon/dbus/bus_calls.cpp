#include "daemon/dbus/bus_calls.h"

#include <spdlog/spdlog.h>

#include <memory>
#include <utility>

#include "daemon/dbus/bus_error.h"

namespace halod {
namespace {

/// Runs below C code, which no exception may cross; and a reply that cannot be sent has nobody to be told.
template <class Send>
void try_to(Send send) {
  try {
    send();
  } catch (const sdbus::Error& error) {
    spdlog::debug("D-Bus: an answer could not be sent: {}", error.getMessage());
  }
}

/// `act` sends the reply itself.
template <class Reply>
void when_authorized(const BusContext& context, const sdbus::IObject& object, const std::string& action,
                     Reply&& reply, std::function<void(const Reply&, const Requester&)> act) {
  // Shared, because std::function wants copies.
  auto shared_reply = std::make_shared<Reply>(std::forward<Reply>(reply));
  auto done = [action, shared_reply, act = std::move(act)](const Authorization& authorization) {
    const Requester& requester = authorization.requester;
    if (authorization.allowed) {
      spdlog::info("D-Bus: {} (uid {}) asks for {}", requester.name, requester.uid, action);
      return try_to([&] { act(*shared_reply, requester); });
    }
    spdlog::warn("D-Bus: {} (uid {}) is refused {}: {}", requester.name, requester.uid, action,
                 authorization.refusal);
    try_to([&] { shared_reply->returnError(access_denied(authorization.refusal)); });
  };
  context.authorizer.authorize(sdbus_compat::current_caller(object), action, std::move(done));
}

}  // namespace

void answer_with_job(const BusContext& context, const sdbus::IObject& object, const std::string& action,
                     sdbus::Result<sdbus::ObjectPath>&& reply,
                     std::function<Result<JobId>(const Requester&)> start) {
  using Reply = sdbus::Result<sdbus::ObjectPath>;
  const std::function<void(const Reply&, const Requester&)> act =
      [start = std::move(start)](const Reply& to, const Requester& requester) {
        const Result<JobId> job = start(requester);
        if (!job) return to.returnError(bus_error(job.error()));
        to.returnResults(sdbus::ObjectPath(job_path(*job)));
      };
  when_authorized<Reply>(context, object, action, std::move(reply), act);
}

void answer_when_done(const BusContext& context, const sdbus::IObject& object, const std::string& action,
                      sdbus::Result<>&& reply, std::function<Result<>()> act) {
  using Reply = sdbus::Result<>;
  const std::function<void(const Reply&, const Requester&)> reply_after =
      [act = std::move(act), changed = context.changed](const Reply& to, const Requester&) {
        const Result<> result = act();
        if (!result) return to.returnError(bus_error(result.error()));
        changed();
        to.returnResults();
      };
  when_authorized<Reply>(context, object, action, std::move(reply), reply_after);
}

}  // namespace halod
