#!/usr/bin/env python3
"""Tests the Ansible collection of ansible/: documentation, lint, roles on simulated machines, and, with --only fleet, in booted systems.

    tests/ansible/run.py [--only NAME...] [--check NAME...] [--packages FOLDER]
    tests/ansible/run.py --can-run

NAME after --only is that of a check_NAME.py here; after --check that of a check in check_booted.py, which is run with those it goes on from
(implies --only fleet). Needs ansible-playbook; what needs more (ansible-lint, root, systemd-nspawn) is skipped where it is not
there, and says so. Exit status: 0 all passed, 1 not, 77 cannot run here (and says why).
"""
import argparse
import importlib
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from checks import CHECKS, SkipCheck, chosen  # noqa: E402

# The quick ones first.
FILES = ["documentation", "modules", "kernel_args", "arguments", "tuning", "quadlet", "lint"]
# Three booted systems; they take minutes.
BOOTING = ["fleet"]
# Run by check_fleet.py in namespaces of its own.
INSIDE = ["booted"]
SKIPPED = 77


def run_check(description: str, function) -> str:
    start = time.monotonic()
    try:
        detail = function()
        print(f"ok - {description} ({f'{detail}, ' if detail else ''}{time.monotonic() - start:.0f} s)", flush=True)
        return "passed"
    except SkipCheck as reason:
        print(f"SKIPPED - {description}: {reason}", flush=True)
        return "skipped"
    except Exception:  # whatever it is, the next check is run
        print(f"NOT OK - {description}")
        for line in traceback.format_exc().splitlines():
            print(f"   # {line}", flush=True)
        return "failed"


def names_of_booted_checks() -> list[str]:
    importlib.import_module("check_booted")
    names = [one.name for one in CHECKS]
    del sys.modules["check_booted"]
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], choices=FILES + BOOTING + INSIDE, metavar="NAME",
                        help=", ".join(FILES + BOOTING))
    parser.add_argument("--check", nargs="*", default=[], metavar="NAME", help="of the booted systems' checks, only these")
    parser.add_argument("--packages", type=Path, help="folder of halod's .debs (default: build/cpu-release/packages)")
    parser.add_argument("--can-run", action="store_true", help="only say whether this machine can: exit status 0 or 77")
    arguments = parser.parse_args()
    if not shutil.which("ansible-playbook"):
        print("SKIPPED: the Ansible collection cannot be tested here: there is no ansible-playbook (Debian and Fedora: ansible-core)")
        return SKIPPED
    if arguments.can_run:
        return 0
    if arguments.packages:
        os.environ["HALOD_ANSIBLE_PACKAGES"] = str(arguments.packages.resolve())
    if arguments.check:
        known = names_of_booted_checks()
        unknown = [name for name in arguments.check if name not in known]
        if unknown:
            parser.error(f"--check {unknown[0]}: there is no such check; there are {', '.join(known)}")
        os.environ["HALOD_ANSIBLE_CHECKS"] = " ".join(arguments.check)
        arguments.only = arguments.only or BOOTING
    # So that what a check has started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    outcomes = {"passed": 0, "failed": 0, "skipped": 0}
    for name in arguments.only or FILES:
        CHECKS.clear()
        try:
            importlib.import_module(f"check_{name}")
        except Exception:
            print(f"NOT OK - check_{name}.py\n{traceback.format_exc()}")
            outcomes["failed"] += 1
        for one in chosen():
            outcomes[run_check(one.description, one.function)] += 1
    print(", ".join(f"{n} {outcome}" for outcome, n in outcomes.items()))
    return 1 if outcomes["failed"] or not outcomes["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
