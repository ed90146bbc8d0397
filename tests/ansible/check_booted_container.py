"""A host whose halod is a container by Quadlet: provisioned by site.yml, swapped, reconfigured, rebooted. See check_container.py.

The checks go on from each other's state; `after` says from whose, so that one can be run alone: run.py --check NAME.
"""
import functools
import hashlib
import json
import os
import urllib.error

import hosts
from booted_fleet import KEY, MODEL, RIGHT, SIMULATED, SITE_ROLES, Fleet, ask, expect_roles, expect_same_files, files_of
from checks import check, expect, wait_for

NAMES = ["base", "one"]
# As tests/e2e/run.py --quadlet boots it: podman needs calls that nspawn's filter does not let through, and a storage outside the overlay.
os.environ["SYSTEMD_SECCOMP"] = "0"
OPTIONS = ["--capability=all", "--bind={folder}:/var/lib/containers", f"--bind-ro={hosts.IMAGE}:/image.tar"]
# A container in a container may not raise its limits.
LIMITS = '[containers]\npids_limit = 0\ndefault_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]\n'
UNLIMITED = "[Container]\nPidsLimit=0\nUlimit=\n"
CONFIGURATION = "etc/halod/halod.yaml"


def variables_of(fleet: Fleet) -> dict:
    files = [{"path": f"{name}.gguf", "url": f"http://{hosts.NETWORK}.1:{fleet.server.server_port}/{name}.gguf",
              "sha256": hashlib.sha256(MODEL.read_bytes()).hexdigest(), "bytes": MODEL.stat().st_size} for name in NAMES]
    return {
        **SIMULATED, "halod_install_method": "quadlet", "halod_image": "localhost/halod:latest", "halod_gpu": False,
        "halod_listen": "0.0.0.0:8000", "halod_api_keys": [KEY], "halod_default_model": NAMES[0], "halod_verify_expect": RIGHT,
        "halod_verify_timeout": 120, "model_swap_expect": RIGHT, "models_files": files, "models_spare_bytes": 1000,
        "tuning_command": ["haloctl", "tune", "--budget", "2s"], "benchmark_prompt_tokens": 16, "benchmark_generated_tokens": 4,
        "benchmark_repeats": 1, "benchmark_report_directory": str(fleet.folder / "reports")}


@functools.cache
def the_fleet() -> Fleet:
    """Booted when the first check asks for it; one host."""
    return Fleet(1, variables_of, OPTIONS)


def the_host() -> hosts.Host:
    return the_fleet().machines[0]


def pid() -> str:
    return the_host().ssh("podman", "inspect", "--format", "{{.State.Pid}}", "halod")


@check("container: a host boots and has the image", name="container-boot")
def _():
    host = the_host()
    host.write("etc/containers/containers.conf", LIMITS)
    # The role leaves drop-ins of others alone.
    host.write("etc/containers/systemd/halod.container.d/90-test.conf", UNLIMITED)
    host.ssh("podman", "load", "--quiet", "--input", "/image.tar")
    return host.ssh("podman", "--version")


@check("container: every role in check mode changes nothing", name="container-check-mode", after="container-boot")
def _():
    before = files_of(the_host())
    run = the_fleet().ansible.run("site.yml", "--check", "--diff")
    the_fleet().expect_success(run)
    expect_roles(run, SITE_ROLES)
    expect_same_files(the_host(), before)


@check("container: site.yml brings user, units, configuration and models, and halod answers, tuned", name="container-site", after="container-boot")
def _():
    host = the_host()
    run = the_fleet().ansible.run("site.yml")
    the_fleet().expect_success(run)
    expect_roles(run, SITE_ROLES)
    expect(ask(host) == NAMES[0], "another model answers")
    try:
        ask(host, key="no-key")
        raise AssertionError("it answers whoever asks")
    except urllib.error.HTTPError as refusal:
        expect(refusal.code == 401, str(refusal))
    expect(host.ssh("id", "-u", "halod") == "808", "the user has another number")
    uids = host.ssh("sh", "-c", f"grep ^Uid: /proc/{pid()}/status")
    expect(uids.split()[1] == "808", f"it runs as {uids}")
    expect("Validator,CPU_MODEL" in host.ssh("podman", "exec", "halod", "cat", "/var/cache/halod/tuning-cpu.csv"), "nothing was tuned")
    return f"{len(run.rows)} tasks"


@check("container: site.yml again changes nothing", name="container-again", after="container-site")
def _():
    before = pid()
    the_fleet().expect_unchanged(the_fleet().ansible.run("site.yml"), SITE_ROLES)
    expect(pid() == before, "the container was restarted")


@check("container: swap.yml swaps over the host's D-Bus, and again it changes nothing", name="container-swap", after="container-site")
def _():
    run = the_fleet().ansible.run("swap.yml", variables={"model_swap_model": "one"})
    the_fleet().expect_success(run)
    expect(ask(the_host()) == "one", "the old model answers")
    the_fleet().expect_unchanged(the_fleet().ansible.run("swap.yml", variables={"model_swap_model": "one"}), ["model_swap"])


@check("container: a wrong configuration is refused in halod's words, and the host goes on with the old one", name="container-configuration",
       after="container-site")
def _():
    host, before = the_host(), the_host().read(CONFIGURATION)
    run = the_fleet().ansible.run([{"hosts": "all", "gather_facts": False, "roles": ["halod.fleet.halod"]}],
                                  variables={"halod_config": {"limits": {"max_tokns": 7}}})
    expect(run.status != 0 and "max_tokns" in run.failure(host.name) + run.output, run.output[-2000:])
    expect(KEY not in run.output, "the play shows a key")
    expect(host.read(CONFIGURATION) == before, "the file was replaced")
    ask(host)


@check("container: another key is taken up without a restart", name="container-keys", after="container-site")
def _():
    before = pid()
    run = the_fleet().ansible.run([{"hosts": "all", "gather_facts": False, "roles": ["halod.fleet.halod"]}], "--diff",
                                  variables={"halod_api_keys": ["hush-hush", KEY]})
    the_fleet().expect_success(run)
    expect("hush-hush" not in run.output and KEY not in run.output, "the play shows a key")
    wait_for(lambda: ask(the_host(), key="hush-hush"), "the new key")
    expect(pid() == before, f"it was restarted: {run.changed_tasks(the_host().name)}")


@check("container: a firewall's rules for input do not reach the port that podman publishes, and the role says so", name="container-firewall",
       after="container-site")
def _():
    host = the_host()
    host.ssh("nft", "add table inet test; add chain inet test input { type filter hook input priority 0; policy accept; };"
                    "add rule inet test input tcp dport 8000 drop")
    ask(host)
    host.ssh("nft", "delete table inet test")
    run = the_fleet().ansible.run([{"hosts": "all", "gather_facts": False, "roles": ["halod.fleet.halod"]}],
                                  variables={"halod_firewall_sources": [f"{hosts.NETWORK}.0/24"]})
    the_fleet().expect_success(run)
    expect("NOT RESTRICTED" in run.messages(host.name), run.messages(host.name))


@check("container: the benchmark runs the image's halo-bench", name="container-benchmark", after="container-site")
def _():
    host = the_host()
    run = the_fleet().ansible.run("benchmark.yml", variables={"benchmark_model": f"/var/lib/halod/models/{NAMES[0]}.gguf"})
    the_fleet().expect_success(run)
    report = json.loads((the_fleet().folder / "reports/halo-bench.json").read_text())
    expect(report["hosts"][host.name].get("decode_tokens_per_s", 0) > 0, f"{report}\n{run.output[-2000:]}")
    wait_for(lambda: "active" == host.ssh("systemctl", "is-active", "halod"), "halod")


@check("container: reboot.yml reboots the host, whose container then answers", name="container-reboot", after="container-site")
def _():
    run = the_fleet().ansible.run("reboot.yml", variables={"kernel_args_reboot_allowed": True})
    the_fleet().expect_success(run)
    expect(any(row["result"].get("rebooted") for row in run.rows), "it was not rebooted")
    ask(the_host())
