#include "cli/pull/checksum.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <array>

#include "base/error.h"

namespace halod::cli {

struct Checksum::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();

  explicit State(const EVP_MD* kind) {
    // A FIPS provider may forbid SHA-1.
    if (EVP_DigestInit_ex(context, kind, nullptr) != 1) {
      EVP_MD_CTX_free(context);
      throw ErrorException({ErrorCode::kUnsupported,
                            fmt::format("OpenSSL here refuses {}, which the hub's files are checked with",
                                        EVP_MD_get0_name(kind))});
    }
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Checksum::Checksum(std::unique_ptr<State> state) : state_(std::move(state)) {}
Checksum::Checksum(Checksum&&) noexcept = default;
Checksum& Checksum::operator=(Checksum&&) noexcept = default;
Checksum::~Checksum() = default;

Checksum Checksum::sha256() { return Checksum(std::make_unique<State>(EVP_sha256())); }

Checksum Checksum::git_blob(uint64_t file_bytes) {
  Checksum checksum(std::make_unique<State>(EVP_sha1()));
  const std::string header = fmt::format("blob {}", file_bytes);
  checksum.add(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
  return checksum;
}

void Checksum::add(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

std::string Checksum::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, digest.data(), &size);
  return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
}

}  // namespace halod::cli
