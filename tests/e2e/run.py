#!/usr/bin/env python3
"""Boots a real systemd in a container and runs checks of tests/e2e/booted there.

    tests/e2e/run.py [--suite SUITE] [--packages FOLDER] [--only NAME...]    installs the .debs, as docs/paths/native.sh says
    tests/e2e/run.py --quadlet                                               podman in it, as docs/paths/quadlet.sh says
    tests/e2e/run.py --tree [--quadlet]                                      makes the tree that is booted, and prints where it is
    tests/e2e/run.py --can-run

Needs root on a Debian machine with debootstrap and systemd-nspawn, and the network once: the tree that is booted is made once and
kept in build/e2e; each run boots a volatile overlay of it. Exit status: 0 all passed, 1 not, 77 cannot run here (and says why).
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checks import SKIPPED
from image import saved_image
from trees import ROOT, make_tree, release, skip

HERE = Path(__file__).resolve().parent
PACKAGES = ROOT / "build/cpu-release/packages"
# Beyond minbase: what a server has anyway, and Python for the checks. halod's own dependencies come from its packages.
SERVER = ["systemd", "systemd-sysv", "libpam-systemd", "dbus", "polkitd", "udev", "python3", "curl"]
# The first release whose podman knows Quadlet, whatever this machine is: the image brings what halod needs.
PODMAN_SUITE = "trixie"
PODMAN = ["podman", "crun", "conmon", "netavark", "aardvark-dns", "nftables"]
# In this order: the first installs the packages, the last takes them away.
NATIVE_CHECKS = ["install", "service", "journal", "faults", "socket", "dbus", "power", "removal"]
BOOT_TIMEOUT = 600  # seconds, for everything inside


def check_requirements() -> None:
    if os.geteuid() != 0:
        skip("it needs root")
    for program in ("debootstrap", "systemd-nspawn", "unshare", "dpkg-deb", "dpkg-shlibdeps"):
        if not shutil.which(program):
            skip(f"there is no {program}")
    if release().get("ID") != "debian":
        skip("the packages are built for the machine's own distribution, and only Debian trees are made here")


def newest_debs(folder: Path) -> list[Path]:
    """One of each package; those of the newest version."""
    newest = {}
    for path in sorted(folder.glob("*.deb"), key=lambda path: path.stat().st_mtime):
        newest[path.name.split("_")[0]] = path
    if set(newest) != {"halod", "haloctl", "halod-bench"}:
        sys.exit(f"run.py: {folder} has the packages {sorted(newest)}; `scripts/check e2e` builds halod, haloctl and halod-bench first")
    return list(newest.values())


def dependencies(debs: list[Path]) -> str:
    fields = [subprocess.check_output(["dpkg-deb", "-f", deb, "Depends"], text=True).strip() for deb in debs]
    return ", ".join(sorted({one for field in fields for one in field.split(", ")}))


def native_tree(suite: str, debs: list[Path]) -> Path:
    """What the packages are installed into."""
    return make_tree(suite, [*SERVER, "power-profiles-daemon"], dependencies(debs))


def quadlet_tree() -> Path:
    """What podman runs the image in."""
    return make_tree(PODMAN_SUITE, [*SERVER, *PODMAN])


def lay_out_checkout(folder: Path, debs: list[Path]) -> None:
    """What a user has after `git clone`, without the sources, and with packages that are built already."""
    checkout = folder / "checkout"
    for name in ("tests/e2e", "tests/integration", "docs/paths", "packaging", "etc"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    packages = checkout / "build/cpu-release/packages"
    packages.mkdir(parents=True)
    for deb in debs:
        shutil.copy(deb, packages)


def boot(tree: Path, folder: Path, options: list[str], environment: dict[str, str]) -> int:
    """Runs the checks; their lines are shown as they come. The exit status of the boot."""
    result = folder / "result.txt"
    result.touch()
    command = [str(HERE / "boot-ns"), "timeout", "--kill-after=5", str(BOOT_TIMEOUT), "systemd-nspawn", "--quiet", f"--directory={tree}",
               "--volatile=overlay", "--register=no", "--keep-unit", "--boot", "--console=pipe", "--private-network",
               f"--machine=halod-e2e-{os.getpid()}", f"--bind={folder}:/e2e", *options,
               f"--bind-ro={folder}/checkout/tests/e2e/booted/halod-e2e.service:/etc/systemd/system/halod-e2e.service",
               "--", "systemd.unit=multi-user.target", "systemd.wants=halod-e2e.service"]
    with open(folder / "console.txt", "wb") as console, open(result) as lines:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, env=os.environ | environment)
        ended = False
        while not ended:
            ended = process.poll() is not None
            print(lines.read(), end="", flush=True)
            time.sleep(0.1)
    return process.returncode


def run(tree: Path, folder: Path, plan: list[str], options: list[str] = [], environment: dict[str, str] = {}) -> int:
    (folder / "plan").write_text(" ".join(plan))
    start = time.monotonic()
    status = boot(tree, folder, options, environment)
    counts = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", (folder / "result.txt").read_text(), re.MULTILINE)
    print(f"# {time.monotonic() - start:.0f} s with the boot")
    if counts and counts.group(2) == "0" and int(counts.group(1)) > 0:
        shutil.rmtree(folder)
        return 0
    if not counts:
        print(f"the checks did not get to their end; the boot exited {status}:\n{(folder / 'console.txt').read_text(errors='replace')[-4000:]}")
        if status == SKIPPED:
            skip("the machine lets nobody mount a cgroup tree")
    print(f"# console and journals are in {folder}")
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="folder of the .debs (default: build/cpu-release/packages)")
    parser.add_argument("--suite", default=release().get("VERSION_CODENAME"), help="the release to boot (default: this machine's)")
    parser.add_argument("--only", nargs="*", default=[], help="names of tests/e2e/booted/check_NAME.py; install is always run")
    parser.add_argument("--quadlet", action="store_true", help="halod as a container in a booted Debian 13")
    parser.add_argument("--can-run", action="store_true", help="only say whether this machine can: exit status 0 or 77")
    parser.add_argument("--tree", action="store_true", help="only make the tree, and print its path as the last line")
    arguments = parser.parse_args()
    check_requirements()
    if arguments.can_run:
        return 0
    if arguments.tree:
        print(quadlet_tree() if arguments.quadlet else native_tree(arguments.suite, newest_debs(arguments.packages)))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="halod-e2e-"))
    if arguments.quadlet:
        lay_out_checkout(folder, [])
        tree = quadlet_tree()
        shutil.copy(saved_image(), folder / "image.tar")
        (folder / "storage").mkdir()
        # The storage lies outside, because an overlay cannot have its upper layer in an overlay. No filter of system calls around the
        # containers' own: they need calls that nspawn's does not let through.
        return run(tree, folder, ["quadlet"], ["--capability=all", f"--bind={folder}/storage:/var/lib/containers"],
                   {"SYSTEMD_SECCOMP": "0"})
    debs = newest_debs(arguments.packages)
    lay_out_checkout(folder, debs)
    tree = native_tree(arguments.suite, debs)
    plan = [name for name in NATIVE_CHECKS if not arguments.only or name in ["install", *arguments.only]]
    return run(tree, folder, plan)


if __name__ == "__main__":
    sys.exit(main())
