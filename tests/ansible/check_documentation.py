"""README, defaults and argument_specs of each role say the same, and the check that holds them together notices when they do not."""
import shutil
import subprocess
import sys

from checks import check, expect, temporary_folder
from playbook import COLLECTION, ROOT


def ansible_docs(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "scripts/ansible-docs", "--check", *arguments], capture_output=True, text=True)


@check("documentation: README, defaults and argument_specs of every role agree")
def _():
    done = ansible_docs()
    expect(done.returncode == 0, done.stderr)
    return done.stdout.strip().removeprefix("ansible-docs: ")


def damaged(path: str, before: str, after: str, complaint: str) -> None:
    """The check must find what is done to a copy."""
    with temporary_folder() as folder:
        shutil.copytree(COLLECTION / "roles", folder / "ansible/roles")
        (folder / "docs").mkdir()
        shutil.copy(ROOT / "docs/ansible-variables.md", folder / "docs")
        file = folder / path
        text = file.read_text()
        expect(before in text, f"{path} has no {before!r} to replace")
        file.write_text(text.replace(before, after, 1))
        done = ansible_docs(str(folder))
        expect(done.returncode == 1 and complaint in done.stderr, f"{path}: {done.stderr or done.stdout}")


@check("documentation: a default, a variable or a table of one place alone is found")
def _():
    role = "ansible/roles/kernel_args"
    damaged(f"{role}/defaults/main.yml", "kernel_args_reserve_gib: 8", "kernel_args_reserve_gib: 9", "the default of kernel_args_reserve_gib is 8")
    damaged(f"{role}/defaults/main.yml", "kernel_args_reserve_gib: 8\n", "", "kernel_args_reserve_gib is in argument_specs.yml and not in")
    damaged(f"{role}/defaults/main.yml", "kernel_args_root: /", "kernel_args_root: /\nkernel_args_new: 1", "kernel_args_new is in defaults/main.yml")
    damaged(f"{role}/README.md", "| `kernel_args_reserve_gib` | int | `8` |", "| `kernel_args_reserve_gib` | int | `7` |", "README.md is not what")
    damaged("docs/ansible-variables.md", "`kernel_args_iommu`", "`kernel_args_mmu`", "docs/ansible-variables.md is not what")


@check("documentation: the roles' copies of files are the package's")
def _():
    copies = {"roles/gpu_access/files/70-halod.rules": "systemd/70-halod.rules", "roles/halod/files/quadlet/20-cpu-only.conf":
              "quadlet/halod.container.d/20-cpu-only.conf"}
    folders = {"roles/halod/files/quadlet": "quadlet", "roles/halod/files/selinux": "selinux"}
    copies |= {f"{folder}/{file.name}": f"{original}/{file.name}" for folder, original in folders.items()
               for file in (COLLECTION / folder).iterdir() if f"{folder}/{file.name}" not in copies}
    copies |= {f"roles/halod/files/bus/{name}": path for name, path in (
        ("io.halod.Halod1.conf", "dbus/io.halod.Halod1.conf"), ("io.halod.Halod1.service", "dbus/io.halod.Halod1.service"),
        ("50-halod.rules", "polkit/50-halod.rules"), ("io.halod.policy", "polkit/io.halod.policy"))}
    for copy, original in copies.items():
        expect((COLLECTION / copy).read_text() == (ROOT / "packaging" / original).read_text(), f"ansible/{copy} is not packaging/{original}")
