#include "base/machine/machine.h"

namespace halod {

const Gpu* Machine::gpu() const { return preferred_gpu(gpus); }

Machine read_machine(const std::filesystem::path& root) {
  Machine machine{.root = root};
  machine.kernel = read_kernel(root);
  machine.iommu = read_iommu(root, machine.kernel);
  machine.gpus = read_gpus(root);
  machine.gpu_memory_limits = read_gpu_memory_limits(root);
  machine.firmware_package = find_firmware_package(root);
  machine.power = read_power_settings(root);
  machine.accounts = Accounts::read(root);
  machine.device_nodes = read_device_nodes(root, machine.accounts);
  machine.rocm = find_rocm_runtime(root);
  machine.memory = read_machine_memory(root);
  return machine;
}

}  // namespace halod
