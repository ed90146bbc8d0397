"""Runs playbooks of and with the collection, and says what happened.

Environment: HALOD_ANSIBLE_SLOWEST=N shows the N slowest tasks of every run.
"""
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COLLECTION = ROOT / "ansible"
TIMEOUT = 900  # seconds, for one run: a hung one, on a machine that is busy with other things


@dataclass
class Run:
    status: int
    output: str
    rows: list[dict]  # {"host", "task", "outcome", "seconds", "result"}, as callback_plugins/record.py writes them
    stats: dict[str, dict]  # of each host: ok, changed, unreachable, failures, skipped, rescued, ignored

    def messages(self, host: str) -> str:
        """Everything that tasks had to say about a host."""
        return "\n".join(str(row["result"].get("msg", "")) for row in self.rows if row["host"] == host)

    def changed_tasks(self, host: str) -> list[str]:
        return [row["task"] for row in self.rows if row["host"] == host and row["result"].get("changed")]

    def failure(self, host: str) -> str:
        """The message of the host's last failure; fails when there is none."""
        failures = [row["result"] for row in self.rows if row["host"] == host and row["outcome"] in ("failed", "unreachable")]
        if not failures:
            raise AssertionError(f"{host} did not fail:\n{self.output[-3000:]}")
        last = failures[-1]
        return "\n".join([str(last.get("msg", ""))] + [str(item) for item in last.get("argument_errors", [])])


class Ansible:
    """A folder with the collection installed as `ansible-galaxy` would, and an inventory."""

    def __init__(self, folder: Path, hosts: dict[str, dict], groups: dict[str, list[str]] | None = None):
        self.folder = folder
        installed = folder / "collections/ansible_collections/halod"
        installed.mkdir(parents=True, exist_ok=True)
        if not (installed / "fleet").exists():
            (installed / "fleet").symlink_to(COLLECTION)
        children = {name: {"hosts": {host: {} for host in members}} for name, members in (groups or {}).items()}
        self.inventory = folder / "inventory.json"
        self.inventory.write_text(json.dumps({"all": {"hosts": hosts, "children": children}}, indent=1))

    def environment(self, record: Path) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return {**clean, "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"), "ANSIBLE_COLLECTIONS_PATHS": str(self.folder / "collections"),
                "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"), "ANSIBLE_CALLBACKS_ENABLED": "record",
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"), "ANSIBLE_HOME": str(self.folder / "home"), "ANSIBLE_PIPELINING": "true",
                "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_FORKS": "4", "ANSIBLE_NOCOLOR": "true", "ANSIBLE_RETRY_FILES_ENABLED": "false",
                "ANSIBLE_GATHERING": "explicit", "ANSIBLE_DEPRECATION_WARNINGS": "false", "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                "LC_ALL": "C.UTF-8", "HALOD_ANSIBLE_RECORD": str(record)}

    def run(self, playbook, *arguments: str, variables: dict | None = None, prefix: list[str] | None = None) -> Run:
        """`playbook`: the name of one of the collection's, or plays as data."""
        if isinstance(playbook, str):
            path = COLLECTION / "playbooks" / playbook
        else:
            path = self.folder / "playbook.json"
            path.write_text(json.dumps(playbook, indent=1))
        (self.folder / "ansible.cfg").touch()
        record = self.folder / "record.jsonl"
        record.unlink(missing_ok=True)
        extra = ["--extra-vars", json.dumps(variables)] if variables else []
        command = [*(prefix or []), shutil.which("ansible-playbook"), "--inventory", str(self.inventory), *extra, *arguments, str(path)]
        done = subprocess.run(command, env=self.environment(record), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=TIMEOUT)
        rows = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
        show_slowest(rows)
        stats = next((row["stats"] for row in rows if "stats" in row), {})
        return Run(done.returncode, done.stdout, [row for row in rows if "stats" not in row], stats)


def show_slowest(rows: list[dict]) -> None:
    n_shown = int(os.environ.get("HALOD_ANSIBLE_SLOWEST", "0"))
    for row in sorted((row for row in rows if "task" in row), key=lambda row: -row["seconds"])[:n_shown]:
        print(f"# {row['seconds']:6.1f} s  {row['host']}: {row['task']}", flush=True)


def with_role(role: str, **play) -> list[dict]:
    return [{"hosts": "all", "gather_facts": False, "roles": [f"halod.fleet.{role}"], **play}]
