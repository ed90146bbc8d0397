"""A real dbus-daemon of the test's own, with halod's policy from packaging/, and on it a fake polkit and a real power-profiles-daemon."""
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from dbus_client import BusClient
from halod_process import BIN_DIR, SOURCE_DIR, wait_for

# Like the system bus: everybody may talk to the bus and get replies; names and calls are for the policies behind it.
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow own="org.freedesktop.UPower.PowerProfiles"/>
    <allow own="net.hadess.PowerProfiles"/>
    <deny send_type="method_call"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.UPower.PowerProfiles"/>
    <allow send_destination="net.hadess.PowerProfiles"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""


# Where Debian, Fedora and Arch have it.
PROFILE_DAEMON = next((path for path in map(Path, ("/usr/libexec/power-profiles-daemon",
                                                   "/usr/lib/power-profiles-daemon/power-profiles-daemon")) if path.exists()), None)


def missing_programs() -> list[str]:
    return [program for program in ("dbus-daemon", "busctl") if not shutil.which(program)]


class PrivateBus:
    """Use as a context manager."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="halod-bus-")
        folder = Path(self._folder.name)
        self.socket = folder / "bus"
        self.address = f"unix:path={self.socket}"
        policy = (SOURCE_DIR / "packaging/dbus/io.halod.Halod1.conf").read_text()
        # The test's halod runs as whoever runs the test.
        (folder / "halod.conf").write_text(policy.replace('user="halod"', f'user="{pwd.getpwuid(os.getuid()).pw_name}"'))
        self._config = folder / "bus.conf"
        self._config.write_text(CONFIG.format(socket=self.socket, policy=folder / "halod.conf"))
        self._log = open(folder / "log", "w+b")
        self._daemon = None
        self._polkit = None
        self._profile_daemon = None
        self._allowed = folder / "allowed-actions"
        self.start()

    def start(self) -> None:
        self._daemon = subprocess.Popen(["dbus-daemon", f"--config-file={self._config}", "--nofork", "--nopidfile", "--nosyslog"],
                                        stdout=self._log, stderr=self._log)
        wait_for(self._accepts, "the bus to listen")

    def _accepts(self) -> bool:
        """Its socket is there a moment before it listens."""
        try:
            self.client().close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def kill(self) -> None:
        """The way it never ends by itself: at once, its socket left behind."""
        end(self._daemon, signal.SIGKILL)
        self.socket.unlink(missing_ok=True)

    def start_polkit(self, *allowed: str) -> None:
        self.allow(*allowed)
        if self._polkit:
            end(self._polkit, signal.SIGKILL)  # of a bus that was killed
        self._polkit = subprocess.Popen([BIN_DIR / "fake_polkit", self.address, self._allowed], stdout=self._log, stderr=self._log)
        with self.client() as client:
            wait_for(lambda: client.bus("NameHasOwner", "s", "org.freedesktop.PolicyKit1"), "the fake polkit")

    def start_profile_daemon(self) -> None:
        """The real power-profiles-daemon, whose fake driver changes nothing. Asks polkit, so start that first."""
        sysfs = self.socket.parent / "sysfs"
        sysfs.mkdir(exist_ok=True)
        # UMOCKDEV_DIR: it keeps its state there, and not in /var/lib.
        self._profile_daemon = subprocess.Popen(
            [PROFILE_DAEMON], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address, "POWER_PROFILE_DAEMON_FAKE_DRIVER": "1", "UMOCKDEV_DIR": str(sysfs)})
        with self.client() as client:
            wait_for(lambda: client.bus("NameHasOwner", "s", "net.hadess.PowerProfiles"), "the power-profiles-daemon")

    def kill_profile_daemon(self) -> None:
        end(self._profile_daemon, signal.SIGKILL)

    def allow(self, *actions: str) -> None:
        """All that may be done from now on, by anybody."""
        self._allowed.write_text("".join(action + "\n" for action in actions))

    def client(self) -> BusClient:
        return BusClient(str(self.socket))

    def wait_for_halod(self) -> BusClient:
        """A client, once halod has its name."""
        client = self.client()
        wait_for(lambda: client.bus("NameHasOwner", "s", "io.halod.Halod1"), "halod on the bus")
        return client

    def busctl(self, *arguments: str) -> str:
        result = subprocess.run(["busctl", f"--address={self.address}", *arguments], capture_output=True, text=True, timeout=60)
        if result.returncode != 0:
            raise AssertionError(f"busctl {' '.join(arguments)}: {result.stderr}")
        return result.stdout

    def close(self) -> None:
        for process in (self._profile_daemon, self._polkit, self._daemon):
            if process:
                end(process, signal.SIGTERM)
        self._log.close()
        self._folder.cleanup()

    def __enter__(self) -> "PrivateBus":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def end(process: subprocess.Popen, by: int) -> None:
    if process.poll() is None:
        process.send_signal(by)
        process.wait()
