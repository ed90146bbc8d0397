"""What the checks of booted hosts have in common: the hosts with their inventory, questions to their halods, what a run of a play did."""
import atexit
import json
import os
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import hosts
from checks import expect, wait_for
from playbook import ROOT, Ansible, Run

KEY = "a-key-of-the-clients"
DEMO = "demo-moe-Q8_0"
RIGHT = "47 \\+ 125 = 172"
MODEL = ROOT / f"models/{DEMO}.gguf"
# What site.yml is made of; the other two playbooks have a role each.
SITE_ROLES = ["gpu_access", "kernel_args", "halod", "models", "tuning"]
# What a check mode that changes nothing leaves alone.
KEPT = ["etc", "usr", "simulated", "root", "var/lib/halod", "var/lib/dpkg", "var/lib/rpm", "var/cache"]
NOT_KEPT = ("root/.ansible", "etc/machine-id", "etc/.updated", "var/cache/ldconfig", "usr/lib/python3")
# Of the simulated machine around the booted one: 128 GB, and a kernel that is new enough.
SIMULATED = {"kernel_args_root": "/simulated", "kernel_args_backend": "kernel_install", "kernel_args_memory_mib": 128_100,
             "kernel_args_kernel": "6.18.9", "kernel_args_reboot_timeout": 120, "gpu_access_kernel": "6.18.9"}


class Fleet:
    """`n_hosts` booted from the tree of this run, as long as this process lives, in the group halod of an inventory."""

    def __init__(self, n_hosts: int, variables, options: list[str] | tuple[str, ...] = ()):
        """variables(fleet) are those of every host; `options` are more of them for systemd-nspawn."""
        self.folder = Path(os.environ["HALOD_FLEET_FOLDER"])
        stack = ExitStack()
        atexit.register(stack.close)
        self.machines = stack.enter_context(hosts.booted(self.folder, n_hosts, options))
        self.server = hosts.ModelServer(f"{hosts.NETWORK}.1", MODEL)
        common = variables(self)
        self.ansible = Ansible(self.folder, {host.name: {**common, **host.variables()} for host in self.machines},
                               {"halod": [host.name for host in self.machines]})

    def expect_success(self, run: Run, *names: str) -> None:
        for name in names or [host.name for host in self.machines]:
            stats = run.stats.get(name, {"failures": "no result"})
            expect(not stats["failures"] and not stats["unreachable"], f"{name}: {stats}\n{run.output[-4000:]}")

    def expect_unchanged(self, run: Run, roles: list[str]) -> None:
        """No task of any host has changed something, and each of the roles was there."""
        self.expect_success(run)
        for host in self.machines:
            expect(run.stats[host.name]["changed"] == 0, f"{host.name} changed {run.changed_tasks(host.name)}")
        expect_roles(run, roles)


def ask(host: hosts.Host, timeout: float = 60, key: str = KEY) -> str:
    """The right answer, from whatever the host serves."""
    body = {"messages": [{"role": "user", "content": "What is 47 + 125?"}], "temperature": 0, "max_tokens": 128}
    request = urllib.request.Request(f"http://{host.address}:8000/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        answer = json.load(reply)
    expect("172" in answer["choices"][0]["message"]["content"], str(answer))
    return answer["model"]


def expect_firewall_opens(fleet: Fleet, host: hosts.Host, start: list[list[str]], network: str) -> None:
    """With the firewall that `start` starts, nobody reaches halod until the role has run; and then those of `network` alone, when it is named."""
    for command in start:
        host.ssh(*command)
    play = [{"hosts": host.name, "gather_facts": False, "roles": ["halod.fleet.halod"]}]

    def shut() -> bool:
        try:
            ask(host, timeout=2)
        except OSError:
            return True
        return False

    def expect_shut() -> None:
        wait_for(shut, "the firewall, which lets everybody in")  # it says that it runs a moment before it has its rules

    def expect_open(**variables) -> None:
        done = fleet.ansible.run(play, variables=variables)
        fleet.expect_success(done, host.name)
        expect(done.stats[host.name]["changed"] > 0, "the role did nothing")
        again = fleet.ansible.run(play, variables=variables)
        fleet.expect_success(again, host.name)
        expect(again.stats[host.name]["changed"] == 0, f"again, it changed {again.changed_tasks(host.name)}")

    expect_shut()
    expect_open(halod_firewall="auto")
    ask(host)
    expect_open(halod_firewall_sources=["198.51.100.0/24", "2001:db8::/32"])
    expect_shut()
    expect_open(halod_firewall_sources=[network])
    ask(host)


def expect_roles(run: Run, roles: list[str]) -> None:
    ran = {row["task"].split(" : ")[0].removeprefix("halod.fleet.") for row in run.rows if " : " in row["task"]}
    expect(set(roles) <= ran, f"of {roles} there were tasks of {sorted(ran)} only")


def files_of(host: hosts.Host) -> dict[str, tuple]:
    """What was written on the host's disk since it was new."""
    found = {}
    for top in KEPT:
        for path in (host.disk / top).rglob("*"):
            name = str(path.relative_to(host.disk))
            if not path.is_dir() and not name.startswith(NOT_KEPT):
                found[name] = (path.lstat().st_size, path.lstat().st_mtime_ns)
    return found


def expect_same_files(host: hosts.Host, before: dict[str, tuple]) -> None:
    after = files_of(host)
    expect(before == after, f"it wrote {sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))}")
