"""The bus: jobs with progress, who may do what, bus activation. Skipped where halod has no name on the bus."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from machine import (CONFIG, DEMO, UNIT, SkipCheck, check, expect, expect_right_answer, main_pid, restart, run, systemctl, wait_for,
                     write_config)

NAME, PATH = "io.halod.Halod1", "/io/halod/Halod1"
MANAGER, JOB = f"{NAME}.Manager", f"{NAME}.Job"
OWN = Path("/var/lib/halod/models/own.gguf")


def need_the_bus() -> None:
    names = json.loads(run("busctl", "--system", "--json=short", "list").stdout)
    if not any(entry["name"] == NAME and entry.get("pid") for entry in names):
        raise SkipCheck(f"{NAME} is not on the bus")


def call(*arguments: str, user: str = "", path: str = PATH, ok: bool = True) -> str:
    prefix = ["runuser", "-u", user, "--"] if user else []
    result = run(*prefix, "busctl", "--system", "--timeout=20", "call", NAME, path, *arguments, ok=ok)
    return (result.stdout + result.stderr).strip()


def get(name: str, interface: str = MANAGER, path: str = PATH) -> str:
    return run("busctl", "--system", "get-property", NAME, path, interface, name).stdout.strip()


def finish(answer: str) -> str:
    """Waits for the job whose object a call answered with; the object's path."""
    path = re.fullmatch(rf'o "({PATH}/job/\d+)"', answer).group(1)
    wait_for(lambda: get("State", JOB, path) not in ('s "waiting"', 's "running"'), "the job's end")
    expect(get("State", JOB, path) == 's "done"', get("Error", JOB, path))
    return path


def add_users() -> None:
    if run("id", "alice", ok=None).returncode != 0:
        run("useradd", "alice")
        run("useradd", "-G", "halod-admin", "bob")


@check("halod has its name on the bus, and says what it serves")
def _():
    need_the_bus()
    expect(get("State") == 's "ready"' and get("ActiveModel") == f's "{DEMO}"', get("State") + get("ActiveModel"))


@check("a swap to a model that was just copied is a job whose progress everybody can watch")
def _():
    need_the_bus()
    shutil.copy(f"/usr/share/halod/models/{DEMO}.gguf", OWN)
    finish(call(MANAGER, "Rescan"))
    with tempfile.TemporaryFile("w+") as seen:
        monitor = subprocess.Popen(["busctl", "--system", "--json=short", "monitor", NAME], stdout=seen)
        # It does not say in every version when it has begun.
        wait_for(lambda: get("State") and os.fstat(seen.fileno()).st_size > 0, "the monitor to see a message")
        job = finish(call(MANAGER, "Swap", "sa{sv}", "own", "0"))
        wait_for(lambda: get("ActiveModel") == 's "own"', "the new model to be the active one")
        expect_right_answer()
        monitor.send_signal(signal.SIGTERM)
        monitor.wait()
        seen.seek(0)
        messages = [json.loads(line) for line in seen]
    told = [message.get("member") for message in messages if message.get("type") == "signal"]
    expect("JobNew" in told and "JobRemoved" in told, str(told))
    changes = [message for message in messages if message.get("member") == "PropertiesChanged" and message.get("path") == job]
    expect(len(changes) >= 2, f"the job changed {len(changes)} times")
    return f"{len(changes)} changes"


@check("everybody may look")
def _():
    need_the_bus()
    add_users()
    expect('"own"' in call(MANAGER, "ListModels", user="alice"))


@check("nobody without the right may change anything")
def _():
    need_the_bus()
    add_users()
    for method in (["Swap", "sa{sv}", "own", "0"], ["Unload", "sa{sv}", "own", "0"], ["Reload"], ["SetLogLevel", "s", "debug"]):
        message = call(MANAGER, *method, user="alice", ok=False)
        expect(re.search("denied|authoriz", message, re.IGNORECASE), f"{method[0]}: {message}")


@check("members of halod-admin may")
def _():
    need_the_bus()
    add_users()
    finish(call(MANAGER, "Swap", "sa{sv}", "own", "0", user="bob"))


@check("haloctl goes over the bus without a key, for those who may")
def _():
    need_the_bus()
    add_users()
    expect(json.loads(run("haloctl", "status", "--json").stdout)["health"]["model"] == "own", "haloctl status")
    denied = run("runuser", "-u", "alice", "--", "haloctl", "swap", DEMO, ok=False)
    expect("halod-admin" in denied.stderr, denied.stderr)
    for prefix, model in ((["runuser", "-u", "bob", "--"], DEMO), ([], "own")):
        done = run(*prefix, "haloctl", "swap", model)
        expect(done.stdout.startswith(f"swap {model}: done in "), done.stdout + done.stderr)


@check("interfaces that the policy does not name are refused by the bus itself")
def _():
    need_the_bus()
    add_users()
    expect("denied" in call(f"{NAME}.Secret", "X", user="alice", ok=False).lower())


@check("a reload over the bus tells when the file is wrong")
def _():
    need_the_bus()
    before = main_pid()
    CONFIG.write_text("defaults:\n  max_tokns: 7\n")
    message = call(MANAGER, "Reload", ok=False)
    expect("max_tokns" in message and main_pid() == before, message)
    write_config()
    call(MANAGER, "Reload")


@check("a call to the bus starts the service")
def _():
    need_the_bus()
    OWN.unlink()
    systemctl("stop", UNIT)
    expect(re.fullmatch(r's "\d+\.\d+\.\d+"', get("Version")))
    wait_for(lambda: systemctl("is-active", UNIT, ok=None) == "active", "the service to be active")
    restart()
