"""Runs the checks of booted systems in namespaces of their own for mounts, network, processes and cgroups."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import SKIPPED, SkipCheck, expect
from playbook import HERE, ROOT

# The disks lie in memory that goes with the namespace; outside there is never more than an empty folder.
INSIDE = 'mount -t tmpfs -o mode=0755 tmpfs "$HALOD_FLEET_FOLDER" && exec "$@"'


def run_inside(file: str, environment: dict[str, str]) -> tuple[int, re.Match | None]:
    """(exit status, the line with the counts). Whatever ends this process ends everything inside, hosts included."""
    names = os.environ.get("HALOD_ANSIBLE_CHECKS", "").split()
    command = [ROOT / "tests/e2e/boot-ns", "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", INSIDE, "sh",
               sys.executable, HERE / "run.py", "--only", file, *(["--check", *names] if names else [])]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True)
    summary = None
    try:
        for line in process.stdout:
            summary = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped\n", line) or summary
            if not summary:
                print(f"  {line}", end="", flush=True)
        return process.wait(), summary
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def run_booted(file: str, tree: Path) -> str:
    """The checks of check_FILE.py, on hosts that are booted from `tree`."""
    for program in ("ip", "ssh", "ssh-keygen"):
        if not shutil.which(program):
            raise SkipCheck(f"there is no {program}")
    folder = tempfile.mkdtemp(prefix="halod-fleet-")
    try:
        status, summary = run_inside(file, {**os.environ, "HALOD_ANSIBLE_TREE": str(tree), "HALOD_FLEET_FOLDER": folder, "PYTHONUNBUFFERED": "1"})
    finally:
        os.rmdir(folder)
    if status == SKIPPED:
        raise SkipCheck("the machine lets nobody mount a cgroup tree")
    expect(summary and summary.group(2) == "0" and status == 0, f"exit status {status}, {summary and summary.group(0)}")
    return f"{summary.group(1)} checks"
