"""Runs inside the booted system: every check of the check_*.py files in their order, one line each."""
import importlib
import subprocess
import sys
import traceback
from pathlib import Path

from machine import CHECKS, SkipCheck, run, wait_for

# In this order: the first installs the package, the last takes it away.
FILES = ["install", "service", "journal", "faults", "socket", "dbus", "power", "removal"]


def run_check(description: str, function) -> str:
    try:
        detail = function()
        print(f"ok - {description}{f' ({detail})' if detail else ''}")
        return "passed"
    except SkipCheck as reason:
        print(f"skipped - {description}: {reason}")
        return "skipped"
    except Exception:  # whatever it is, the next check is run
        print(f"NOT OK - {description}")
        journal = subprocess.run(["journalctl", "--no-pager", "-n", "25", "-o", "short-monotonic"], capture_output=True, text=True).stdout
        for line in (traceback.format_exc() + journal).splitlines():
            print(f"   # {line}")
        return "failed"


def main() -> None:
    only = Path("/e2e/only").read_text().split()
    wait_for(lambda: run("systemctl", "is-system-running", ok=None).stdout.strip() not in ("initializing", "offline"), "the boot")
    print(f"# {run('systemctl', '--version').stdout.splitlines()[0]}")
    outcomes = {"passed": 0, "failed": 0, "skipped": 0}
    for name in FILES:
        if only and name not in ["install", *only]:
            continue
        CHECKS.clear()
        try:
            importlib.import_module(f"check_{name}")
        except Exception:
            print(f"NOT OK - check_{name}.py\n{traceback.format_exc()}")
            outcomes["failed"] += 1
        for description, function in CHECKS:
            outcomes[run_check(description, function)] += 1
    for file, arguments in (("halod.journal.txt", ["-u", "halod"]), ("boot.journal.txt", ["-b"])):
        Path("/e2e", file).write_text(run("journalctl", "--no-pager", *arguments).stdout)
    print(", ".join(f"{n} {outcome}" for outcome, n in outcomes.items()))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
