#!/usr/bin/env python3
"""What halod tells the service manager, by a NOTIFY_SOCKET of the test's own, and what it takes from it."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api_client import ENDLESS, Stream, ask, chat, request
from halod_process import BIN_DIR, DEMO_MODEL, SANITIZER, SLOWDOWN, HalodProcess, run_tests, wait_for

LONG = {**ENDLESS, "max_tokens": 400}
# Runs its arguments with socket `fd` as systemd passes it: number 3, and LISTEN_PID the program's own.
LAUNCHER = """
import os, sys
fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="http", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """The service manager's end of NOTIFY_SOCKET. Read all the time, as systemd does: a full socket would stop halod."""

    def __init__(self, folder: Path):
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.messages: list[tuple[float, dict[str, str]]] = []  # when it came, and its assignments
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while (text := self._socket.recv(1 << 16).decode()) != "END":
            self.messages.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))

    def all(self, name: str) -> list[str]:
        return [message[name] for _, message in self.messages if name in message]

    def times(self, name: str) -> list[float]:
        return [when for when, message in self.messages if name in message]

    def wait_for(self, name: str, pattern: str = "", timeout: float = 30) -> str:
        """The first value of `name`, since the last forget(), in which `pattern` is found."""
        wait_for(lambda: any(re.search(pattern, value) for value in self.all(name)), f"{name}={pattern}", timeout)
        return next(value for value in self.all(name) if re.search(pattern, value))

    def forget(self) -> None:
        self.messages = []

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"END", str(self.path))
        self._reader.join()
        self._socket.close()


class ServiceTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.manager = Manager(self.folder)
        self.addCleanup(self.manager.close)

    def halod(self, **more) -> HalodProcess:
        environment = {"NOTIFY_SOCKET": str(self.manager.path), **more.pop("environment", {})}
        return HalodProcess(environment=environment, **more)


class Readiness(ServiceTest):
    def test_is_told_once_the_model_is_warm_and_not_before(self):
        go = self.folder / "go"
        slow = self.folder / "slow-engine"
        slow.write_text(f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.02; done\nexec {BIN_DIR}/halo-engine \"$@\"\n")
        slow.chmod(0o755)
        with self.halod(config={"engine": {"binary": str(slow)}}, ready=False) as halod:
            self.manager.wait_for("STATUS", "starting")
            # How long a model takes to load is nothing that a unit file could know.
            self.assertGreaterEqual(int(self.manager.wait_for("EXTEND_TIMEOUT_USEC")), 60_000_000)
            self.assertEqual(self.manager.all("READY"), [])
            go.touch()
            self.assertEqual(self.manager.wait_for("READY"), "1")
            halod.wait_until_listening()
            self.assertEqual(request(halod.port, "GET", "/health").status, 200)
            self.assertEqual(self.manager.all("READY"), ["1"])

    def test_is_not_told_again_when_the_engine_comes_back(self):
        with self.halod(config={"engine": {"restart_delay_min": "1500ms"}}) as halod:
            self.manager.wait_for("STATUS", "serving")
            self.manager.forget()
            os.kill(halod.engine_pid(), signal.SIGKILL)
            status = self.manager.wait_for("STATUS", "engine was killed")
            self.assertEqual(status, "the engine was killed by signal 9 (Killed) and is being restarted")
            self.manager.wait_for("STATUS", "serving")
            self.assertEqual(self.manager.all("READY"), [])

    def test_never_comes_for_a_model_that_cannot_be_served_and_the_status_says_why(self):
        bad = self.folder / "bad.gguf"
        bad.write_text("This is no model.\n" * 100)
        with self.halod(model=bad, ready=False) as halod:
            self.assertEqual(halod.wait(), 1)
        self.assertEqual(self.manager.all("READY"), [])
        self.assertRegex(self.manager.all("STATUS")[-1], "^cannot serve: .*bad.gguf")


class TheStatusLine(ServiceTest):
    def test_says_what_is_served_what_runs_and_how_fast_at_most_once_a_second(self):
        with self.halod(config={"engine": {"heartbeat_interval": "50ms"}}) as halod:
            self.manager.wait_for("STATUS", "^serving demo-moe-Q8_0, idle$")
            self.manager.forget()
            seen = threading.Event()

            def ask_until_seen():
                while not seen.is_set():
                    chat(halod.port, ask("Count.", **LONG))

            with ThreadPoolExecutor(2) as pool:
                asking = [pool.submit(ask_until_seen) for _ in range(2)]
                try:
                    self.manager.wait_for("STATUS", r"^serving demo-moe-Q8_0, 2 running, \d+\.\d tok/s$")
                finally:
                    seen.set()
                for future in asking:
                    future.result()
            self.manager.wait_for("STATUS", "idle")
            times = self.manager.times("STATUS")
            self.assertGreaterEqual(len(times), 2)
            for first, second in zip(times, times[1:]):
                self.assertGreater(second - first, 0.5)  # 1 s, seen by a reader that may be late


class Reloading(ServiceTest):
    def test_is_told_with_a_time_and_ends_whether_the_file_is_right_or_wrong(self):
        with self.halod(config={"limits": {"max_requests": 7}}) as halod:
            self.manager.wait_for("STATUS", "serving")
            for text, note in (('{"limits": {"max_requests": 0}}', "configuration was not changed: .*max_requests"), ("{}", "^serving [^;]*$")):
                self.manager.forget()
                (halod.folder / "halod.yaml").write_text(text)
                before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                halod.process.send_signal(signal.SIGHUP)
                self.manager.wait_for("READY", "1")
                after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                first, second = [message for _, message in self.manager.messages if "RELOADING" in message or "READY" in message]
                self.assertEqual(first["RELOADING"], "1")
                self.assertTrue(before <= int(first["MONOTONIC_USEC"]) <= after, first)
                self.assertRegex(second["STATUS"], note)
                self.assertIsNone(halod.process.poll())


class Stopping(ServiceTest):
    def test_is_told_before_requests_have_finished(self):
        with self.halod() as halod:
            with Stream(halod.port, "/v1/chat/completions", ask("Count from 1 to 100.", **LONG)) as stream:
                events = iter(stream)
                for _ in range(5):
                    next(events)
                halod.process.send_signal(signal.SIGTERM)
                self.manager.wait_for("STOPPING", "1")
                self.assertRegex(self.manager.all("STATUS")[-1], "^stopping, 1 unfinished$")
                self.assertGreater(int(self.manager.all("EXTEND_TIMEOUT_USEC")[-1]), 10_000_000)
                for _ in events:
                    pass
                self.assertTrue(stream.finished)
            self.assertEqual(halod.wait(), 0)


class TheWatchdog(ServiceTest):
    TIMEOUT = 1.2  # seconds

    def halod(self, **more) -> HalodProcess:
        environment = {"WATCHDOG_USEC": str(int(self.TIMEOUT * 1e6)), **more.pop("environment", {})}
        return super().halod(environment=environment, **more)

    def n_fed(self, seconds: float) -> int:
        self.manager.forget()
        time.sleep(seconds)  # the absence of something has no event to wait for
        return len(self.manager.all("WATCHDOG"))

    def test_is_fed_three_times_in_its_timeout_from_the_start_on(self):
        with self.halod():
            self.assertGreaterEqual(self.n_fed(4 * self.TIMEOUT), 8)

    def test_is_not_fed_by_a_halod_that_is_stopped(self):
        with self.halod() as halod:
            halod.process.send_signal(signal.SIGSTOP)
            self.assertEqual(self.n_fed(3 * self.TIMEOUT), 0)
            halod.process.send_signal(signal.SIGCONT)
            self.manager.wait_for("WATCHDOG", "1")

    def test_is_fed_while_an_engine_that_hangs_is_replaced(self):
        config = {"engine": {"heartbeat_interval": "50ms", "heartbeat_timeout": "1s", "restart_delay_min": "1s"}}
        with self.halod(config=config) as halod:
            hung = halod.engine_pid()
            os.kill(hung, signal.SIGSTOP)
            self.manager.forget()
            halod.wait_for_engine(other_than=hung)
            self.manager.wait_for("STATUS", "serving")
            times = self.manager.times("WATCHDOG")
            self.assertLess(max(second - first for first, second in zip(times, times[1:])), self.TIMEOUT * SLOWDOWN)

    @unittest.skipIf(SANITIZER, "a sanitizer's runtime must be the first library")
    def test_is_not_fed_when_the_engine_hangs_and_cannot_even_be_killed(self):
        config = {"engine": {"heartbeat_interval": "50ms", "heartbeat_timeout": "300ms"}}
        environment = {"LD_PRELOAD": str(BIN_DIR / "libharmless_sigkill.so")}
        with self.halod(config=config, environment=environment) as halod:
            engine = halod.engine_pid()
            os.kill(engine, signal.SIGSTOP)
            wait_for(lambda: "the watchdog is not fed" in halod.stderr(), "halod to notice")
            self.assertEqual(self.n_fed(3 * self.TIMEOUT), 0)
            os.kill(engine, signal.SIGKILL)  # from here it works
            self.manager.wait_for("WATCHDOG", "1")
            wait_for(lambda: request(halod.port, "GET", "/health").status == 200, "the next engine")


class SocketActivation(ServiceTest):
    def run_halod(self, listener: socket.socket, **more) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", LAUNCHER, str(listener.fileno()), str(BIN_DIR / "halod"), "--model", str(DEMO_MODEL),
                                 "--listen", "127.0.0.1:1"], pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL, **more)

    def test_serves_on_the_socket_that_it_was_given_and_not_on_http_listen(self):
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with self.subTest(host=host), socket.socket(family) as listener:
                try:
                    listener.bind((host, 0))
                except OSError:
                    self.skipTest("there is no IPv6 here")
                listener.listen()
                port = listener.getsockname()[1]
                halod = self.run_halod(listener, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                try:
                    shown = f"[{host}]" if ":" in host else host
                    self.assertEqual(halod.stdout.readline().decode(), f"listening on http://{shown}:{port}\n")
                    with socket.create_connection((host, port)) as client:
                        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        self.assertIn(b" 200 ", client.recv(100))
                finally:
                    halod.terminate()
                    self.assertEqual(halod.wait(30), 0)
                    halod.stdout.close()
                # The service manager's socket is still there: the next connection waits for the next halod.
                socket.create_connection((host, port)).close()

    def test_refuses_a_socket_that_is_none_for_http(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / "unix"))
            listener.listen()
            halod = self.run_halod(listener, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            _, stderr = halod.communicate(timeout=60 * SLOWDOWN)
            self.assertEqual(halod.returncode, 1)
            self.assertIn("not a listening TCP socket", stderr)


class TheModelFolder(unittest.TestCase):
    def test_while_it_is_empty_the_bundled_model_is_served(self):
        with tempfile.TemporaryDirectory() as folder:
            for files, served in (([], ["demo-moe-Q8_0"]), (["own.gguf"], ["own"])):
                for name in files:
                    (Path(folder) / name).symlink_to(DEMO_MODEL)
                config = {"models": {"directory": folder}}
                with self.subTest(files=files), HalodProcess(model=None, config=config) as halod:
                    models = request(halod.port, "GET", "/v1/models").json()
                    self.assertEqual([model["id"] for model in models["data"]], served)


if __name__ == "__main__":
    run_tests()
