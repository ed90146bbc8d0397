"""The way of docs/paths/ansible.sh, from a checkout to an answer, on two hosts. See check_path.py."""
import functools
import os
import shutil

import hosts
import yaml
from booted_fleet import SIMULATED, Fleet
from checks import check, expect, run
from playbook import ROOT

NAME = "halod-fleet"


@functools.cache
def the_fleet() -> Fleet:
    """Booted when the first check asks for it."""
    return Fleet(2, lambda _: {})


def walk(fleet: Fleet) -> str:
    """What docs/paths/ansible.sh prints, run by a user with nothing but a checkout and packages that are built already."""
    checkout, home = fleet.folder / "checkout", fleet.folder / "home"
    if not checkout.exists():
        for name in ("ansible", "docs/paths"):
            shutil.copytree(ROOT / name, checkout / name)
        (checkout / "build/cpu-release/packages").mkdir(parents=True)
        for path in hosts.packages():
            shutil.copy(path, checkout / "build/cpu-release/packages")
        # What is the test's: a boot loader that nobody starts, a key that no agent has, a machine that is tuned quickly.
        own = home / NAME / "group_vars/halod/test.yml"
        own.parent.mkdir(parents=True)
        host = fleet.machines[0].variables()
        own.write_text(yaml.safe_dump({**SIMULATED, "tuning_command": ["haloctl", "tune", "--budget", "2s"],
                                       **{name: value for name, value in host.items() if "ssh" in name or "interpreter" in name}}))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return run("sh", checkout / "docs/paths/ansible.sh", *[host.address for host in fleet.machines], timeout=600,
               env={**clean, "HOME": str(home), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "true", "ANSIBLE_HOST_KEY_CHECKING": "false"}).stdout


@check("path: docs/paths/ansible.sh goes from a checkout to an answer", name="path")
def _():
    output = walk(the_fleet())
    expect('"content":"47 + 125 = 172."' in output, output[-3000:])
    vault = the_fleet().folder / "home" / NAME / "group_vars/halod/vault.yml"
    expect(vault.read_text().startswith("$ANSIBLE_VAULT"), "the key is not encrypted")
    for host in the_fleet().machines:
        expect(host.main_pid() > 0, f"{host.name} does not run halod")


@check("path: a second time it changes nothing", name="path-again", after="path")
def _():
    output = walk(the_fleet())
    recap = [line for line in output.split("PLAY RECAP")[-1].splitlines() if "changed=" in line]
    expect(len(recap) == 2 and all(" changed=0 " in line and " failed=0 " in line for line in recap), "\n".join(recap))
