#!/usr/bin/env python3
"""packaging/quadlet through the generators of two podmans, and what they make through `systemd-analyze verify`.

    tests/e2e/quadlet_files.py
    tests/e2e/quadlet_files.py --generate SUITE FOLDER    only shows what the generator of SUITE makes of the files in FOLDER

The generators are the programs of Debian 13's and sid's podman packages; they run on Debian 12 as they are."""
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from checks import SKIPPED, SkipCheck, check, expect, run, run_all
from trees import ROOT, unpacked_package

QUADLET = ROOT / "packaging/quadlet"
SUITES = {"trixie": "5.4", "sid": "5."}
UNITS = {"halod.service", "halod@.service", "halod-image.service", "halod-volume.service", "halod-network.service"}
HOST = "[Container]\nUser=808\nGroup=808\nGroupAdd=105\nGroupAdd=44\n"  # as packaging/quadlet/install writes it


def generator(suite: str) -> Path:
    return unpacked_package(suite, "podman") / "usr/libexec/podman/quadlet"


def folder_of_units(*, cpu_only: bool = False, keys: bool = False, changed: dict[str, str] | None = None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="halod-quadlet-"))
    for name in ("halod.container", "halod@.container", "halod.image", "halod.volume", "halod.network"):
        shutil.copy(QUADLET / name, folder)
    for drop_in in ("halod.container.d", "halod@.container.d"):
        (folder / drop_in).mkdir()
        (folder / drop_in / "10-host.conf").write_text(HOST)
        if cpu_only:
            shutil.copy(QUADLET / "halod.container.d/20-cpu-only.conf", folder / drop_in)
        if keys:
            shutil.copy(QUADLET / "halod.container.d/30-keys.conf", folder / drop_in)
    for name, text in (changed or {}).items():
        (folder / name).write_text(text)
    return folder


def generate(suite: str, folder: Path, *, ok: bool = True) -> dict[str, str]:
    """The units by name, as `quadlet -dryrun` prints them; "" has what it said beside."""
    result = run(generator(suite), "-dryrun", ok=ok, env={"QUADLET_UNIT_DIRS": str(folder), "PATH": "/usr/bin:/bin"})
    shutil.rmtree(folder)
    parts = re.split(r"^---(\S+)---$", result.stdout, flags=re.MULTILINE)
    return {"": result.stderr, **dict(zip(parts[1::2], parts[2::2]))}


def podman_run(unit: str) -> str:
    return re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE).group(1)


def check_all_units_come_out(suite: str) -> str:
    units = generate(suite, folder_of_units())
    expect(set(units) - {""} == UNITS, str(set(units)))
    complaints = [line for line in units[""].splitlines() if "Loading source" not in line]
    expect(not complaints, "\n".join(complaints))
    command = podman_run(units["halod.service"])
    for part in ("--sdnotify=container", "--device /dev/kfd", "--device /dev/dri", "--group-add 105", "--group-add 44", "--cap-drop all",
                 "--user 808:808", "--read-only", "--security-opt=no-new-privileges", "--security-opt label=type:halod_container_t",
                 "--env WATCHDOG_USEC=30000000", "-v /run/dbus/system_bus_socket:/run/dbus/system_bus_socket", "--health-on-failure kill",
                 "--label io.containers.autoupdate=local", "--publish 127.0.0.1:8000:8000", "--network halod"):
        expect(part in command, f"no {part} in {command}")
    expect("label=disable" not in command and "--privileged" not in command, command)
    for line in ("Type=notify", "WatchdogSec=30s", "ConditionPathExists=/dev/kfd", "ConditionPathExistsGlob=/dev/dri/renderD*",
                 "Requires=halod-image.service", "Alias=dbus-io.halod.Halod1.service"):
        expect(line in units["halod.service"].splitlines(), f"no {line} in\n{units['halod.service']}")
    template = podman_run(units["halod@.service"])
    expect("--name halod-%i" in template and "/etc/halod/%i.yaml" in template and "system_bus_socket" not in template, template)


def check_cpu_only(suite: str) -> None:
    units = generate(suite, folder_of_units(cpu_only=True))
    command = podman_run(units["halod.service"])
    expect("--device" not in command and "--group-add" not in command, command)
    conditions = re.findall(r"^Condition.*$", units["halod.service"], re.MULTILINE)
    # An empty one takes back those before it.
    expect(conditions[-2:] == ["ConditionPathExists=", "ConditionPathExistsGlob="], str(conditions))


def check_keys(suite: str) -> None:
    command = podman_run(generate(suite, folder_of_units(keys=True))["halod.service"])
    for name in ("api-keys", "admin-keys"):
        expect(f"--secret halod-{name},type=mount,target=/run/credentials/{name},uid=808,gid=808,mode=0400" in command, command)
    expect("--env CREDENTIALS_DIRECTORY=/run/credentials" in command and "--env WATCHDOG_USEC=30000000" in command, command)


def check_verify(suite: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="halod-units-"))
    units = generate(suite, folder_of_units())
    for name in UNITS:
        # podman is not installed where this runs, so another program that is.
        (folder / name).write_text(re.sub(r"/usr/bin/podman\b", "/usr/bin/true", units[name]))
    shutil.copy(QUADLET / "halod.socket", folder)
    for name in ("halod.service", "halod@one.service", "halod.socket"):
        result = run("systemd-analyze", "verify", "--man=no", folder / name, env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin"})
        # It exits 0 on values that it ignores.
        expect(not result.stderr.strip(), result.stderr)
    shutil.rmtree(folder)


def check_it_can_fail(suite: str) -> None:
    text = (QUADLET / "halod.container").read_text().replace("Notify=true", "Notifi=true")
    units = generate(suite, folder_of_units(changed={"halod.container": text}), ok=False)
    expect("Notifi" in units[""] and "halod.service" not in units, units[""])


for suite_name, version in SUITES.items():
    def add(suite: str, expected: str):
        @check(f"the podman of {suite} is one of Quadlet's")
        def _():
            text = run(generator(suite), "-version").stdout.strip()
            expect(text.startswith(expected), text)
            return text

        @check(f"{suite}: every unit comes out, with what it is meant to have")
        def _():
            check_all_units_come_out(suite)

        @check(f"{suite}: without a GPU there are no devices, no groups and no conditions")
        def _():
            check_cpu_only(suite)

        @check(f"{suite}: keys are podman's secrets")
        def _():
            check_keys(suite)

        @check(f"{suite}: systemd finds nothing to say about the units")
        def _():
            check_verify(suite)

        @check(f"{suite}: a key that it does not know is noticed")
        def _():
            check_it_can_fail(suite)

    add(suite_name, version)


@check("the watchdog's two settings agree, and halod has time to stop")
def _():
    for name in ("halod.container", "halod@.container"):
        text = (QUADLET / name).read_text()
        value = {key: re.search(rf"^{key}=(\d+)", text, re.MULTILINE).group(1) for key in ("StopTimeout", "TimeoutStopSec", "WatchdogSec")}
        microseconds = re.search(r"^Environment=WATCHDOG_USEC=(\d+)", text, re.MULTILINE).group(1)
        expect(int(microseconds) == int(value["WatchdogSec"]) * 1_000_000, f"{name}: {microseconds} and {value}")
        expect(10 < int(value["StopTimeout"]) < int(value["TimeoutStopSec"]), f"{name}: {value}")


@check("podman's own durations are in Go's units, which the generators do not look at")
def _():
    text = (QUADLET / "halod.container").read_text()
    durations = re.findall(r"^Health(?:Interval|Timeout|StartPeriod)=(.*)$", text, re.MULTILINE)
    expect(len(durations) == 3 and all(re.fullmatch(r"\d+(s|m|h)", duration) for duration in durations), str(durations))


def show_generated(suite: str, folder: str) -> None:
    """Becomes the generator."""
    try:
        program = generator(suite)
    except SkipCheck as reason:
        print(reason)
        sys.exit(SKIPPED)
    os.execve(program, [program, "-dryrun"], {"QUADLET_UNIT_DIRS": folder, "PATH": "/usr/bin:/bin"})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--generate"]:
        show_generated(*sys.argv[2:])
    run_all()
