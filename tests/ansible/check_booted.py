"""Three hosts with a real systemd, halod's package and its demo model under three names: provisioned, swapped, measured. See check_fleet.py.

The checks go on from each other's state; `after` says from whose, so that one can be run alone: run.py --check NAME.
"""
import functools
import hashlib
import json
import re
import shutil
import threading
import time

import hosts
from booted_fleet import (KEY, MODEL, RIGHT, SIMULATED, SITE_ROLES, Fleet, ask, expect_firewall_opens, expect_roles, expect_same_files,
                          files_of)
from checks import check, expect, run
from playbook import COLLECTION, Run

# The demo model under three names. The first is served; it is not there when halod is installed.
NAMES = ["base", "one", "two"]
BASE = NAMES[0]
# One host, then the others together: what the play has by default would be one after the other.
CANARY_FIRST = {"fleet_serial": ["1", "100%"]}


def variables_of(fleet: Fleet) -> dict:
    files = [{"path": f"{name}/{name}.gguf", "url": f"http://{hosts.NETWORK}.1:{fleet.server.server_port}/{name}.gguf",
              "sha256": hashlib.sha256(MODEL.read_bytes()).hexdigest(), "bytes": MODEL.stat().st_size} for name in NAMES]
    return {
        **SIMULATED, "gpu_access_users": ["halod", "root"],
        "halod_package_files": [str(path) for path in hosts.packages()], "halod_listen": "0.0.0.0:8000", "halod_api_keys": [KEY],
        "halod_config": {"limits": {"shutdown_timeout": "5s"}}, "halod_default_model": BASE, "halod_verify_expect": RIGHT,
        "halod_verify_timeout": 120, "model_swap_expect": RIGHT, "models_files": files, "models_seed_host": "halo-1", "models_spare_bytes": 1000,
        "tuning_command": ["haloctl", "tune", "--budget", "2s"],
        "benchmark_prompt_tokens": 16, "benchmark_generated_tokens": 4, "benchmark_repeats": 1,
        "benchmark_report_directory": str(fleet.folder / "reports")}


@functools.cache
def the_fleet() -> Fleet:
    """Booted when the first check asks for it."""
    return Fleet(3, variables_of)


class Clients:
    """Ask every host all the time; nobody may be refused."""

    def __init__(self):
        machines = the_fleet().machines
        self.models, self.problems, self.ending = {host.name: [] for host in machines}, [], threading.Event()
        self.threads = [threading.Thread(target=self.keep_asking, args=(host,)) for host in machines]

    def keep_asking(self, host: hosts.Host) -> None:
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


def pending(run: Run, host: hosts.Host) -> bool:
    return "runs without +iommu=pt" in run.messages(host.name) and "until it is rebooted" in run.messages(host.name)


@check("fleet: three hosts boot and answer by ssh", name="boot")
def _():
    the_fleet()


@check("fleet: every role in check mode, on a fresh host, changes nothing", name="check-mode", after="boot")
def _():
    host = the_fleet().machines[0]
    before = files_of(host)
    run = the_fleet().ansible.run("site.yml", "--check", "--limit", host.name)
    the_fleet().expect_success(run, host.name)
    expect_roles(run, SITE_ROLES)
    expect_same_files(host, before)


@check("fleet: inventory/example, with its vault, in check mode on fresh hosts", name="example", after="boot")
def _():
    it, folder = the_fleet(), the_fleet().folder / "example"
    shutil.copytree(COLLECTION / "inventory/example", folder)
    vault = folder / "group_vars/halod/vault.yml"
    vault.with_suffix(".yml.example").rename(vault)
    (folder / "packages").mkdir()
    for path in hosts.packages():
        shutil.copy(path, folder / "packages")
    (folder / "password").write_text("a password\n")
    environment = it.ansible.environment(folder / "record.jsonl")
    password = f"--vault-password-file={folder}/password"
    run("ansible-vault", "encrypt", password, vault, env=environment)
    before = [files_of(host) for host in it.machines]
    # What is the test's: the simulated boot loader, and the key for ssh.
    own = {**SIMULATED, **{name: value for name, value in it.machines[0].variables().items() if "ssh" in name}}
    output = run("ansible-playbook", "--inventory", folder / "hosts.yml", password, "--extra-vars", json.dumps(own), "--check",
                 COLLECTION / "playbooks/site.yml", env=environment, timeout=300).stdout
    for host, files in zip(it.machines, before):
        expect(re.search(rf"^{host.name} .* unreachable=0 +failed=0 ", output, re.MULTILINE), output[-3000:])
        expect(f"{host.name} would get no file" in output and "what haloctl pull finds of Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M" in output, output[-3000:])
        expect_same_files(host, files)
    expect("a-long-random-key" not in output, "the play shows a key")


@check("fleet: site.yml brings kernel arguments, the package, its configuration, and models from the seed; a refused reboot is pending",
       name="site", after="boot")
def _():
    it = the_fleet()
    run = it.ansible.run("site.yml", variables=CANARY_FIRST)
    the_fleet().expect_success(run)
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
    tuned = [host.read("var/cache/halod/tuning-cpu.csv") for host in it.machines]
    expect("Validator,CPU_MODEL" in tuned[0] and tuned == tuned[:1] * 3, f"the hosts are not tuned alike: {tuned}")
    return f"{len(run.rows)} tasks"


@check("fleet: site.yml again changes nothing, and the reboot is still pending", name="again", after="site")
def _():
    run = the_fleet().ansible.run("site.yml", variables=CANARY_FIRST)
    the_fleet().expect_unchanged(run, SITE_ROLES)
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
    the_fleet().expect_success(run, "halo-1")
    expect("hush-hush" not in run.output and KEY not in run.output, "the play shows a key")
    ask(host, key="hush-hush")
    ask(host)
    expect(host.main_pid() == before, f"halod was restarted: {run.changed_tasks('halo-1')}")


@check("fleet: reboot.yml, allowed, reboots one host after the other, and nothing is pending any more", name="reboot", after="site")
def _():
    it = the_fleet()
    run = it.ansible.run("reboot.yml", variables={"kernel_args_reboot_allowed": True})
    the_fleet().expect_success(run)
    reboots = [row["host"] for row in run.rows if row["task"].endswith("Reboot") and row["result"].get("rebooted")]
    expect(reboots == ["halo-1", "halo-2", "halo-3"], f"rebooted: {reboots}")
    # Each has answered before the next one went.
    order = [row["host"] for row in run.rows if row["task"].endswith(("Reboot", "Judge the answer"))]
    expect(order == ["halo-1"] * 2 + ["halo-2"] * 2 + ["halo-3"] * 2, f"in the order {order}")
    for host in it.machines:
        expect("ttm.pages_limit=31457280" in host.read("simulated/proc/cmdline"), f"{host.name} was not rebooted")
        expect("gttsize" not in host.read("simulated/proc/cmdline"), f"{host.name} kept amdgpu.gttsize")
    again = it.ansible.run("reboot.yml", variables={"kernel_args_reboot_allowed": True})
    the_fleet().expect_unchanged(again, ["kernel_args", "halod"])
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
    the_fleet().expect_success(mended)
    expect(len(it.server.downloads) == len(NAMES), "the seed downloaded again")
    the_fleet().expect_unchanged(it.ansible.run("swap.yml", "--check", variables={"model_swap_model": "one"}), ["model_swap"])
    expect([ask(host) for host in it.machines] == [BASE] * 3, "check mode swapped")
    with Clients() as clients:
        run = it.ansible.run("swap.yml", variables={"model_swap_model": "one"})
    n_answers = clients.expect_all_answered()
    expect(run.status == 0, run.output[-3000:])
    expect([ask(host) for host in it.machines] == ["one"] * 3, "not all hosts have the new model")
    the_fleet().expect_unchanged(it.ansible.run("swap.yml", variables={"model_swap_model": "one"}), ["model_swap"])
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


@check("fleet: ufw itself lets clients in, all or those of a network, and again without a change", name="ufw", after="site")
def _():
    host = the_fleet().machines[1]
    expect_firewall_opens(the_fleet(), host, [["ufw", "allow", "22/tcp"], ["ufw", "--force", "enable"]], f"{hosts.NETWORK}.0/24")
    host.ssh("ufw", "disable")


@check("fleet: the package from an apt repository: in check mode nothing, then installed, then nothing", name="repository", after="site")
def _():
    it, host = the_fleet(), the_fleet().machines[0]
    repository = host.root / "srv/packages"
    repository.mkdir()
    for path in hosts.packages():
        shutil.copy(path, repository)
    (repository / "Packages").write_text(run("dpkg-scanpackages", ".", cwd=repository).stdout)
    # No other sources: nothing of them can be reached.
    for file in (*host.root.glob("etc/apt/sources.list.d/*"), *host.root.glob("etc/apt/sources.list")):
        file.unlink()
    host.ssh("apt-get", "remove", "--yes", "halod", "haloctl", "halod-bench")
    variables = {"halod_package_files": [], "halod_repository_url": "file:///srv/packages"}
    play = [{"hosts": "halo-1", "gather_facts": False, "roles": ["halod.fleet.halod"]}]
    before = files_of(host)
    it.expect_success(it.ansible.run(play, "--check", variables=variables), "halo-1")
    expect_same_files(host, before)
    it.expect_success(it.ansible.run(play, variables=variables), "halo-1")
    ask(host)
    again = it.ansible.run(play, variables=variables)
    it.expect_success(again, "halo-1")
    expect(again.stats["halo-1"]["changed"] == 0, f"changed {again.changed_tasks('halo-1')}")


def wait_until_it_answers(host: hosts.Host, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            ask(host)
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{host.name} was not started again")
