"""Runs inside the booted system: every check of the check_*.py files that /e2e/plan names, in that order, one line each."""
import importlib
import subprocess
import sys
import traceback
from pathlib import Path

from checks import CHECKS, run, run_check, summary, wait_for


def recent_journal() -> str:
    return subprocess.run(["journalctl", "--no-pager", "-n", "25", "-o", "short-monotonic"], capture_output=True, text=True).stdout


def main() -> None:
    wait_for(lambda: run("systemctl", "is-system-running", ok=None).stdout.strip() not in ("initializing", "offline"), "the boot")
    print(f"# {run('systemctl', '--version').stdout.splitlines()[0]}")
    outcomes = []
    for name in Path("/e2e/plan").read_text().split():
        CHECKS.clear()
        try:
            importlib.import_module(f"check_{name}")
        except Exception:
            print(f"NOT OK - check_{name}.py\n{traceback.format_exc()}")
            outcomes.append("failed")
        outcomes += [run_check(one, recent_journal) for one in CHECKS]
    for file, arguments in (("halod.journal.txt", ["-u", "halod"]), ("boot.journal.txt", ["-b"])):
        Path("/e2e", file).write_text(run("journalctl", "--no-pager", *arguments).stdout)
    print(summary(outcomes))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
