"""Three hosts with a real systemd, halod's package and its demo model under three names: provisioned, swapped, measured. See check_fleet.py.

The checks go on from each other's state; `after` says from whose, so that one can be run alone: run.py --check NAME.
"""
import atexit
import functools
import hashlib
import json
import os
import threading
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import hosts as fleet
from checks import check, expect
from playbook import ROOT, Ansible, Run

KEY = "a-key-of-the-clients"
DEMO = "demo-moe-Q8_0"
# The demo model under three names. The first is served; it is not there when halod is installed.
NAMES = ["base", "one", "two"]
BASE = NAMES[0]
RIGHT = "47 \\+ 125 = 172"
MODEL = ROOT / f"models/{DEMO}.gguf"
# One host, then the others together: what the play has by default would be one after the other.
CANARY_FIRST = {"fleet_serial": ["1", "100%"]}
# What site.yml is made of; the other two playbooks have a role each.
SITE_ROLES = ["gpu_access", "kernel_args", "halod", "models", "tuning"]
# What a check mode that changes nothing leaves alone.
KEPT = ["etc", "usr", "simulated", "root", "var/lib/halod", "var/lib/dpkg", "var/cache"]
NOT_KEPT = ("root/.ansible", "etc/machine-id", "etc/.updated", "var/cache/ldconfig", "usr/lib/python3")


@dataclass
class Fleet:
    machines: list[fleet.Host]
    folder: Path
    server: fleet.ModelServer
    ansible: Ansible


def variables_of(server: fleet.ModelServer, folder: Path) -> dict:
    files = [{"path": f"{name}/{name}.gguf", "url": f"http://{fleet.NETWORK}.1:{server.server_port}/{name}.gguf",
              "sha256": hashlib.sha256(MODEL.read_bytes()).hexdigest(), "bytes": MODEL.stat().st_size} for name in NAMES]
    return {
        "kernel_args_root": "/simulated", "kernel_args_backend": "kernel_install", "kernel_args_memory_mib": 128_100,
        "kernel_args_kernel": "6.18.9", "kernel_args_reboot_timeout": 120, "gpu_access_kernel": "6.18.9", "gpu_access_users": ["halod", "root"],
        "halod_package_files": [str(path) for path in fleet.packages()], "halod_listen": "0.0.0.0:8000", "halod_api_keys": [KEY],
        "halod_config": {"limits": {"shutdown_timeout": "5s"}}, "halod_default_model": BASE, "halod_verify_expect": RIGHT,
        "halod_verify_timeout": 120, "model_swap_expect": RIGHT, "models_files": files, "models_seed_host": "halo-1", "models_spare_bytes": 1000,
        "benchmark_prompt_tokens": 16, "benchmark_generated_tokens": 4, "benchmark_repeats": 1,
        "benchmark_report_directory": str(folder / "reports")}


@functools.cache
def the_fleet() -> Fleet:
    """Booted when the first check asks for it."""
    folder = Path(os.environ["HALOD_FLEET_FOLDER"])
    stack = ExitStack()
    atexit.register(stack.close)
    machines, ssh_key = stack.enter_context(fleet.booted(folder, 3))
    server = fleet.ModelServer(f"{fleet.NETWORK}.1", MODEL)
    variables = variables_of(server, folder)
    ansible = Ansible(folder, {host.name: {**variables, **host.variables(ssh_key)} for host in machines}, {"halod": [host.name for host in machines]})
    return Fleet(machines, folder, server, ansible)


def ask(host: fleet.Host, timeout: float = 60, key: str = KEY) -> str:
    """The right answer, from whatever the host serves."""
    body = {"messages": [{"role": "user", "content": "What is 47 + 125?"}], "temperature": 0, "max_tokens": 128}
    request = urllib.request.Request(f"http://{host.address}:8000/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        answer = json.load(reply)
    expect("172" in answer["choices"][0]["message"]["content"], str(answer))
    return answer["model"]


class Clients:
    """Ask every host all the time; nobody may be refused."""

    def __init__(self):
        machines = the_fleet().machines
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


def expect_success(run: Run, *names: str) -> None:
    for name in names or [host.name for host in the_fleet().machines]:
        stats = run.stats.get(name, {"failures": "no result"})
        expect(not stats["failures"] and not stats["unreachable"], f"{name}: {stats}\n{run.output[-4000:]}")


def expect_unchanged(run: Run, roles: list[str]) -> None:
    """No task of any host has changed something, and each of the roles was there."""
    expect_success(run)
    for host in the_fleet().machines:
        expect(run.stats[host.name]["changed"] == 0, f"{host.name} changed {run.changed_tasks(host.name)}")
    expect_roles(run, roles)


def expect_roles(run: Run, roles: list[str]) -> None:
    ran = {row["task"].split(" : ")[0].removeprefix("halod.fleet.") for row in run.rows if " : " in row["task"]}
    expect(set(roles) <= ran, f"of {roles} there were tasks of {sorted(ran)} only")


def files_of(host: fleet.Host) -> dict[str, tuple]:
    """What was written on the host's disk since it was new."""
    found = {}
    for top in KEPT:
        for path in (host.disk / top).rglob("*"):
            name = str(path.relative_to(host.disk))
            if not path.is_dir() and not name.startswith(NOT_KEPT):
                found[name] = (path.lstat().st_size, path.lstat().st_mtime_ns)
    return found


def pending(run: Run, host: fleet.Host) -> bool:
    return "runs without +iommu=pt" in run.messages(host.name) and "until it is rebooted" in run.messages(host.name)


@check("fleet: three hosts boot and answer by ssh", name="boot")
def _():
    the_fleet()


@check("fleet: every role in check mode, on a fresh host, changes nothing", name="check-mode", after="boot")
def _():
    host = the_fleet().machines[0]
    before = files_of(host)
    run = the_fleet().ansible.run("site.yml", "--check", "--limit", host.name)
    expect_success(run, host.name)
    expect_roles(run, SITE_ROLES)
    after = files_of(host)
    expect(before == after, f"it wrote {sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))}")


@check("fleet: site.yml brings kernel arguments, the package, its configuration, and models from the seed; a refused reboot is pending",
       name="site", after="boot")
def _():
    it = the_fleet()
    run = it.ansible.run("site.yml", variables=CANARY_FIRST)
    expect_success(run)
    expect_roles(run, SITE_ROLES)
    for host in it.machines:
        expect("ttm.pages_limit=31457280" in host.read("simulated/etc/kernel/cmdline"), f"{host.name} does not have the arguments")
        expect("ttm.pages_limit" not in host.read("simulated/proc/cmdline"), f"{host.name} was rebooted, and nobody had allowed it")
        expect(pending(run, host), f"nobody says that the reboot of {host.name} is pending:\n{run.messages(host.name)}")
        expect(ask(host) == BASE, "another model answers")
        keys = host.root / "etc/halod/fleet-api-keys"
        expect(KEY in keys.read_text() and KEY not in host.read("etc/halod/halod.yaml"), "the key is not in its file alone")
        expect(keys.stat().st_mode & 0o777 == 0o640 and keys.stat().st_gid == (host.root / "etc/halod").stat().st_gid, f"{keys.stat()}")
        for name in NAMES:
            expect(host.read_bytes(f"var/lib/halod/models/{name}/{name}.gguf") == MODEL.read_bytes(), f"{host.name}: {name}.gguf is wrong")
    expect(it.server.downloads == [it.machines[0].address] * len(NAMES), f"downloaded by {it.server.downloads}")
    expect("base yet: halod goes on as it is until the model is there" in run.messages("halo-1"), "nobody says what the configuration waits for")
    expect("NOT TUNED" in run.messages("halo-1"), "the role tuning did not say that it cannot tune")
    return f"{len(run.rows)} tasks"


@check("fleet: site.yml again changes nothing, and the reboot is still pending", name="again", after="site")
def _():
    run = the_fleet().ansible.run("site.yml", variables=CANARY_FIRST)
    expect_unchanged(run, SITE_ROLES)
    for host in the_fleet().machines:
        expect(pending(run, host), f"the reboot of {host.name} was forgotten:\n{run.messages(host.name)}")


@check("fleet: a wrong configuration is refused in halod's words, and the host goes on with the old one", name="configuration", after="site")
def _():
    host = the_fleet().machines[0]
    before = host.read("etc/halod/halod.yaml")
    run = the_fleet().ansible.run([{"hosts": "halo-1", "gather_facts": False, "roles": ["halod.fleet.halod"]}],
                                  variables={"halod_config": {"limits": {"max_tokns": 7}}})
    expect("max_tokns" in run.failure("halo-1") + run.output, run.output[-2000:])
    expect(KEY not in run.output, "the play shows a key")
    expect(run.status != 0 and host.read("etc/halod/halod.yaml") == before, "the file was replaced")
    ask(host)


@check("fleet: another key is taken up without a restart, and no play shows it", name="keys", after="site")
def _():
    host = the_fleet().machines[0]
    before = host.main_pid()
    run = the_fleet().ansible.run([{"hosts": "halo-1", "gather_facts": False, "roles": ["halod.fleet.halod"]}], "-v", "--diff",
                                  variables={"halod_api_keys": ["hush-hush", KEY]})
    expect_success(run, "halo-1")
    expect("hush-hush" not in run.output and KEY not in run.output, "the play shows a key")
    ask(host, key="hush-hush")
    ask(host)
    expect(host.main_pid() == before, f"halod was restarted: {run.changed_tasks('halo-1')}")


@check("fleet: reboot.yml, allowed, reboots one host after the other, and nothing is pending any more", name="reboot", after="site")
def _():
    it = the_fleet()
    run = it.ansible.run("reboot.yml", variables={"kernel_args_reboot_allowed": True})
    expect_success(run)
    reboots = [row["host"] for row in run.rows if row["task"].endswith("Reboot") and row["result"].get("rebooted")]
    expect(reboots == ["halo-1", "halo-2", "halo-3"], f"rebooted: {reboots}")
    # Each has answered before the next one went.
    order = [row["host"] for row in run.rows if row["task"].endswith(("Reboot", "Judge the answer"))]
    expect(order == ["halo-1"] * 2 + ["halo-2"] * 2 + ["halo-3"] * 2, f"in the order {order}")
    for host in it.machines:
        expect("ttm.pages_limit=31457280" in host.read("simulated/proc/cmdline"), f"{host.name} was not rebooted")
        expect("gttsize" not in host.read("simulated/proc/cmdline"), f"{host.name} kept amdgpu.gttsize")
    again = it.ansible.run("reboot.yml", variables={"kernel_args_reboot_allowed": True})
    expect_unchanged(again, ["kernel_args", "halod"])
    expect(not any(row["result"].get("rebooted") for row in again.rows), "rebooted once more")


@check("fleet: a swap that fails on one host is taken back, the play says so, and every request is answered meanwhile", name="swap", after="site")
def _():
    it = the_fleet()
    damaged = it.machines[1].root / "var/lib/halod/models/one/one.gguf"
    damaged.write_bytes(MODEL.read_bytes()[:100_000])
    with Clients() as clients:
        run = it.ansible.run("swap.yml", variables={"model_swap_model": "one", "fleet_swap_serial": 1})
    n_answers = clients.expect_all_answered()
    expect(run.status != 0, "the play says that all is well")
    failure = run.failure("halo-1")
    expect("1 of 3 hosts" in failure and "halo-2: rolled back (" in failure and "halo-3: not begun" in failure, failure)
    expect("halo-1: rolled back;" in failure, failure)
    expect("one" in clients.models["halo-1"], "the canary never served the new model")
    expect([ask(host) for host in it.machines] == [BASE] * 3, "not all hosts are back at the former model")
    return f"{n_answers} answers"


@check("fleet: the role models mends the damaged file, and then the swap succeeds everywhere; in check mode and again it changes nothing",
       name="mend", after="swap")
def _():
    it = the_fleet()
    mended = it.ansible.run([{"hosts": "halod", "gather_facts": False, "roles": ["halod.fleet.models"]}])
    expect_success(mended)
    expect(len(it.server.downloads) == len(NAMES), "the seed downloaded again")
    expect_unchanged(it.ansible.run("swap.yml", "--check", variables={"model_swap_model": "one"}), ["model_swap"])
    expect([ask(host) for host in it.machines] == [BASE] * 3, "check mode swapped")
    with Clients() as clients:
        run = it.ansible.run("swap.yml", variables={"model_swap_model": "one"})
    n_answers = clients.expect_all_answered()
    expect(run.status == 0, run.output[-3000:])
    expect([ask(host) for host in it.machines] == ["one"] * 3, "not all hosts have the new model")
    expect_unchanged(it.ansible.run("swap.yml", variables={"model_swap_model": "one"}), ["model_swap"])
    return f"{n_answers} answers"


@check("fleet: a host that is gone is reported, and does not keep the others from their model", name="gone", after="site")
def _():
    machines = the_fleet().machines
    machines[2].shut_down()
    run = the_fleet().ansible.run("swap.yml", variables={"model_swap_model": "two", "fleet_swap_failures": 1, "fleet_swap_serial": 1})
    expect(run.status != 0 and "halo-3: unreachable" in run.failure("halo-1"), run.output[-3000:])
    expect([ask(host) for host in machines[:2]] == ["two"] * 2, "the others do not have the new model")


@check("fleet: the benchmark writes one report, with a row for the host that is gone; in check mode none", name="benchmark", after="gone")
def _():
    it = the_fleet()
    reports = it.folder / "reports"
    expect_roles(it.ansible.run("benchmark.yml", "--check", "--limit", "halo-1"), ["benchmark"])
    expect(not reports.exists(), "check mode wrote a report")
    run = it.ansible.run("benchmark.yml")
    report = json.loads((reports / "halo-bench.json").read_text())
    expect(set(report["hosts"]) == {"halo-1", "halo-2", "halo-3"}, str(report))
    for name in ("halo-1", "halo-2"):
        expect(report["hosts"][name].get("decode_tokens_per_s", 0) > 0, f"{report}\n{run.output[-2000:]}")
    expect("problem" in report["hosts"]["halo-3"], str(report))
    text = (reports / "halo-bench.md").read_text()
    expect("| halo-2 |" in text and "not measured" in text and "times as fast as the slowest" in text, text)
    for host in it.machines[:2]:
        wait_until_it_answers(host)


def wait_until_it_answers(host: fleet.Host, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            ask(host)
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{host.name} was not started again")
