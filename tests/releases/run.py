#!/usr/bin/env python3
"""Builds halod in a tree of another Debian release and runs its tests there: other compiler, other Boost, sdbus-c++ 2.x.

    tests/releases/run.py [SUITE] [--tests REGEX]
    tests/releases/run.py [SUITE] --packages

SUITE is a Debian release (default trixie); --tests are the tests to run (default: all but the accuracy ones, which say nothing about
a release). --packages makes that release's .debs instead, boots it, and runs tests/e2e/booted with them. Needs root, debootstrap and a
network; trees and builds are kept in build/releases. Exit status: 0 all passed, 1 not, 77 cannot run here (and says why).
Environment: HALOD_E2E_MIRROR (default http://deb.debian.org/debian), JOBS, CMAKE_ARGS (for --packages).
"""
import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build/releases"
MIRROR = os.environ.get("HALOD_E2E_MIRROR", "http://deb.debian.org/debian")
JOBS = os.environ.get("JOBS") or str(os.cpu_count())
SKIPPED = 77


def skip(reason: str) -> None:
    print(f"SKIPPED: no other release can be tried here: {reason}")
    sys.exit(SKIPPED)


def make_tree(suite: str) -> Path:
    tree = CACHE / suite
    if tree.exists():
        return tree
    CACHE.mkdir(parents=True, exist_ok=True)
    making = CACHE / f"{suite}.making"
    shutil.rmtree(making, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", suite, str(making), MIRROR]
    print("+", shlex.join(command), flush=True)
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
        skip(f"debootstrap failed, probably for want of a network: see {making}/debootstrap/debootstrap.log")
    # A mirror that is a snapshot has dates in the past.
    (making / "etc/apt/apt.conf.d/99snapshot").write_text('Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n')
    making.rename(tree)
    return tree


# In a mount namespace of its own. The sources are read-only: a build that writes into them is broken.
INSIDE = """
set -e
tree=$1; source=$2; shared=$3; shift 3
mkdir -p "$tree/src/halod" "$tree/src/shared" "$tree/build" "$tree/proc" "$tree/dev"
mount --bind -o ro "$source" "$tree/src/halod"
[ ! -d "$shared" ] || mount --bind -o ro "$shared" "$tree/src/shared"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
exec chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -ec "$@"
"""

BUILD_AND_TEST = """
cd /src/halod
scripts/install-deps build
apt-get install -y -qq --no-install-recommends dbus systemd >/dev/null
sh -c '. /etc/os-release; echo "# $PRETTY_NAME"'
c++ --version | head -1
echo "# sdbus-c++ $(pkg-config --modversion sdbus-c++)"
cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DHALOD_WERROR=ON
cmake --build /build --parallel {jobs} --target all halod_tests -- -k 0
ctest --test-dir /build --output-on-failure --no-tests=error --parallel {jobs} {choice}
"""


BUILD_PACKAGES = """
cd /src/halod
scripts/install-deps build
apt-get install -y -qq --no-install-recommends dpkg-dev file >/dev/null
cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DHALOD_WERROR=ON {arguments}
cmake --build /build --parallel {jobs} --target halod halo-engine haloctl haloctl_docs halo-bench
rm -f /build/packages/*.deb
cd /build && cpack -G DEB
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", default="trixie")
    parser.add_argument("--tests", metavar="REGEX", help="as ctest -R")
    parser.add_argument("--packages", action="store_true", help="make the .debs, and try them in a booted system of that release")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        skip("it needs root")
    for program in ("debootstrap", "unshare", "chroot"):
        if not shutil.which(program):
            skip(f"there is no {program}")
    tree = make_tree(arguments.suite)
    choice = shlex.join(["-R", arguments.tests] if arguments.tests else ["-E", "accuracy"])
    commands = (BUILD_PACKAGES.format(jobs=JOBS, arguments=os.environ.get("CMAKE_ARGS", "")) if arguments.packages
                else BUILD_AND_TEST.format(jobs=JOBS, choice=choice))
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", INSIDE, "sh", str(tree), str(ROOT), str(ROOT.parent / "shared"),
               commands]
    if subprocess.run(command).returncode:
        return 1
    if not arguments.packages:
        return 0
    boot = [ROOT / "tests/e2e/run.py", f"--suite={arguments.suite}", f"--packages={tree}/build/packages"]
    return 1 if subprocess.run(boot).returncode else 0


if __name__ == "__main__":
    sys.exit(main())
