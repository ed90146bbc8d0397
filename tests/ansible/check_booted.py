"""Three hosts with a real systemd, halod's package and its demo model under two names: provisioned, swapped, measured. See check_fleet.py.

The checks go on from each other's state, in this order.
"""
import atexit
import hashlib
import json
import os
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import hosts as fleet
from checks import check, expect
from playbook import ROOT, Ansible

KEY = "a-key-of-the-clients"
DEMO = "demo-moe-Q8_0"
RIGHT = "47 \\+ 125 = 172"
MODEL = ROOT / f"models/{DEMO}.gguf"

stack = ExitStack()
atexit.register(stack.close)
folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="halod-fleet-")))
machines, ssh_key = stack.enter_context(fleet.booted(folder, 3))
server = fleet.ModelServer(f"{fleet.NETWORK}.1", MODEL)
VARIABLES = {
    "kernel_args_root": "/simulated", "kernel_args_backend": "kernel_install", "kernel_args_memory_mib": 128_100, "kernel_args_kernel": "6.18.9",
    "kernel_args_reboot_allowed": True, "kernel_args_reboot_timeout": 120, "gpu_access_kernel": "6.18.9", "gpu_access_users": ["halod", "root"],
    "halod_package_files": [str(path) for path in fleet.packages()], "halod_listen": "0.0.0.0:8000", "halod_api_keys": [KEY],
    "halod_config": {"limits": {"shutdown_timeout": "5s"}}, "halod_default_model": DEMO, "halod_verify_expect": RIGHT, "model_swap_expect": RIGHT,
    "models_files": [{"path": f"{name}/{name}.gguf", "url": f"http://{fleet.NETWORK}.1:{server.server_port}/{name}.gguf",
                      "sha256": hashlib.sha256(MODEL.read_bytes()).hexdigest(), "bytes": MODEL.stat().st_size} for name in ("one", "two")],
    "models_seed_host": "halo-1", "models_spare_bytes": 1000, "halod_verify_timeout": 120,
    "benchmark_prompt_tokens": 16, "benchmark_generated_tokens": 4, "benchmark_repeats": 1, "benchmark_report_directory": str(folder / "reports"),
}
ansible = Ansible(folder, {host.name: {**VARIABLES, **host.variables(ssh_key)} for host in machines}, {"halod": [host.name for host in machines]})


def ask(host: fleet.Host, timeout: float = 60) -> str:
    """The right answer, from whatever the host serves."""
    body = {"messages": [{"role": "user", "content": "What is 47 + 125?"}], "temperature": 0, "max_tokens": 128}
    request = urllib.request.Request(f"http://{host.address}:8000/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        answer = json.load(reply)
    expect("172" in answer["choices"][0]["message"]["content"], str(answer))
    return answer["model"]


class Clients:
    """Ask every host all the time; nobody may be refused."""

    def __init__(self):
        self.models, self.problems, self.ending = {host.name: [] for host in machines}, [], threading.Event()
        self.threads = [threading.Thread(target=self.keep_asking, args=(host,)) for host in machines]

    def keep_asking(self, host: fleet.Host) -> None:
        while not self.ending.is_set():
            try:
                self.models[host.name].append(ask(host))
            except Exception as problem:  # of any kind: a client does not care
                self.problems.append(f"{host.name}: {problem}")
            self.ending.wait(0.2)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def expect_all_answered(self) -> int:
        expect(not self.problems, f"{len(self.problems)} requests were not answered: {self.problems[:3]}")
        expect(all(self.models.values()), f"somebody was never asked: {self.models}")
        return sum(map(len, self.models.values()))


def expect_success(run, *names: str) -> None:
    for name in names or [host.name for host in machines]:
        stats = run.stats.get(name, {"failures": "no result"})
        expect(not stats["failures"] and not stats["unreachable"], f"{name}: {stats}\n{run.output[-4000:]}")


@check("fleet: check mode on fresh hosts changes nothing")
def _():
    run = ansible.run("site.yml", "--check", "--limit", "halo-1")
    expect_success(run, "halo-1")
    host = machines[0]
    expect(not (host.root / "usr/bin/halod").exists() and not (host.root / "simulated/calls.log").exists(), "it installed something")


@check("fleet: site.yml brings kernel arguments with serial reboots, the package, its configuration, and models from the seed")
def _():
    run = ansible.run("site.yml")
    expect_success(run)
    for host in machines:
        expect("ttm.pages_limit=31457280" in host.read("simulated/proc/cmdline"), f"{host.name} was not rebooted")
        expect("gttsize" not in host.read("simulated/proc/cmdline"), f"{host.name} kept amdgpu.gttsize")
        expect(ask(host) == DEMO, "another model answers")
        for name in ("one", "two"):
            expect(host.read_bytes(f"var/lib/halod/models/{name}/{name}.gguf") == MODEL.read_bytes(), f"{host.name}: {name}.gguf is wrong")
    expect(server.downloads == [machines[0].address] * 2, f"downloaded by {server.downloads}")
    expect("NOT TUNED" in run.messages("halo-1"), "the role tuning did not say that it cannot tune")
    reboots = [row["host"] for row in run.rows if row["task"].endswith("Reboot") and row["result"].get("rebooted")]
    expect(reboots == ["halo-1", "halo-2", "halo-3"], f"rebooted: {reboots}")
    return f"{len(run.rows)} tasks"


@check("fleet: site.yml again changes nothing")
def _():
    run = ansible.run("site.yml")
    expect_success(run)
    for host in machines:
        expect(run.stats[host.name]["changed"] == 0, f"{host.name} changed {run.changed_tasks(host.name)}")


@check("fleet: a wrong configuration is refused in halod's words, and the host goes on with the old one")
def _():
    before = machines[0].read("etc/halod/halod.yaml")
    run = ansible.run([{"hosts": "halo-1", "gather_facts": False, "roles": ["halod.fleet.halod"]}],
                      variables={"halod_config": {"limits": {"max_tokns": 7}}})
    expect("max_tokns" in run.failure("halo-1") + run.output, run.output[-2000:])
    expect(KEY not in run.output, "the play shows a key")
    expect(run.status != 0 and machines[0].read("etc/halod/halod.yaml") == before, "the file was replaced")
    ask(machines[0])


@check("fleet: a swap that fails on one host is taken back, the play says so, and every request is answered meanwhile")
def _():
    damaged = machines[1].root / "var/lib/halod/models/one/one.gguf"
    damaged.write_bytes(MODEL.read_bytes()[:100_000])
    with Clients() as clients:
        run = ansible.run("swap.yml", variables={"model_swap_model": "one", "fleet_swap_serial": 1})
    n_answers = clients.expect_all_answered()
    expect(run.status != 0, "the play says that all is well")
    failure = run.failure("halo-1")
    expect("1 of 3 hosts" in failure and "halo-2: rolled back (" in failure and "halo-3: not begun" in failure, failure)
    expect("halo-1: rolled back;" in failure, failure)
    expect("one" in clients.models["halo-1"], "the canary never served the new model")
    expect([ask(host) for host in machines] == [DEMO] * 3, "not all hosts are back at the former model")
    return f"{n_answers} answers"


@check("fleet: the role models mends the damaged file, and then the swap succeeds everywhere")
def _():
    mended = ansible.run([{"hosts": "halod", "gather_facts": False, "roles": ["halod.fleet.models"]}])
    expect_success(mended)
    expect(len(server.downloads) == 2, "the seed downloaded again")
    with Clients() as clients:
        run = ansible.run("swap.yml", variables={"model_swap_model": "one"})
    n_answers = clients.expect_all_answered()
    expect(run.status == 0, run.output[-3000:])
    expect([ask(host) for host in machines] == ["one"] * 3, "not all hosts have the new model")
    return f"{n_answers} answers"


@check("fleet: a host that is gone is reported, and does not keep the others from their model")
def _():
    machines[2].shut_down()
    run = ansible.run("swap.yml", variables={"model_swap_model": "two", "fleet_swap_failures": 1, "fleet_swap_serial": 1})
    expect(run.status != 0 and "halo-3: unreachable" in run.failure("halo-1"), run.output[-3000:])
    expect([ask(host) for host in machines[:2]] == ["two"] * 2, "the others do not have the new model")


@check("fleet: the benchmark writes one report, with a row for the host that is gone")
def _():
    run = ansible.run("benchmark.yml")
    report = json.loads((folder / "reports/halo-bench.json").read_text())
    expect(set(report["hosts"]) == {"halo-1", "halo-2", "halo-3"}, str(report))
    for name in ("halo-1", "halo-2"):
        expect(report["hosts"][name]["decode_tokens_per_s"] > 0, f"{report}\n{run.output[-2000:]}")
    expect("problem" in report["hosts"]["halo-3"], str(report))
    text = (folder / "reports/halo-bench.md").read_text()
    expect("| halo-2 |" in text and "not measured" in text and "times as fast as the slowest" in text, text)
    for host in machines[:2]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                ask(host)
                break
            except OSError:
                time.sleep(0.2)
        else:
            raise AssertionError(f"{host.name} was not started again")
