"""The role halod's firewall on simulated machines with firewalld, ufw or neither: in check mode, for real, again."""
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from checks import check, expect, temporary_folder
from playbook import HERE, Ansible

PLAY = [{"hosts": "all", "gather_facts": False, "environment": "{{ simulated }}",
         "tasks": [{"ansible.builtin.include_role": {"name": "halod.fleet.halod", "tasks_from": "firewall"}}]}]
V4 = "rule family=ipv4 source address={} port port=8000 protocol=tcp accept"
V6 = "rule family=ipv6 source address={} port port=8000 protocol=tcp accept"
UFW = "allow proto tcp from {} to any port 8000"


@dataclass
class Machine:
    name: str
    tool: str  # firewall-cmd, ufw, or empty
    sources: list[str]
    expected: list[str]
    before: list[str] = field(default_factory=list)
    variables: dict = field(default_factory=dict)
    root: Path = Path()

    def make(self, folder: Path) -> dict:
        """Its host's variables."""
        self.root = folder / self.name
        (self.root / "bin").mkdir(parents=True)
        # What this machine itself has must not be found.
        for tool in ("firewall-cmd", "ufw"):
            program = self.root / "bin" / tool
            if tool == self.tool:
                program.symlink_to(HERE / "firewall_tools.py")
            else:
                program.write_text("#!/bin/sh\nexit 127\n")
                program.chmod(0o755)
        (self.root / "firewall.json").write_text(json.dumps({"permanent": self.before, "now": self.before}))
        (self.root / "calls.log").touch()
        return {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "halod_listen": "0.0.0.0:8000",
                "halod_firewall_sources": self.sources, **self.variables,
                "simulated": {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "SIMULATED_ROOT": str(self.root)}}

    def rules(self) -> list[str]:
        """Those in force."""
        return sorted(json.loads((self.root / "firewall.json").read_text())["now"])

    def changing_calls(self) -> list[str]:
        reading = ("firewall-cmd --state", "firewall-cmd --permanent --query", "firewall-cmd --permanent '--query", "ufw status", "ufw --dry-run")
        return [call for call in (self.root / "calls.log").read_text().splitlines() if not call.startswith(reading)]


def machines() -> list[Machine]:
    networks = ["192.0.2.0/24", "2001:db8::/32"]
    return [
        Machine("firewalld-for-all", "firewall-cmd", [], ["8000/tcp"]),
        # What let everybody in goes when networks are named; what is somebody else's stays.
        Machine("firewalld-narrowed", "firewall-cmd", networks, ["22/tcp", V4.format(networks[0]), V6.format(networks[1])],
                before=["8000/tcp", "22/tcp"]),
        Machine("ufw-for-all", "ufw", [], [UFW.format("any")]),
        Machine("ufw-narrowed", "ufw", networks, [UFW.format(network) for network in networks], before=[UFW.format("any")]),
    ]


@check("firewall: check mode, for real, again; with firewalld and ufw, for all and for networks")
def _():
    with temporary_folder() as folder:
        rows = machines()
        ansible = Ansible(folder, {machine.name: machine.make(folder) for machine in rows})
        tried = ansible.run(PLAY, "--check", "--diff")
        for machine in rows:
            stats = tried.stats[machine.name]
            expect(stats["changed"] > 0 and not stats["failures"], f"check mode, {machine.name}: {stats}\n{tried.output[-3000:]}")
            expect(machine.changing_calls() == [], f"check mode, {machine.name}: called {machine.changing_calls()}")
            expect(machine.rules() == sorted(machine.before), f"check mode, {machine.name}: lets in {machine.rules()}")
        done = ansible.run(PLAY)
        for machine in rows:
            stats = done.stats[machine.name]
            expect(stats["changed"] > 0 and not stats["failures"], f"{machine.name}: {stats}\n{done.output[-3000:]}")
            expect(machine.rules() == sorted(machine.expected), f"{machine.name} lets in {machine.rules()}, not {machine.expected}")
        n_calls = {machine.name: len(machine.changing_calls()) for machine in rows}
        again = ansible.run(PLAY)
        for machine in rows:
            expect(again.stats[machine.name]["changed"] == 0, f"again, {machine.name}: {again.changed_tasks(machine.name)} changed")
            # ufw has no question: adding a rule again changes nothing, and says so.
            calls = [call for call in machine.changing_calls()[n_calls[machine.name]:] if not call.startswith("ufw ")]
            expect(not calls and machine.rules() == sorted(machine.expected), f"again, {machine.name}: called {calls}")
        return f"{len(rows)} machines"


@check("firewall: without one nothing is opened, which is said; another than the one that runs is refused by name")
def _():
    with temporary_folder() as folder:
        none = Machine("none", "", [], [])
        other = Machine("other", "ufw", [], [], variables={"halod_firewall": "firewalld"})
        run = Ansible(folder, {machine.name: machine.make(folder) for machine in (none, other)}).run(PLAY)
        expect(run.stats["none"]["changed"] == 0 and not run.stats["none"]["failures"], run.output)
        expect("neither firewalld nor ufw runs on none" in run.messages("none"), run.messages("none"))
        expect("halod_firewall is firewalld, but on other ufw runs" in run.failure("other"), run.output)
