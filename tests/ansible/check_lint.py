"""ansible-lint in its strictest profile, and what `ansible-galaxy` and `ansible-doc` make of the collection."""
import json
import os
import shutil
import subprocess
import tarfile

from checks import SkipCheck, check, expect, temporary_folder
from playbook import COLLECTION, Ansible


def run(folder, *command: str) -> subprocess.CompletedProcess:
    ansible = Ansible(folder, {})
    environment = {**ansible.environment(folder / "record.jsonl"), "ANSIBLE_CALLBACKS_ENABLED": "", "HOME": str(folder)}
    return subprocess.run(command, cwd=ansible.folder / "collections/ansible_collections/halod/fleet", env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


@check("lint: ansible-lint's production profile has nothing to say")
def _():
    if not shutil.which("ansible-lint"):
        raise SkipCheck("there is no ansible-lint")
    with temporary_folder() as folder:
        done = run(folder, "ansible-lint", "--offline", "--nocolor", "--parseable", "--profile", "production")
        expect(done.returncode == 0, done.stdout[-4000:])


@check("lint: the collection builds, installs, its playbooks are found by their names, and ansible-doc shows its roles and modules")
def _():
    with temporary_folder() as folder:
        built = run(folder, "ansible-galaxy", "collection", "build", "--output-path", str(folder), str(COLLECTION))
        archive = next(folder.glob("halod-fleet-*.tar.gz"), None)
        expect(archive, built.stdout)
        with tarfile.open(archive) as files:
            names = files.getnames()
        for wanted in ("plugins/modules/kernel_args.py", "roles/halod/meta/argument_specs.yml", "playbooks/swap.yml", "README.md"):
            expect(wanted in names, f"{archive.name} lacks {wanted}")
        installed = run(folder, "ansible-galaxy", "collection", "install", "--offline", "--collections-path", str(folder / "installed"), str(archive))
        expect(installed.returncode == 0, installed.stdout)
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder / "installed"), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        for playbook in ("site", "reboot", "swap", "benchmark"):
            listed = subprocess.run(["ansible-playbook", "--syntax-check", "--inventory", COLLECTION / "inventory/example/hosts.yml",
                                     f"halod.fleet.{playbook}"], cwd=folder, env=environment, capture_output=True, text=True)
            expect(listed.returncode == 0, listed.stdout + listed.stderr)
        roles = [f"halod.fleet.{path.name}" for path in sorted((COLLECTION / "roles").iterdir())]
        shown = subprocess.run(["ansible-doc", "--type", "role", "--json", *roles], cwd=folder, env=environment, capture_output=True, text=True)
        expect(shown.returncode == 0, shown.stdout + shown.stderr)
        documents = json.loads(shown.stdout)
        for role in roles:
            expect(documents.get(role, {}).get("entry_points", {}).get("main", {}).get("options"), f"ansible-doc says nothing of {role}")
        modules = [f"halod.fleet.{path.stem}" for path in sorted((COLLECTION / "plugins/modules").glob("*.py"))]
        shown = subprocess.run(["ansible-doc", "--json", *modules], cwd=folder, env=environment, capture_output=True, text=True)
        expect(shown.returncode == 0 and set(json.loads(shown.stdout)) == set(modules), shown.stdout + shown.stderr)
        return f"{len(roles)} roles, {len(modules)} modules"
