"""Hosts to manage: real systemds, booted by systemd-nspawn from one tree, on a network of their own, with sshd.

Everything here runs inside tests/e2e/boot-ns and namespaces for network and processes (inside.py sees to that), so nothing of it is left on
the machine: their last process ends the hosts, and with them their disks, which lie in memory.
"""
import hashlib
import http.server
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import checks
import trees
from checks import SkipCheck
from playbook import ROOT

# That of ansible/inventory/example.
NETWORK = "192.0.2"
# Beyond what tests/e2e boots: what Ansible needs of a host, and what the role models copies with.
EXTRA_PACKAGES = ["openssh-server", "python3-apt", "rsync", "sudo", "ufw"]
# What all hosts have alike is made once, in the tree. No package lists: nothing is installed from a mirror, and apt reads them at every turn. No
# waiting for a disk that is memory. Modules of Python compiled, because every one of Ansible's starts Python.
PREPARE = """set -e
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends {packages}
apt-get clean
rm -rf /var/lib/apt/lists/*
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/unsafe-io
python3 -m compileall -q /usr/lib/python3 /usr/lib/python3.* || true
systemctl disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer || true
systemctl disable firewalld.service || true
command -v dnf >/dev/null && mkdir -p /etc/yum.repos.d
systemctl enable systemd-networkd.service ssh.service
"""
CACHE = ROOT / "build/ansible"
# halod's container image, as tests/e2e/image.py leaves it.
IMAGE = trees.CACHE / "halod-image.tar"
REBOOTED = 133  # systemd-nspawn's exit status

# The simulated machine's boot loader and the boot, below /simulated: what kernel-install has stored is what the next boot has.
KERNEL_INSTALL = """#!/bin/sh
echo "kernel-install $*" >>/simulated/calls.log
"""
BOOT_UNIT = """[Unit]
Description=Boots the simulated kernel
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'if [ -e /simulated/etc/kernel/cmdline ]; then cp /simulated/etc/kernel/cmdline /simulated/proc/cmdline; fi'
[Install]
WantedBy=multi-user.target
"""
NETWORK_FILE = """[Match]
Name=host0
[Network]
Address={address}/24
"""


def packages(kind: str = "deb") -> list[Path]:
    """halod's .debs or .rpms, the newest of each."""
    folder = Path(os.environ.get("HALOD_ANSIBLE_PACKAGES", ROOT / "build/cpu-release/packages"))
    newest = {re.split(r"_|-\d", path.name)[0]: path for path in sorted(folder.glob(f"*.{kind}"), key=lambda path: path.stat().st_mtime)}
    if "halod" not in newest:
        raise SkipCheck(f"there is no halod*.{kind} in {folder}; `scripts/check fleet` builds it")
    return list(newest.values())


def make_tree(options: list[str], more_packages: list[str] | tuple[str, ...] = ()) -> Path:
    """The tree that `tests/e2e/run.py --tree OPTIONS` boots, with what Ansible needs; made anew only when one of them changes."""
    made = subprocess.run([ROOT / "tests/e2e/run.py", "--tree", *options], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if made.returncode != 0:
        raise SkipCheck(f"the end-to-end test's tree cannot be had here: {made.stdout.strip()} {made.stderr.strip()[-300:]}")
    base = Path(made.stdout.splitlines()[-1])
    prepare = PREPARE.format(packages=" ".join([*EXTRA_PACKAGES, *more_packages]))
    kind = "-".join([base.name.split("-")[0], *more_packages])
    tree = CACHE / f"{kind}.{hashlib.sha256(f'{base.name}{prepare}'.encode()).hexdigest()[:8]}"
    if tree.exists():
        return tree
    print(f"# making {tree}", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{kind}.*"):
        shutil.rmtree(old)
    making = CACHE / "tree.making"
    shutil.rmtree(making, ignore_errors=True)
    with open(CACHE / "tree.log", "w") as log:
        for command in (["cp", "--archive", str(base), str(making)], ["chroot", str(making), "sh", "-c", prepare]):
            if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode != 0:
                raise SkipCheck(f"{command[0]} failed, probably for want of a network: see {log.name}")
    making.rename(tree)
    return tree


def native_tree() -> Path:
    """This machine's own release, with what halod's packages need."""
    return make_tree(["--packages", str(packages()[0].parent)])


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def dnf_tree() -> Path:
    """This machine's own release, with what Fedora has: dnf and firewalld."""
    return make_tree(["--packages", str(packages()[0].parent)], ["dnf", "rpm", "createrepo-c", "firewalld"])


def container_tree() -> Path:
    """Debian 13 with podman."""
    return make_tree(["--quadlet"])


class Host:
    """One booted system. `root` is what it sees; `disk` what it has that the tree has not. It lives as long as the test, over reboots too."""

    def __init__(self, name: str, number: int, folder: Path, tree: Path, key: Path, options: list[str]):
        """`key`: who may log in by ssh. `options`: more of them for systemd-nspawn; {folder} in them is the host's own, outside its overlay."""
        self.name, self.address, self.key = name, f"{NETWORK}.{number}", key
        self.options = [option.format(folder=folder / name / "outside") for option in options]
        self.root, self.disk = folder / name / "root", folder / name / "disk"
        work = folder / name / "work"
        for path in (self.root, self.disk, work, folder / name / "outside"):
            path.mkdir(parents=True)
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={tree},upperdir={self.disk},workdir={work}", str(self.root))
        self.write("root/.ssh/authorized_keys", key.with_suffix(".pub").read_text(), 0o600)
        self.write("etc/systemd/network/10-host0.network", NETWORK_FILE.format(address=self.address))
        self.write("etc/systemd/system/simulated-boot.service", BOOT_UNIT)
        self.write("usr/local/bin/kernel-install", KERNEL_INSTALL, 0o755)
        self.write("simulated/proc/cmdline", "root=LABEL=r rw amdgpu.gttsize=65536")
        self.write("simulated/usr/lib/modules/6.18.9/vmlinuz", "")
        self.write("etc/hostname", name + "\n")
        (self.root / "etc/systemd/system/multi-user.target.wants/simulated-boot.service").symlink_to("/etc/systemd/system/simulated-boot.service")
        self.console = folder / name / "console.txt"
        self.ending = False
        self.process = self.boot()
        threading.Thread(target=self.boot_again, daemon=True).start()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def read_bytes(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def main_pid(self) -> int:
        """halod's, in the namespace of this process."""
        group = next(self.cgroup().rglob("system.slice/halod.service")) / "cgroup.procs"
        commands = {int(pid): Path(f"/proc/{pid}/comm").read_text().strip() for pid in group.read_text().split()}
        return next(pid for pid, command in commands.items() if command == "halod")

    def cgroup(self) -> Path:
        return Path("/sys/fs/cgroup") / Path("/proc/self/cgroup").read_text().split("0::/")[1].split("\n")[0] / self.name

    def boot(self) -> subprocess.Popen:
        # A cgroup of its own below the test's, or the hosts would share one.
        own = self.cgroup()
        own.mkdir(exist_ok=True)
        command = ["sh", "-c", f'echo $$ >{own}/cgroup.procs && exec "$@"', "sh", "systemd-nspawn", "--quiet", f"--directory={self.root}",
                   "--register=no", "--keep-unit", "--boot", "--console=pipe", "--network-bridge=fleet", f"--machine={self.name}",
                   *self.options, "--", "systemd.unit=multi-user.target"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(self.console, "wb"), stderr=subprocess.STDOUT)

    def boot_again(self) -> None:
        """A reboot ends systemd-nspawn, with a status by which a unit of its own would start it again; here it has none."""
        while self.process.wait() == REBOOTED and not self.ending:
            self.process = self.boot()

    def shut_down(self) -> None:
        self.ending = True
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.pull_plug()

    def pull_plug(self) -> None:
        self.ending = True
        self.process.kill()
        self.process.wait()

    def ssh(self, *command: str, ok: bool = True) -> str:
        """What the command prints there."""
        options = [f"-o{option}" for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=2",
                                                "BatchMode=yes")]
        return checks.run("ssh", "-i", self.key, *options, f"root@{self.address}", shlex.join(command), ok=ok, timeout=120,
                          stdin=subprocess.DEVNULL).stdout.strip()

    def answers(self) -> bool:
        try:
            self.ssh("true")
            return True
        except AssertionError:
            return False

    def variables(self) -> dict:
        return {"ansible_host": self.address, "ansible_user": "root", "ansible_become": False, "ansible_ssh_private_key_file": str(self.key),
                "ansible_python_interpreter": "/usr/bin/python3",
                # Fewer seconds than by default for a host that reboots, and no compression on the way to the same machine.
                "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=300s", "ansible_ssh_timeout": 5,
                "ansible_ssh_common_args": f"-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ControlPath={self.key.parent}/%h"}


class ModelServer(http.server.ThreadingHTTPServer):
    """Serves one file and counts who asks for it."""

    def __init__(self, address: str, file: Path):
        self.file, self.downloads = file, []
        super().__init__((address, 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.downloads.append(self.client_address[0])
            self.send_response(200)
            self.send_header("Content-Length", str(self.server.file.stat().st_size))
            self.end_headers()
            with open(self.server.file, "rb") as file:
                shutil.copyfileobj(file, self.wfile)

        def log_message(self, *_):
            pass


def wait_for_ssh(host: Host, timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not host.answers():
        if time.monotonic() > deadline or host.process.poll() is not None:
            raise AssertionError(f"{host.name} does not answer by ssh:\n{host.console.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)


@contextmanager
def booted(folder: Path, n_hosts: int, options: list[str] | tuple[str, ...] = ()):
    """The hosts; they are gone afterwards."""
    disks = folder / "disks"
    disks.mkdir()
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "fleet", "type", "bridge")
    run("ip", "address", "add", f"{NETWORK}.1/24", "dev", "fleet")
    run("ip", "link", "set", "fleet", "up")
    key = folder / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    tree = Path(os.environ["HALOD_ANSIBLE_TREE"])
    hosts = [Host(f"halo-{number}", 10 + number, disks, tree, key, list(options)) for number in range(1, n_hosts + 1)]
    try:
        for host in hosts:
            wait_for_ssh(host)
        yield hosts
    finally:
        for host in hosts:
            host.pull_plug()
