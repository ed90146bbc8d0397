"""The role tuning: says so where haloctl cannot tune, and otherwise tunes on one host of each class."""
import sys
from pathlib import Path

from checks import check, expect, temporary_folder
from playbook import Ansible, with_role

# As CLI11 writes it: the help of a command that it does not know is the program's own, with exit status 0.
HALOCTL = """#!/bin/sh
case "$*" in
  *--help*) printf 'Subcommands:\\n  tuning                      which kernel serves what\\n%s' "$EXTRA" ;;
  tune) echo tuned by $NAME >$FILE; echo call >>$FILE.calls ;;
  *) exit 2 ;;
esac
"""


def hosts(folder: Path, extra: str) -> dict[str, dict]:
    program = folder / "haloctl"
    program.write_text(HALOCTL)
    program.chmod(0o755)
    rows = {}
    for name, kind in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        file = folder / f"{name}.json"
        rows[name] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "tuning_class": kind, "tuning_file": str(file),
                      "tuning_command": [str(program), "tune"], "simulated": {"EXTRA": extra, "NAME": name, "FILE": str(file)}}
    return rows


@check("tuning: a haloctl that cannot tune is said so, and nothing is written")
def _():
    with temporary_folder() as folder:
        run = Ansible(folder, hosts(folder, "")).run(with_role("tuning", environment="{{ simulated }}"))
        for name in ("a1", "a2", "b1"):
            expect(run.stats[name]["failures"] == 0 and run.stats[name]["changed"] == 0, run.output)
            expect("NOT TUNED" in run.messages(name) and not (folder / f"{name}.json").exists(), run.output)


@check("tuning: one host of each class tunes, the others get its result, and a second run changes nothing")
def _():
    with temporary_folder() as folder:
        rows = hosts(folder, "  tune                        measure\n")
        # Hosts on one machine: those of a class share the file, as they share its contents.
        rows["a2"]["tuning_file"] = rows["a1"]["tuning_file"]
        ansible = Ansible(folder, rows)
        run = ansible.run(with_role("tuning", environment="{{ simulated }}"))
        expect(run.status == 0, run.output)
        expect((folder / "a1.json").read_text() == "tuned by a1\n" and (folder / "b1.json").read_text() == "tuned by b1\n", run.output)
        expect((folder / "a1.json.calls").read_text() == "call\n", "the second of the class tuned too")
        again = ansible.run(with_role("tuning", environment="{{ simulated }}"))
        expect(all(stats["changed"] == 0 and not stats["failures"] for stats in again.stats.values()), again.output)
