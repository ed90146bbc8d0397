"""The role halod's Quadlet files, as a host gets them, through the generators of the podmans that it is for."""
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from checks import SkipCheck, check, expect, temporary_folder
from playbook import ROOT, Ansible

SUITES = ["trixie", "sid"]
UNITS = {"halod.service", "halod@.service", "halod-image.service", "halod-volume.service", "halod-network.service"}
REGISTRY = "registry.example/halod:1"


@contextmanager
def files_of_role(modes: tuple = (([], True),), **variables):
    """The folder with the files that the role brings; `modes`: how often it does, and whether it has to change something then."""
    with temporary_folder() as folder:
        units = folder / "units"
        units.mkdir()
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "halod_quadlet_directory": str(units),
                "halod_install_method": "quadlet", "halod_image": "localhost/halod:latest", "halod_state": "stopped", **variables}
        play = [{"hosts": "all", "gather_facts": False,
                 "tasks": [{"ansible.builtin.include_role": {"name": "halod.fleet.halod", "tasks_from": "quadlet_units"}}]}]
        ansible = Ansible(folder, {"host": host})
        for arguments, changes in modes:
            run = ansible.run(play, *arguments)
            expect(run.status == 0, run.output[-3000:])
            expect(bool(run.changed_tasks("host")) == changes, f"changed: {run.changed_tasks('host')}")
            expect(not arguments or not list(units.iterdir()), "check mode wrote files")
        yield units


def generated(suite: str, folder: Path) -> dict[str, str]:
    done = subprocess.run([ROOT / "tests/e2e/quadlet_files.py", "--generate", suite, folder], capture_output=True, text=True)
    if done.returncode == 77:
        raise SkipCheck(done.stdout.strip())
    complaints = [line for line in done.stderr.splitlines() if "Loading source" not in line]
    expect(done.returncode == 0 and not complaints, f"exit status {done.returncode}\n{done.stderr}")
    parts = re.split(r"^---(\S+)---$", done.stdout, flags=re.MULTILINE)
    units = dict(zip(parts[1::2], parts[2::2]))
    expect(set(units) == UNITS, str(set(units)))
    return units


def command_of(unit: str, key: str = "ExecStart") -> str:
    return re.search(rf"^{key}=(.*)$", unit, re.MULTILINE).group(1)


def last(unit: str, key: str) -> list[str]:
    """What is in force of a list: an empty value takes back those before it."""
    values = []
    for value in re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE):
        values = values + [value] if value else []
    return values


@check("quadlet: with its defaults, the role's unit is the packaged one with this host's numbers")
def _():
    with files_of_role(((["--check"], True), ([], True), ([], False)), halod_uid=812) as folder:
        for suite in SUITES:
            units = generated(suite, folder)
            command = command_of(units["halod.service"])
            # No `-` before a device: it would be left out where the device is late.
            for part in ("--device /dev/kfd", "--device /dev/dri", "--user 812:812", "--publish 127.0.0.1:8000:8000", "--cap-drop all", "--read-only",
                         "--security-opt label=type:halod_container_t", "-v /run/dbus/system_bus_socket:/run/dbus/system_bus_socket",
                         "--env WATCHDOG_USEC=30000000", "--label io.containers.autoupdate=local", "localhost/halod:latest"):
                expect(part in command, f"{suite}: no {part} in {command}")
            groups = re.findall(r"--group-add (\S+)", command)
            expect(groups and all(group.isdigit() for group in groups), f"{suite}: groups {groups} in {command}")
            expect("ConditionPathExists=/dev/kfd" in units["halod.service"], units["halod.service"])
            expect(last(units["halod.service"], "WantedBy") == ["multi-user.target"], units["halod.service"])
            expect("--user 812:812" in command_of(units["halod@.service"]), units["halod@.service"])
            expect("image exists localhost/halod:latest" in last(units["halod-image.service"], "ExecCondition")[0], units["halod-image.service"])
    return f"podman of {' and '.join(SUITES)}"


@check("quadlet: drop-ins say what variables say, and nothing of before is left")
def _():
    with files_of_role(halod_image=REGISTRY, halod_image_pull="newer", halod_listen="0.0.0.0:8443", halod_gpu=False,
                       halod_models_directory="/srv/models", halod_enabled=False) as folder:
        for suite in SUITES:
            units = generated(suite, folder)
            unit, image = units["halod.service"], units["halod-image.service"]
            command = command_of(unit)
            expect(re.findall(r"--publish (\S+)", command) == ["0.0.0.0:8443:8000"], f"{suite}: {command}")
            for part in (REGISTRY, "-v /srv/models:/srv/models:ro,z", "--label io.containers.autoupdate=registry"):
                expect(part in command, f"{suite}: no {part} in {command}")
            for part in ("--device", "--group-add", "localhost/halod", "autoupdate=local"):
                expect(part not in command, f"{suite}: {part} in {command}")
            expect(last(unit, "ConditionPathExists") == [] and last(unit, "WantedBy") == [], f"{suite}: {unit}")
            expect("/srv/models" in " ".join(last(unit, "RequiresMountsFor")), f"{suite}: {unit}")
            expect(REGISTRY in command_of(image) and last(image, "ExecCondition") == [], f"{suite}: {image}")


@check("quadlet: an image that is never pulled")
def _():
    with files_of_role(halod_image_pull="never") as folder:
        image = generated(SUITES[0], folder)["halod-image.service"]
        expect(last(image, "ExecCondition") == ["/bin/false"], image)
