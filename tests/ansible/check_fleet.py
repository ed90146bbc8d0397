"""The fleet in booted systems: check_booted.py, run inside a mount, network and cgroup namespace of its own."""
import os
import re
import subprocess
import sys

import hosts
from checks import SkipCheck, check, expect
from playbook import HERE

SKIPPED = 77


@check("fleet: three booted hosts")
def _():
    for program in ("ip", "ssh", "ssh-keygen"):
        if subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True).returncode != 0:
            raise SkipCheck(f"there is no {program}")
    tree = os.environ.get("HALOD_ANSIBLE_TREE") or str(hosts.make_tree())
    environment = {**os.environ, "HALOD_ANSIBLE_TREE": tree, "PYTHONUNBUFFERED": "1"}
    command = [hosts.ROOT / "tests/e2e/boot-ns", "unshare", "--net", sys.executable, HERE / "run.py", "--only", "booted"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    summary = None
    for line in process.stdout:
        summary = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped\n", line) or summary
        if not summary:
            print(f"  {line}", end="", flush=True)
    if process.wait() == SKIPPED:
        raise SkipCheck("the machine lets nobody mount a cgroup tree")
    expect(summary and summary.group(2) == "0" and process.returncode == 0, f"exit status {process.returncode}, {summary and summary.group(0)}")
    return f"{summary.group(1)} checks"
