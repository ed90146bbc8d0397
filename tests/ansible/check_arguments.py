"""Values of the wrong type, choice or range are refused before a role does anything."""
import sys

from checks import check, expect, temporary_folder
from playbook import Ansible

# Role, variables, what the refusal says.
BAD = [
    ("kernel_args", {"kernel_args_gpu_gib": "a lot"}, "kernel_args_gpu_gib"),
    ("kernel_args", {"kernel_args_iommu": "off"}, "value of kernel_args_iommu must be one of: pt, disabled, leave"),
    ("kernel_args", {"kernel_args_present": {"iommu": "pt"}}, "kernel_args_present"),
    ("kernel_args", {"strix_halo_kernel_reboot_allowed": "perhaps"}, "strix_halo_kernel_reboot_allowed"),
    ("gpu_access", {"gpu_access_floors": "strict"}, "value of gpu_access_floors must be one of: fail, warn, ignore"),
    ("gpu_access", {"gpu_access_udev": "often"}, "gpu_access_udev"),
    ("halod", {"halod_install_method": "snap"}, "value of halod_install_method must be one of: package, quadlet"),
    ("halod", {"halod_config": ["listen"]}, "halod_config"),
    ("halod", {"halod_listen": "everywhere"}, "it must be ADDRESS:PORT"),
    ("halod", {"halod_listen": "0.0.0.0:8000"}, "halod_api_keys needs a key"),
    ("halod", {"halod_install_method": "quadlet"}, "needs halod_image"),
    ("models", {"models_files": [{"path": "a.gguf", "url": "http://x/a"}]}, "missing required arguments: bytes, sha256"),
    ("models", {"models_seed_port": "rsync"}, "models_seed_port"),
    ("models", {"models_seed_host": "elsewhere"}, "must be among the hosts"),
    ("tuning", {"tuning_again": "maybe"}, "tuning_again"),
    ("benchmark", {"benchmark_repeats": "many"}, "benchmark_repeats"),
    ("model_swap", {"model_swap_model": "m", "model_swap_policy": "kill"}, "value of model_swap_policy must be one of: drain, pause"),
    ("model_swap", {}, "model_swap_model is empty"),
]


@check("arguments: bad values are refused by name")
def _():
    with temporary_folder() as folder:
        hosts = {f"{role}-{idx}": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "role": role,
                                   "gpu_access_kernel": "6.18.4", "kernel_args_memory_mib": 128_000, "kernel_args_kernel": "6.18.4", **variables}
                 for idx, (role, variables, _) in enumerate(BAD)}
        play = [{"hosts": "all", "gather_facts": False,
                 "tasks": [{"ansible.builtin.include_role": {"name": "halod.fleet.{{ role }}"}}]}]
        run = Ansible(folder, hosts).run(play)
        for (name, _), (_, variables, message) in zip(hosts.items(), BAD):
            failure = run.failure(name)
            expect(message in failure, f"{name} {variables}: {failure}")
            changed = [row["task"] for row in run.rows if row["host"] == name and row["result"].get("changed")]
            expect(not changed, f"{name} {variables}: changed {changed}")
        return f"{len(BAD)} values"
