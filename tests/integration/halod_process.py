"""Starts the real halod for a test, on a free port, and ends it again."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

SOURCE_DIR = Path(__file__).resolve().parents[2]
BIN_DIR = Path(os.environ.get("HALOD_BIN_DIR", SOURCE_DIR / "build/cpu-release/bin"))
REFERENCE_DIR = Path(os.environ.get("HALOD_DEMO_REFERENCE_DIR", SOURCE_DIR.parent / "shared/demo-model"))
CONFORMANCE_DIR = Path(os.environ.get("HALOD_CONFORMANCE_DIR", SOURCE_DIR.parent / "shared/conformance"))
DEMO_MODEL = SOURCE_DIR / "models/demo-moe-Q8_0.gguf"
# "", "address" or "thread". A sanitizer makes everything slower and its memory figures mean nothing.
SANITIZER = os.environ.get("HALOD_SANITIZER", "")
SLOWDOWN = 5 if SANITIZER else 1
SKIPPED = 77


class HalodProcess:
    """One running daemon. Use as a context manager: the exit sends SIGTERM and demands exit status 0.

    `config` is the configuration file as nested dicts; `ready=False` returns before the daemon says that it listens; `model=None`
    leaves the choice to the configuration; `environment` is added to the test's own and to a cache directory of its own; `wrapper` is a command that ends by
    executing the one that follows it, as the same process.
    """

    def __init__(self, *, model: Path | None = DEMO_MODEL, config: dict | None = None, listen: str = "127.0.0.1:0",
                 ready: bool = True, environment: dict[str, str] | None = None, wrapper: list[str] | None = None):
        self._folder = tempfile.TemporaryDirectory(prefix="halod-test-")
        self.folder = Path(self._folder.name)
        arguments = [*(wrapper or []), str(BIN_DIR / "halod"), "--listen", listen]
        if model:
            arguments += ["--model", str(model)]
        if config:
            # YAML's flow style is a superset of JSON.
            (self.folder / "halod.yaml").write_text(json.dumps(config))
            arguments += ["--config", str(self.folder / "halod.yaml")]
        self._stderr = open(self.folder / "stderr", "w+b")
        self._listening = threading.Event()
        self.port = int(listen.rpartition(":")[2])
        self.stdout: list[str] = []
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=self._stderr, stdin=subprocess.DEVNULL,
                                        env={**os.environ, "CACHE_DIRECTORY": str(self.folder / "cache"), **(environment or {})})
        self._reader = threading.Thread(target=self._read_stdout, daemon=True)
        self._reader.start()
        if ready:
            self.wait_until_listening()

    def _read_stdout(self) -> None:
        for line in self.process.stdout:
            text = line.decode()
            self.stdout.append(text)
            match = re.match(r"listening on http://\S+:(\d+)\s*$", text)
            if match:
                self.port = int(match.group(1))
                self._listening.set()

    def wait_until_listening(self) -> None:
        deadline = time.monotonic() + 60 * SLOWDOWN
        while not self._listening.wait(0.02):
            if self.process.poll() is not None:
                raise AssertionError(f"halod exited {self.process.returncode} before it listened:\n{self.stderr()}")
            if time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"halod did not listen in time:\n{self.stderr()}")

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    def engine_pid(self) -> int | None:
        """The halo-engine that runs now, None between two of them."""
        for pid in children(self.process.pid):
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and "halo-engine" in Path(f"/proc/{pid}/comm").read_text():
                    return pid
            except FileNotFoundError:
                pass  # it ended between the two looks
        return None

    def wait_for_engine(self, other_than: int | None = None) -> int:
        """The pid of an engine that is not `other_than`."""
        return wait_for(lambda: (pid := self.engine_pid()) and pid != other_than and pid, "a new engine process")

    def terminate(self, timeout: float = 30) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 30) -> int:
        try:
            status = self.process.wait(timeout * SLOWDOWN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"halod did not end within {timeout * SLOWDOWN:.0f} s:\n{self.stderr()}") from None
        self._reader.join()
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._stderr.close()
        self._folder.cleanup()

    def __enter__(self) -> "HalodProcess":
        return self

    def __exit__(self, kind, value, trace) -> None:
        try:
            if kind is None and self.process.poll() is None:
                status = self.terminate()
                if status != 0:
                    raise AssertionError(f"halod exited {status} after SIGTERM:\n{self.stderr()}")
            elif kind is not None:
                print(f"---- halod's standard error:\n{self.stderr()[-8000:]}\n----", file=sys.stderr)
        finally:
            self.close()


def children(pid: int) -> list[int]:
    pids = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids += [int(child) for child in path.read_text().split()]
        except FileNotFoundError:
            pass  # the thread ended
    return pids


def wait_for(condition, what: str, timeout: float = 30):
    """The first true value of condition(); polls, because it looks at another process from outside."""
    deadline = time.monotonic() + timeout * SLOWDOWN
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {timeout * SLOWDOWN:.0f} s in vain for {what}")


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no VmRSS")


def n_open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def run_tests() -> None:
    """unittest.main, with ctest's word for a program in which everything was skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) == result.testsRun:
        for _, reason in result.skipped:
            print(f"SKIPPED: {reason}")
        sys.exit(SKIPPED)
