"""halod as a container: podman and Quadlet of the booted release, halod.service as the generator makes it."""
import json
import re
import shutil
import signal
import threading
from pathlib import Path

from api_client import request
from machine import CONFIG, DEMO, PORT, UNIT, LongAnswer, check, expect, expect_right_answer, healthy, run, send, show, systemctl, wait_for

CHECKOUT = Path("/e2e/checkout")
DROP_INS = Path("/etc/containers/systemd/halod.container.d")
MANAGER = ["io.halod.Halod1", "/io/halod/Halod1", "io.halod.Halod1.Manager"]
OWN = Path("/var/lib/halod/models/own.gguf")


def podman(*arguments: str, ok: bool | None = True) -> str:
    return run("podman", *arguments, ok=ok, timeout=300).stdout.strip()


def halod_pid() -> int:
    return int(podman("inspect", "--format", "{{.State.Pid}}", "halod"))


def restart() -> None:
    systemctl("daemon-reload")
    systemctl("reset-failed", UNIT, ok=None)
    run("systemctl", "restart", UNIT, timeout=120)
    expect(healthy(), "started, but not healthy")


@check("the image is loaded, in the place of a build that takes minutes")
def _():
    # A container in a container may not raise its limits.
    Path("/etc/containers/containers.conf").write_text('[containers]\npids_limit = 0\n'
                                                       'default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]\n')
    podman("load", "--quiet", "--input", "/e2e/image.tar")
    podman("image", "exists", "localhost/halod:latest")
    DROP_INS.mkdir(parents=True)
    # For the same reason: neither more processes nor more locked memory than this boot has itself.
    (DROP_INS / "90-e2e.conf").write_text("[Container]\nPidsLimit=0\nUlimit=\n")
    return podman("--version")


@check("the way of docs/paths/quadlet.sh goes from an image to an answer")
def _():
    expect(not Path("/dev/kfd").exists(), "this machine has a GPU; the checks are for one without")
    result = run("sh", CHECKOUT / "docs/paths/quadlet.sh", timeout=240)
    expect('"content":"47 + 125 = 172."' in result.stdout, result.stdout + result.stderr)


@check("user, folders and units are there, and what Quadlet made satisfies systemd")
def _():
    expect(run("id", "-u", "halod").stdout.strip() == "808", run("id", "halod").stdout)
    modes = run("stat", "-c", "%U:%G %a", "/etc/halod", "/etc/halod/halod.yaml", "/var/lib/halod/models").stdout.splitlines()
    expect(modes == ["root:halod 750", "root:halod 640", "halod:halod-admin 2775"], str(modes))
    expect(systemctl("is-active", UNIT) == "active" and show("Type") == "notify", show("Type"))
    expect(systemctl("is-enabled", UNIT, ok=None) == "generated", systemctl("is-enabled", UNIT, ok=None))
    result = run("systemd-analyze", "verify", "--man=no", "--generators=yes", UNIT, ok=None)
    ours = [line for line in result.stderr.splitlines() if "halod" in line]
    expect(not ours, "\n".join(ours))


@check("it runs as halod, without capabilities, on a read-only root")
def _():
    status = Path(f"/proc/{halod_pid()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    expect(fields["Uid"].split()[0] == "808" and int(fields["CapEff"], 16) == 0 and fields["NoNewPrivs"] == "1", status)
    podman("exec", "halod", "touch", "/usr/x", ok=False)
    podman("exec", "halod", "touch", "/var/cache/halod/x")


@check("its health check passes")
def _():
    podman("healthcheck", "run", "halod")


@check("a swap over the system bus, from the host into the container")
def _():
    archive = podman("create", "localhost/halod:latest")
    podman("cp", f"{archive}:/usr/share/halod/models/{DEMO}.gguf", str(OWN))
    podman("rm", archive)
    shutil.chown(OWN, "halod")
    OWN.chmod(0o644)

    def call(*arguments: str) -> None:
        answer = run("busctl", "--system", "--timeout=30", "call", *MANAGER, *arguments).stdout.strip()
        job = re.fullmatch(r'o "(/io/halod/Halod1/job/\d+)"', answer).group(1)
        state = [MANAGER[0], job, "io.halod.Halod1.Job", "State"]
        wait_for(lambda: run("busctl", "--system", "get-property", *state).stdout.strip() not in ('s "waiting"', 's "running"'), "the job")
        expect(run("busctl", "--system", "get-property", *state).stdout.strip() == 's "done"', answer)

    call("Rescan")
    call("Swap", "sa{sv}", "own", "0")
    expect(run("busctl", "--system", "get-property", *MANAGER, "ActiveModel").stdout.strip() == 's "own"')
    expect_right_answer()


@check("polkit on the host is asked: others may look, and change nothing")
def _():
    run("useradd", "alice")
    alice = ["runuser", "-u", "alice", "--", "busctl", "--system", "--timeout=20"]
    expect('"own"' in run(*alice, "call", *MANAGER, "ListModels").stdout)
    refused = run(*alice, "call", *MANAGER, "Swap", "sa{sv}", "own", "0", ok=False).stderr
    expect(re.search("denied|authoriz", refused, re.IGNORECASE), refused)


@check("a user of the container may not start services of the machine")
def _():
    refused = podman("run", "--rm", "--network=none", "--user=808:808", "--cap-drop=all", "--pids-limit=0",
                     "--volume=/run/dbus/system_bus_socket:/run/dbus/system_bus_socket", "--rootfs", "/:O", "busctl", "--system", "call",
                     "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartUnit", "ss",
                     "polkit.service", "replace", ok=False)
    expect(refused == "", refused)


@check("a reload refuses a wrong file, and applies a right one")
def _():
    before = halod_pid()
    right = CONFIG.read_text()
    CONFIG.write_text("http:\n  lisen: 127.0.0.1:8000\n")
    systemctl("reload", UNIT, ok=False)
    expect(halod_pid() == before and healthy())
    CONFIG.write_text(right)
    systemctl("reload", UNIT)
    expect(halod_pid() == before and healthy())


@check("keys are podman's secrets, readable to halod alone")
def _():
    right = CONFIG.read_text()
    for name, key in (("halod-api-keys", "sesame"), ("halod-admin-keys", "boss")):
        run("podman", "secret", "create", name, "-", input=f"{key}\n")
    shutil.copy(CHECKOUT / "packaging/quadlet/halod.container.d/30-keys.conf", DROP_INS)
    CONFIG.write_text("http: {api_keys_file: $CREDENTIALS_DIRECTORY/api-keys, admin_keys_file: $CREDENTIALS_DIRECTORY/admin-keys}\n"
                      "models: {directory: /var/lib/halod/models}\n")
    try:
        restart()
        statuses = [request(PORT, "GET", "/v1/models", headers={"Authorization": f"Bearer {key}"}).status for key in ("none", "sesame", "boss")]
        expect(statuses == [401, 200, 200], str(statuses))
        expect(podman("exec", "halod", "stat", "-c", "%u %a", "/run/credentials/api-keys") == "808 400")
        expect("every user" not in run("journalctl", "-u", UNIT, "-n", "30", "--no-pager").stdout, "the secret can be read by everybody")
        systemctl("reload", UNIT)
    finally:
        (DROP_INS / "30-keys.conf").unlink()
        CONFIG.write_text(right)
    restart()


@check("root swaps by the haloctl in the container, as the Ansible role model_swap does")
def _():
    haloctl = ["podman", "exec", "--user=0:0", "halod", "haloctl", "--bus", "system"]
    run(*haloctl, "swap", "own", "--policy", "drain", timeout=120)
    expect('"own"' in run(*haloctl, "status", "--json").stdout)


@check("a halod that is killed is started again")
def _():
    before = halod_pid()
    send(before, signal.SIGKILL)
    wait_for(lambda: show("NRestarts") != "0" and healthy(), "the next one", timeout=60)
    expect(halod_pid() != before)


@check("halod that hangs is restarted by the watchdog")
def _():
    (DROP_INS / "91-watchdog.conf").write_text("[Container]\nEnvironment=WATCHDOG_USEC=4000000\n[Service]\nWatchdogSec=4s\n")
    restart()
    before, n_restarts = halod_pid(), int(show("NRestarts"))
    # It is fed: nothing happens for as long as it would take to notice that it is not.
    fed_since = show("WatchdogTimestampMonotonic")
    wait_for(lambda: show("WatchdogTimestampMonotonic") != fed_since, "a keep-alive through conmon")
    send(before, signal.SIGSTOP)
    wait_for(lambda: int(show("NRestarts")) > n_restarts and healthy(), "the watchdog", timeout=90)
    expect("Watchdog timeout" in run("journalctl", "-u", UNIT, "--no-pager").stdout, "nobody says that it was the watchdog")
    (DROP_INS / "91-watchdog.conf").unlink()
    restart()


@check("auto-update goes back to the image of before when the new one does not start")
def _():
    good = podman("image", "inspect", "--format", "{{.Id}}", "localhost/halod:latest")
    # An update that cannot serve: it ends at once.
    work = podman("create", "--entrypoint", '["/bin/false"]', "localhost/halod:latest")
    podman("commit", "--quiet", "--format=docker", "--change", 'ENTRYPOINT ["/bin/false"]', work, "localhost/halod:latest")
    podman("rm", work)
    expect(podman("image", "inspect", "--format", "{{.Id}}", "localhost/halod:latest") != good)
    outcome = run("podman", "auto-update", "--format", "json", ok=None, timeout=300)
    rows = json.loads(outcome.stdout or "[]")
    expect([row["Updated"] for row in rows if row["ContainerName"] == "halod"] == ["rolled back"], outcome.stdout + outcome.stderr)
    wait_for(healthy, "the old image's halod", timeout=60)
    expect(podman("inspect", "--format", "{{.Image}}", "halod") == good)
    expect_right_answer()


@check("with halod.socket, the container needs no network, and no client is refused")
def _():
    (DROP_INS / "91-socket.conf").write_text("[Container]\nNetwork=\nNetwork=none\nPublishPort=\n")
    systemctl("daemon-reload")
    systemctl("stop", UNIT)
    systemctl("start", "halod.socket")
    expect_right_answer(PORT)
    expect(podman("inspect", "--format", "{{.HostConfig.NetworkMode}}", "halod") == "none")
    (DROP_INS / "91-socket.conf").unlink()
    systemctl("stop", "halod.socket", UNIT)
    restart()


@check("for a machine with a GPU, the unit waits for the GPU, and says so")
def _():
    run(CHECKOUT / "packaging/quadlet/install")
    systemctl("stop", UNIT)
    systemctl("start", UNIT)
    expect(show("ConditionResult") == "no" and systemctl("is-active", UNIT, ok=None) == "inactive", show("ConditionResult"))
    run(CHECKOUT / "packaging/quadlet/install", "--cpu-only")
    run("systemctl", "start", UNIT, timeout=120)
    expect_right_answer()


@check("a second halod by the template, with a configuration of its own")
def _():
    Path("/etc/halod/second.yaml").write_text("http: {listen: '127.0.0.1:8101'}\n")
    shutil.chown("/etc/halod/second.yaml", "root", "halod")
    template = DROP_INS.parent / "halod@.container.d"
    shutil.copy(DROP_INS / "90-e2e.conf", template)
    systemctl("daemon-reload")
    run("systemctl", "start", "halod@second.service", timeout=120)
    expect_right_answer(8101)
    expect_right_answer()
    systemctl("stop", "halod@second.service")


@check("a stop lets an answer finish, and is a success")
def _():
    answer = LongAnswer()
    expected = answer.whole()
    stopping = []

    def stop():
        stopping.append(threading.Thread(target=lambda: run("systemctl", "stop", UNIT, timeout=90)))
        stopping[0].start()

    expect(answer.disturbed(stop) == expected, "another answer")
    stopping[0].join()
    expect(show("Result") == "success", show("Result"))
