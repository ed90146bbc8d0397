#!/usr/bin/env python3
"""Tests the Ansible collection of ansible/: documentation, lint, roles on simulated machines, and, where named, in booted systems.

    tests/ansible/run.py [--only NAME...] [--check NAME...] [--packages FOLDER]
    tests/ansible/run.py --can-run

NAME after --only is that of a check_NAME.py here; after --check that of a check in booted systems, which is run with those it goes on from.
Needs ansible-playbook; what needs more (ansible-lint, root, systemd-nspawn) is skipped where it is not there, and says so. Exit
status: 0 all passed, 1 not, 77 cannot run here (and says why).
"""
import argparse
import importlib
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from checks import CHECKS, SKIPPED, chosen, run_check, summary  # noqa: E402

# The quick ones first.
FILES = ["documentation", "modules", "kernel_args", "arguments", "firewall", "tuning", "quadlet", "lint"]
# Booted systems, which take minutes, and the checks that inside.py runs among them: check_BOOTED.py.
BOOTING = {"fleet": "booted", "container": "booted_container", "dnf": "booted_dnf", "path": "booted_path"}


def booted_checks() -> dict[str, str]:
    """Name of a check in booted systems -> what has to be booted for it."""
    found = {}
    for booting, file in BOOTING.items():
        CHECKS.clear()
        importlib.import_module(f"check_{file}")
        del sys.modules[f"check_{file}"]
        found |= {one.name: booting for one in CHECKS}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], choices=[*FILES, *BOOTING, *BOOTING.values()], metavar="NAME",
                        help=f"{', '.join(FILES)}; booted: {', '.join(BOOTING)}")
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
        known = booted_checks()
        unknown = [name for name in arguments.check if name not in known]
        if unknown:
            parser.error(f"--check {unknown[0]}: there is no such check; there are {', '.join(known)}")
        os.environ["HALOD_ANSIBLE_CHECKS"] = " ".join(arguments.check)
        arguments.only = arguments.only or sorted({known[name] for name in arguments.check})
    # So that what a check has started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    outcomes = []
    for name in arguments.only or FILES:
        CHECKS.clear()
        try:
            importlib.import_module(f"check_{name}")
        except Exception:
            print(f"NOT OK - check_{name}.py\n{traceback.format_exc()}")
            outcomes.append("failed")
        outcomes += [run_check(one) for one in (chosen(arguments.check) if name in BOOTING.values() else CHECKS)]
    print(summary(outcomes))
    return 1 if "failed" in outcomes or "passed" not in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
