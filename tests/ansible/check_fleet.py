"""The fleet in booted systems: check_booted.py, run inside namespaces of its own for mounts, network, processes and cgroups."""
import os
import re
import signal
import subprocess
import sys
import tempfile

import hosts
from checks import SkipCheck, check, chosen_names, expect
from playbook import HERE

SKIPPED = 77
# The disks lie in memory that goes with the namespace; outside there is never more than an empty folder.
INSIDE = 'mount -t tmpfs -o mode=0755 tmpfs "$HALOD_FLEET_FOLDER" && exec "$@"'


def run_inside(environment: dict[str, str]) -> tuple[int, re.Match | None]:
    """(exit status, the line with the counts). Whatever ends this process ends everything inside, hosts included."""
    command = [hosts.ROOT / "tests/e2e/boot-ns", "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", INSIDE, "sh",
               sys.executable, HERE / "run.py", "--only", "booted", *(["--check", *chosen_names()] if chosen_names() else [])]
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


@check("fleet: three booted hosts")
def _():
    for program in ("ip", "ssh", "ssh-keygen"):
        if subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True).returncode != 0:
            raise SkipCheck(f"there is no {program}")
    tree = os.environ.get("HALOD_ANSIBLE_TREE") or str(hosts.make_tree())
    folder = tempfile.mkdtemp(prefix="halod-fleet-")
    try:
        status, summary = run_inside({**os.environ, "HALOD_ANSIBLE_TREE": tree, "HALOD_FLEET_FOLDER": folder, "PYTHONUNBUFFERED": "1"})
    finally:
        os.rmdir(folder)
    if status == SKIPPED:
        raise SkipCheck("the machine lets nobody mount a cgroup tree")
    expect(summary and summary.group(2) == "0" and status == 0, f"exit status {status}, {summary and summary.group(0)}")
    return f"{summary.group(1)} checks"
