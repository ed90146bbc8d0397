"""The role tuning: says so where haloctl cannot tune, and otherwise tunes on one host of each class."""
import sys
from pathlib import Path

from checks import check, expect, temporary_folder
from playbook import Ansible, with_role

# As CLI11 writes it: the help of a command that it does not know is the program's own, with exit status 0.
HALOCTL = """#!/bin/sh
case "$*" in
  *--help*) printf 'Subcommands:\\n  tuning                      which kernel serves what\\n%s' "$EXTRA" ;;
  tune) for device in cpu gfx1151; do echo $device tuned by $NAME >$FOLDER/tuning-$device.csv; done
        echo of before >$FOLDER/tuning-cpu.csv.aside; echo call >>$FOLDER/calls ;;
  *) exit 2 ;;
esac
"""


def hosts(folder: Path, extra: str) -> dict[str, dict]:
    program = folder / "haloctl"
    program.write_text(HALOCTL)
    program.chmod(0o755)
    rows = {}
    for name, kind in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        cache = folder / name
        cache.mkdir()
        rows[name] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "tuning_class": kind, "tuning_directory": str(cache),
                      "tuning_command": [str(program), "tune"], "simulated": {"EXTRA": extra, "NAME": name, "FOLDER": str(cache)}}
    return rows


@check("tuning: a haloctl that cannot tune is said so, and nothing is written")
def _():
    with temporary_folder() as folder:
        run = Ansible(folder, hosts(folder, "")).run(with_role("tuning", environment="{{ simulated }}"))
        for name in ("a1", "a2", "b1"):
            expect(run.stats[name]["failures"] == 0 and run.stats[name]["changed"] == 0, run.output)
            expect("NOT TUNED" in run.messages(name) and not list((folder / name).iterdir()), run.output)


@check("tuning: one host of each class tunes, the others get its result, and a second run changes nothing")
def _():
    with temporary_folder() as folder:
        rows = hosts(folder, "  tune                        measure\n")
        ansible = Ansible(folder, rows)
        run = ansible.run(with_role("tuning", environment="{{ simulated }}"))
        expect(run.status == 0, run.output)
        for name, source in (("a1", "a1"), ("a2", "a1"), ("b1", "b1")):
            for device in ("cpu", "gfx1151"):
                expect((folder / name / f"tuning-{device}.csv").read_text() == f"{device} tuned by {source}\n", run.output)
        expect((folder / "a1/calls").read_text() == "call\n" and not (folder / "a2/calls").exists(), "not one host of the class tuned")
        expect(not (folder / "a2/tuning-cpu.csv.aside").exists(), "a file that was set aside came along")
        again = ansible.run(with_role("tuning", environment="{{ simulated }}"))
        expect(all(stats["changed"] == 0 and not stats["failures"] for stats in again.stats.values()), again.output)
