#!/usr/bin/env python3
"""Boots a real systemd in a container, installs halod's .deb there, and runs the checks of tests/e2e/booted.

    tests/e2e/run.py [--deb FILE] [--only NAME...]
    tests/e2e/run.py --can-run

Needs root on a Debian machine with debootstrap and systemd-nspawn, and the network once: the tree that is booted is made once and
kept in build/e2e; each run boots a volatile overlay of it. Exit status: 0 all passed, 1 not, 77 cannot run here (and says why).
Environment: HALOD_E2E_MIRROR (default http://deb.debian.org/debian), HALOD_E2E_CACHE (default build/e2e).
"""
import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("HALOD_E2E_CACHE", ROOT / "build/e2e"))
MIRROR = os.environ.get("HALOD_E2E_MIRROR", "http://deb.debian.org/debian")
# Beyond minbase: what a server has anyway, and Python for the checks. halod's own dependencies come from its package.
PACKAGES = ["systemd", "systemd-sysv", "libpam-systemd", "dbus", "polkitd", "power-profiles-daemon", "udev", "python3"]
BOOT_TIMEOUT = 600  # seconds, for everything inside
SKIPPED = 77


def skip(reason: str) -> None:
    print(f"SKIPPED: the end-to-end test cannot run here: {reason}")
    sys.exit(SKIPPED)


def release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines() if Path("/etc/os-release").exists() else []
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def check_requirements() -> None:
    if os.geteuid() != 0:
        skip("it needs root")
    for program in ("debootstrap", "systemd-nspawn", "unshare", "dpkg-deb", "dpkg-shlibdeps"):
        if not shutil.which(program):
            skip(f"there is no {program}")
    if release().get("ID") != "debian":
        skip("the package is built for the machine's own distribution, and only Debian trees are made here")


def newest_deb() -> Path:
    debs = sorted((ROOT / "build/cpu-release/packages").glob("halod_*.deb"), key=lambda path: path.stat().st_mtime)
    if not debs:
        sys.exit("run.py: no build/cpu-release/packages/halod_*.deb; `scripts/check e2e` builds it first")
    return debs[-1]


def make_tree(deb: Path) -> Path:
    """The tree with everything that `deb` depends on; made anew only when that changes."""
    depends = subprocess.check_output(["dpkg-deb", "-f", deb, "Depends"], text=True).strip()
    suite = release()["VERSION_CODENAME"]
    key = hashlib.sha256("\n".join([suite, MIRROR, depends, *PACKAGES]).encode()).hexdigest()[:12]
    tree = CACHE / f"{suite}-{key}"
    if tree.exists():
        return tree
    print(f"# making {tree}", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{suite}-*"):
        shutil.rmtree(old)
    making = CACHE / f"{suite}-{key}.making"
    with open(CACHE / "tree.log", "w") as log:
        def run(*command) -> None:
            if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode != 0:
                skip(f"{command[0]} failed, probably for want of a network: see {log.name}")

        run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(making), MIRROR)
        # A mirror that is a snapshot has dates in the past.
        (making / "etc/apt/apt.conf.d/99snapshot").write_text('Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n')
        run("chroot", str(making), "apt-get", "update")
        run("chroot", str(making), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "satisfy", "--yes", "--no-install-recommends",
            depends)
        run("chroot", str(making), "apt-get", "clean")
    making.rename(tree)
    return tree


def lay_out(folder: Path, deb: Path) -> None:
    """What the booted system sees as /e2e."""
    for name in ("tests/e2e/booted", "tests/integration"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    shutil.copy(deb, folder / "halod.deb")


def boot(tree: Path, folder: Path, only: list[str]) -> int:
    """Runs the checks; their lines are shown as they come. The exit status of the boot."""
    (folder / "only").write_text(" ".join(only))
    result = folder / "result.txt"
    result.touch()
    command = [str(HERE / "boot-ns"), "timeout", "--kill-after=5", str(BOOT_TIMEOUT), "systemd-nspawn", "--quiet", f"--directory={tree}",
               "--volatile=overlay", "--register=no", "--keep-unit", "--boot", "--console=pipe", "--private-network",
               f"--machine=halod-e2e-{os.getpid()}", f"--bind={folder}:/e2e",
               f"--bind-ro={folder}/tests/e2e/booted/halod-e2e.service:/etc/systemd/system/halod-e2e.service",
               "--", "systemd.unit=multi-user.target", "systemd.wants=halod-e2e.service"]
    with open(folder / "console.txt", "wb") as console, open(result) as lines:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)
        ended = False
        while not ended:
            ended = process.poll() is not None
            print(lines.read(), end="", flush=True)
            time.sleep(0.1)
    return process.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deb", type=Path, help="the package (default: the newest in build/cpu-release/packages)")
    parser.add_argument("--only", nargs="*", default=[], help="names of tests/e2e/booted/check_NAME.py; install is always run")
    parser.add_argument("--can-run", action="store_true", help="only say whether this machine can: exit status 0 or 77")
    arguments = parser.parse_args()
    check_requirements()
    if arguments.can_run:
        return 0
    deb = (arguments.deb or newest_deb()).resolve()
    tree = make_tree(deb)
    folder = Path(tempfile.mkdtemp(prefix="halod-e2e-"))
    lay_out(folder, deb)
    start = time.monotonic()
    status = boot(tree, folder, arguments.only)
    summary = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", (folder / "result.txt").read_text(), re.MULTILINE)
    print(f"# {time.monotonic() - start:.0f} s with the boot")
    if summary and summary.group(2) == "0" and int(summary.group(1)) > 0:
        shutil.rmtree(folder)
        return 0
    if not summary:
        print(f"the checks did not get to their end; the boot exited {status}:\n{(folder / 'console.txt').read_text(errors='replace')[-4000:]}")
        if status == SKIPPED:
            skip("the machine lets nobody mount a cgroup tree")
    print(f"# console and journals are in {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
