// How this machine's administrator changes the kernel's command line.
#pragma once

#include <string>
#include <string_view>

#include "base/machine/kernel.h"

namespace halod::cli {

/// One sentence with the command of the distribution: grubby on Fedora, rpm-ostree on its images,
/// /etc/default/grub on Debian. The change needs a reboot, and the sentence says so.
std::string how_to_set_kernel_arguments(const Kernel& kernel, std::string_view arguments);

}  // namespace halod::cli
