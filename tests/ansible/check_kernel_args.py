"""The role kernel_args on simulated machines: 64, 96 and 128 GB, old and new kernels, every way to boot."""
from checks import check, expect, temporary_folder
from playbook import Ansible, with_role
from simulated import DANGEROUS, Machine

NEW, OLD, DEBIAN = "6.18.9-200.fc43.x86_64", "6.15.4-200.fc42.x86_64", "6.12.48+deb13-amd64"
PLAY = with_role("kernel_args", environment="{{ simulated }}")


def machines() -> list[Machine]:
    """What the kernel sees of 64, 96 and 128 GB beside half a GiB that the firmware sets aside, in MiB."""
    gb64, gb96, gb128 = 63_714, 95_938, 128_100
    return [
        Machine("fedora-64-new", "grubby", gb64, NEW, "ro rhgb quiet rd.lvm.lv=f/root rd.lvm.lv=f/swap",
                "ro rhgb quiet rd.lvm.lv=f/root rd.lvm.lv=f/swap iommu=pt ttm.pages_limit=14680064"),
        Machine("fedora-96-old", "grubby", gb96, OLD, "ro amdgpu.gttsize=65536 quiet",
                "ro quiet iommu=pt ttm.pages_limit=23068672 amdgpu.gttsize=90112"),
        Machine("silverblue-128-new", "rpm_ostree", gb128, NEW, "rw amd_iommu=off amdgpu.gttsize=126976 ostree=/x",
                "rw ostree=/x iommu=pt ttm.pages_limit=31457280"),
        Machine("debian-128-old", "grub_default", gb128, DEBIAN, "quiet console=tty0 console=ttyS0,115200",
                "quiet console=tty0 console=ttyS0,115200 iommu=pt ttm.pages_limit=31457280 amdgpu.gttsize=122880"),
        Machine("debian-64-old", "grub_default", gb64, DEBIAN, "ttm.pages_limit=1 quiet",
                "quiet iommu=pt ttm.pages_limit=14680064 amdgpu.gttsize=57344"),
        Machine("systemd-boot-128-new", "kernel_install", gb128, NEW, "root=LABEL=r rw", "root=LABEL=r rw iommu=pt ttm.pages_limit=31457280"),
        Machine("systemd-boot-96-old", "kernel_install", gb96, OLD, "rw", "rw iommu=pt ttm.pages_limit=23068672 amdgpu.gttsize=90112"),
        Machine("given-128-new", "grubby", gb128, NEW, "ro iommu=pt", "ro amd_iommu=off ttm.pages_limit=32505856 mitigations=off",
                {"kernel_args_gpu_gib": 124, "kernel_args_iommu": "disabled", "kernel_args_extra": ["mitigations=off"]}),
        Machine("old-inventory-128", "grubby", gb128, NEW, "ro ttm.pages_limit=1", "ro amd_iommu=off amdgpu.gttsize=126976 ttm.pages_limit=32505856",
                {"strix_halo_kernel_args_enabled": True, "strix_halo_kernel_reboot_allowed": False,
                 "strix_halo_kernel_args": "amd_iommu=off amdgpu.gttsize=126976 ttm.pages_limit=32505856"}),
    ]


def prepare(folder, rows: list[Machine]) -> Ansible:
    for machine in rows:
        machine.make(folder)
    return Ansible(folder, {machine.name: machine.host_variables() for machine in rows})


@check("kernel_args: check mode, for real, again, refused reboots, after the boot")
def _():
    with temporary_folder() as folder:
        rows = machines()
        ansible = prepare(folder, rows)

        tried = ansible.run(PLAY, "--check", "--diff")
        for machine in rows:
            stats = tried.stats[machine.name]
            expect(stats["changed"] == 1 and not stats["failures"], f"check mode, {machine.name}: {stats}\n{tried.output[-3000:]}")
            expect(machine.calls() == [], f"check mode, {machine.name}: called {machine.calls()}")

        done = ansible.run(PLAY)
        for machine in rows:
            stats = done.stats[machine.name]
            expect(stats["changed"] == 1 and not stats["failures"], f"{machine.name}: {stats}\n{done.output[-3000:]}")
            got = machine.next_command_line().split()
            expect(sorted(got) == sorted(machine.expected.split()), f"{machine.name}: will boot with {' '.join(got)}, not {machine.expected}")
            expect("until it is rebooted" in done.messages(machine.name), f"{machine.name} does not say that a reboot is pending")

        n_calls = {machine.name: len(machine.calls()) for machine in rows}
        again = ansible.run(PLAY)
        for machine in rows:
            expect(again.stats[machine.name]["changed"] == 0, f"again, {machine.name}: {again.changed_tasks(machine.name)} changed")
            expect(len(machine.calls()) == n_calls[machine.name], f"again, {machine.name}: called {machine.calls()}")
            # Nobody let it reboot, so it is still pending.
            expect("set kernel_args_reboot_allowed" in again.messages(machine.name), f"{machine.name} has forgotten its reboot")

        for machine in rows:
            machine.boot()
        booted = ansible.run(PLAY)
        for machine in rows:
            expect(booted.changed_tasks(machine.name) == [], f"booted, {machine.name}: {booted.changed_tasks(machine.name)} changed")
            expect("until it is rebooted" not in booted.messages(machine.name), f"{machine.name} wants another reboot")
        return f"{len(rows)} machines"


@check("kernel_args: what cannot be done is refused by name, and nothing is touched")
def _():
    with temporary_folder() as folder:
        rows = [
            Machine("bootc", "bootc", 128_100, NEW, "ro", "put the arguments into its image"),
            Machine("too-much", "grubby", 128_100, NEW, "ro", "from 1 GiB to 124 GiB", {"kernel_args_gpu_gib": 125}),
            Machine("contradiction", "grubby", 128_100, NEW, "ro", "'iommu=pt' must be both present and absent", {"kernel_args_absent": ["iommu"]}),
            Machine("two-in-one", "grubby", 128_100, NEW, "ro", "'quiet splash' is not one kernel argument", {"kernel_args_extra": ["quiet splash"]}),
            Machine("undone-by-a-drop-in", "grub_default", 128_100, DEBIAN, "ro", "grub.d"),
        ]
        if DANGEROUS:
            rows = [machine for machine in rows if machine.kind != "bootc"]
        ansible = prepare(folder, rows)
        rows[-1].write("etc/default/grub.d/50-cloudimg-settings.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="console=ttyS0"\n')
        run = ansible.run(PLAY)
        for machine in rows:
            message = run.failure(machine.name)
            expect(machine.expected in message, f"{machine.name}: {message}")
            expect(machine.kind == "grub_default" or machine.calls() == [], f"{machine.name}: called {machine.calls()}")
        return f"{len(rows)} machines"


@check("kernel_args: switched off as existing inventories do, it does nothing")
def _():
    with temporary_folder() as folder:
        machine = Machine("off", "grubby", 128_100, NEW, "ro", "", {"strix_halo_kernel_args_enabled": False})
        run = prepare(folder, [machine]).run(PLAY)
        expect(run.status == 0 and (machine.root / "calls.log").read_text() == "", run.output)
