#include "cli/doctor/kernel_arguments.h"

#include <fmt/format.h>

#include "base/machine/text_file.h"

namespace halod::cli {

std::string how_to_set_kernel_arguments(const Kernel& kernel, std::string_view arguments) {
  const std::string& id = kernel.distribution_id;
  if (kernel.is_ostree) {
    std::string options;
    for (const std::string& word : words_of(arguments)) {
      // --append would keep an old value beside the new one.
      const std::string name = word.substr(0, word.find('='));
      options += kernel.argument(name) ? fmt::format(" --delete={}", name) : "";
      options += fmt::format(" --append={}", word);
    }
    return fmt::format("sudo rpm-ostree kargs{}, then reboot", options);
  }
  if (id == "fedora" || id == "rhel" || id == "centos" || id == "almalinux" || id == "rocky")
    return fmt::format("sudo grubby --update-kernel=ALL --args=\"{}\", then reboot", arguments);
  if (id == "debian" || id == "ubuntu")
    return fmt::format("add {} to GRUB_CMDLINE_LINUX in /etc/default/grub, run sudo update-grub, then reboot",
                       arguments);
  return fmt::format("add {} to the kernel's command line, then reboot", arguments);
}

}  // namespace halod::cli
