"""Simulated machines: a root with what the role kernel_args reads and writes, and the tools of one way to boot (boot_tools.py)."""
import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = {"grubby": ["grubby"], "rpm_ostree": ["rpm-ostree"], "kernel_install": ["kernel-install"], "grub_default": ["update-grub"],
         "bootc": []}
# On a machine that has one itself, a simulated machine of another kind would find it.
DANGEROUS = [tool for tool in ("grubby", "rpm-ostree") if shutil.which(tool)]


@dataclass
class Machine:
    """`before` is what it booted with; `stored` what its boot loader has, the same unless given."""
    name: str
    kind: str
    memory_mib: int
    kernel: str
    before: str
    expected: str  # what the boot loader shall pass in the end
    variables: dict = field(default_factory=dict)
    root: Path = Path()

    def make(self, folder: Path) -> None:
        self.root = folder / self.name
        tools = self.root / "bin"
        tools.mkdir(parents=True)
        for tool in TOOLS[self.kind]:
            (tools / tool).symlink_to(HERE / "boot_tools.py")
        self.write("proc/cmdline", f"BOOT_IMAGE=/vmlinuz-{self.kernel} {self.before}\n")
        self.write("calls.log", "")
        getattr(self, f"make_{self.kind}")()

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def make_grubby(self) -> None:
        entries = [{"version": self.kernel, "args": self.before.split()}, {"version": "0-rescue-0a1b", "args": self.before.split()}]
        self.write("boot/entries.json", json.dumps(entries))
        self.write("etc/kernel/cmdline", self.before + "\n")

    def make_rpm_ostree(self) -> None:
        self.write("run/ostree-booted", "")
        self.write("ostree.kargs", self.before)

    def make_bootc(self) -> None:
        self.write("run/ostree-booted", "")

    def make_kernel_install(self) -> None:
        self.write(f"usr/lib/modules/{self.kernel}/vmlinuz", "")

    def make_grub_default(self) -> None:
        self.write("etc/default/grub", f'# If you change this file, run update-grub\nGRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="{self.before}"\n'
                                       "GRUB_CMDLINE_LINUX=''\n")

    def next_command_line(self) -> str:
        """What the boot loader will pass: from what its tools have made, not from what the role has written."""
        if self.kind == "grubby":
            entries = json.loads((self.root / "boot/entries.json").read_text())
            lines = {" ".join(entry["args"]) for entry in entries} | {(self.root / "etc/kernel/cmdline").read_text().strip()}
            if len({tuple(sorted(line.split())) for line in lines}) != 1:
                raise AssertionError(f"{self.name}: entries differ: {lines}")
            return " ".join(entries[0]["args"])
        if self.kind == "rpm_ostree":
            return (self.root / "ostree.kargs").read_text()
        if self.kind == "kernel_install":
            return (self.root / f"boot/loader/entries/0a1b-{self.kernel}.conf").read_text().split("options ")[1].strip()
        menu = (self.root / "boot/grub/grub.cfg").read_text()
        return menu.split("root=UUID=0a ro")[1].split("\n")[0].strip()

    def boot(self) -> None:
        self.write("proc/cmdline", f"BOOT_IMAGE=/vmlinuz-{self.kernel} {self.next_command_line()}\n")

    def calls(self) -> list[str]:
        """Those that change something."""
        reading = ("grubby --info=ALL", "rpm-ostree kargs")
        return [call for call in (self.root / "calls.log").read_text().splitlines() if call not in reading]

    def host_variables(self) -> dict:
        given = {"kernel_args_backend": self.kind} if DANGEROUS and self.kind != "bootc" else {}
        return {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "kernel_args_root": str(self.root),
                "kernel_args_memory_mib": self.memory_mib, "kernel_args_kernel": self.kernel, **given, **self.variables,
                "simulated": {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "SIMULATED_ROOT": str(self.root)}}


def calls_of(machine: Machine, tool: str) -> list[list[str]]:
    return [shlex.split(call) for call in machine.calls() if call.split()[0] == tool]
