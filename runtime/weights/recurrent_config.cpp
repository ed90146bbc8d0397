#include "runtime/weights/recurrent_config.h"

#include <fmt/format.h>

namespace halod {
namespace {

/// What both kinds call by the same names; head_dim and key_dim are their own.
RecurrentConfig read_heads(const ConfigKeys& keys) {
  RecurrentConfig recurrent;
  recurrent.conv_kernel = keys.count("ssm.conv_kernel", 64);
  recurrent.n_key_heads = keys.count("ssm.group_count", 1 << 16);
  recurrent.n_value_heads = keys.count("ssm.time_step_rank", 1 << 16);
  if (recurrent.conv_kernel < 2)
    keys.fail_unsupported(keys.key("ssm.conv_kernel"), "is 1; 2 or more taps are supported");
  if (recurrent.n_value_heads % recurrent.n_key_heads != 0) {
    keys.fail_corrupt(keys.key("ssm.group_count"),
                      fmt::format("is {}, which does not divide the {} heads of ssm.time_step_rank",
                                  recurrent.n_key_heads, recurrent.n_value_heads));
  }
  return recurrent;
}

int64_t read_state_size(const ConfigKeys& keys) {
  const int64_t size = keys.count("ssm.state_size", 1024);
  if (size % 16 != 0) {
    keys.fail_unsupported(keys.key("ssm.state_size"),
                          fmt::format("is {}; only multiples of 16 are supported", size));
  }
  return size;
}

}  // namespace

RecurrentConfig read_gated_delta_net_config(const ConfigKeys& keys) {
  RecurrentConfig recurrent = read_heads(keys);
  recurrent.head_dim = read_state_size(keys);
  if (keys.count("ssm.inner_size", int64_t{1} << 30) != recurrent.value_size()) {
    keys.fail_corrupt(keys.key("ssm.inner_size"),
                      fmt::format("is {}, but {} heads of {} are {}", keys.count("ssm.inner_size"),
                                  recurrent.n_value_heads, recurrent.head_dim, recurrent.value_size()));
  }
  return recurrent;
}

RecurrentConfig read_mamba2_config(const ConfigKeys& keys) {
  RecurrentConfig recurrent = read_heads(keys);
  recurrent.key_dim = read_state_size(keys);
  const int64_t inner_size = keys.count("ssm.inner_size");
  if (inner_size % (16 * recurrent.n_value_heads) != 0) {
    keys.fail_unsupported(keys.key("ssm.inner_size"),
                          fmt::format("is {}; {} heads of a multiple of 16 are supported", inner_size,
                                      recurrent.n_value_heads));
  }
  recurrent.head_dim = inner_size / recurrent.n_value_heads;
  return recurrent;
}

}  // namespace halod
