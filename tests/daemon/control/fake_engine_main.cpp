// A halo-engine for process tests: loads anything, answers each request with its prompt's first token for
// ever, dies when told.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "runtime/engine/wire.h"

namespace {

using namespace halod;

int socket_fd = -1;

void send_frame(const std::string& frame) {
  if (::write(socket_fd, frame.data(), frame.size()) != static_cast<ssize_t>(frame.size())) std::exit(3);
}

void handle(const wire::Frame& frame) {
  switch (frame.type) {
    case wire::FrameType::kLoad: {
      // The path is the script.
      const std::string path = wire::decode<wire::LoadModel>(frame).value().path;
      if (path == "exit 7") std::exit(7);
      if (path == "hang") ::pause();
      // Descriptors that leaked from the parent would be seen here.
      const bool clean = ::access("/proc/self/fd/4", F_OK) != 0 && ::access("/proc/self/fd/5", F_OK) != 0;
      send_frame(wire::encode(wire::FrameType::kLoaded,
                              wire::ModelLoaded{.architecture = clean ? "clean" : "descriptors leaked",
                                                .backend = "cpu",
                                                .vocab_size = 512,
                                                .context_length = 64,
                                                .max_sequences = 4}));
      break;
    }
    case wire::FrameType::kShutdown:
      std::exit(0);
    default:
      break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::string(argv[1]) != "--fd") return 2;
  socket_fd = std::atoi(argv[2]);
  std::printf("this must not appear on halod's standard output\n");
  send_frame(wire::encode(wire::FrameType::kHello, wire::Hello{"fake", ::getpid()}));
  wire::FrameParser parser;
  char bytes[4096];
  for (ssize_t n = 0; (n = ::read(socket_fd, bytes, sizeof(bytes))) > 0;) {
    parser.append({bytes, static_cast<size_t>(n)});
    while (auto frame = parser.next().value()) handle(*frame);
  }
  return 0;
}
