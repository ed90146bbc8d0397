// haloctl tune: has halo-bench measure which kernels are fastest here. It needs no server, but asks one for
// the model that is meant.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cli/control_client.h"

namespace halod::cli {

struct TuneFlags {
  std::string model;  ///< a file, a folder, or a name that the server knows; empty: its loaded ones
  std::string budget = "60s";
  std::string backend;     ///< empty: the server's, or auto where none is asked
  uint32_t n_threads = 0;  ///< 0: one per physical core
  std::string cache;       ///< empty: halo-bench decides
  std::string export_file, import_file;
  bool again = false, verify = false;
  std::string bench;  ///< empty: the halo-bench beside haloctl
};

/// `connect` is called only where a server must be asked.
int run_tune(bool json, const TuneFlags& flags,
             const std::function<Reply<std::unique_ptr<ControlClient>>()>& connect);

}  // namespace halod::cli
