// The template half of wire.h, which includes this at its end; include wire.h instead. JSON by
// Boost.Describe.
#pragma once

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>
#include <exception>

namespace halod::wire {

std::string frame_bytes(FrameType type, std::string_view payload);
Error decode_error(FrameType type, std::string_view reason);

template <class Message>
std::string encode(FrameType type, const Message& message) {
  return frame_bytes(type, boost::json::serialize(boost::json::value_from(message)));
}

template <class Message>
Result<Message> decode(const Frame& frame) {
  try {
    return boost::json::value_to<Message>(boost::json::parse(frame.payload));
  } catch (const std::exception& exception) {
    return decode_error(frame.type, exception.what());
  }
}

}  // namespace halod::wire
