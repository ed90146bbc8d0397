// What goes wrong inside a template. Thrown within jinja/ alone; ChatTemplate turns it into an Error.
#pragma once

#include <stdexcept>
#include <string>

namespace halod::jinja {

class TemplateError : public std::runtime_error {
 public:
  enum class Kind {
    kSyntax,  ///< the source cannot be compiled
    kRaised,  ///< the template called raise_exception: the message is meant for the client
    kFailed,  ///< an operation that its operands do not allow, or a limit
  };
  TemplateError(Kind kind, const std::string& message, int line = 0)
      : std::runtime_error(message), kind_(kind), line_(line) {}

  Kind kind() const { return kind_; }
  int line() const { return line_; }  ///< of the template, from 1; 0: not known here

 private:
  Kind kind_;
  int line_;
};

/// An operation that failed while rendering.
[[noreturn]] inline void fail(const std::string& message) {
  throw TemplateError(TemplateError::Kind::kFailed, message);
}

}  // namespace halod::jinja
