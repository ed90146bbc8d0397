#!/usr/bin/env python3
"""Starting with good and bad models and configurations, readiness, and stopping."""
import http.client
import os
import random
import signal
import socket
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api_client import ENDLESS, Stream, ask, chat, metrics, request
from halod_process import BIN_DIR, DEMO_MODEL, SLOWDOWN, SOURCE_DIR, HalodProcess, run_tests, wait_for

LONG = {**ENDLESS, "max_tokens": 900}


def run_halod(*arguments: str) -> subprocess.CompletedProcess:
    """For starts that fail: ends by itself."""
    return subprocess.run([BIN_DIR / "halod", *arguments], capture_output=True, text=True, timeout=60 * SLOWDOWN, errors="replace")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Starting(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_says_once_and_only_on_standard_output_where_it_listens(self):
        with HalodProcess() as halod:
            self.assertEqual(halod.stdout, [f"listening on http://127.0.0.1:{halod.port}\n"])
            self.assertGreater(halod.port, 0)

    def test_is_unhealthy_with_a_reason_until_the_model_is_warm_and_lets_requests_wait_for_it(self):
        go = self.folder / "go"
        # An engine that takes its time: it waits for a file before it becomes the real one.
        slow = self.folder / "slow-engine"
        slow.write_text(f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.02; done\nexec {BIN_DIR}/halo-engine \"$@\"\n")
        slow.chmod(0o755)
        port = free_port()
        with HalodProcess(config={"engine": {"binary": str(slow)}}, listen=f"127.0.0.1:{port}", ready=False) as halod:

            def health():
                try:
                    return request(port, "GET", "/health")
                except (ConnectionRefusedError, http.client.RemoteDisconnected):
                    return None

            reply = wait_for(health, "the port to open")
            self.assertEqual(reply.status, 503)
            self.assertRegex(reply.body.decode(), "start|load|warm")
            self.assertIn("retry-after", reply.headers)
            with ThreadPoolExecutor(1) as pool:
                early = pool.submit(request, port, "POST", "/v1/chat/completions", ask("Hi"))
                self.assertEqual(halod.stdout, [])
                go.touch()
                halod.wait_until_listening()
                self.assertEqual(early.result().status, 200)
            self.assertEqual(request(port, "GET", "/health").status, 200)

    def test_serves_the_bundled_model_when_told_nothing(self):
        with subprocess.Popen([BIN_DIR / "halod", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as halod:
            try:
                line = halod.stdout.readline().decode()
                self.assertRegex(line, r"^listening on http://127\.0\.0\.1:\d+$")
                models = request(int(line.rpartition(":")[2]), "GET", "/v1/models").json()
                self.assertEqual([model["id"] for model in models["data"]], ["demo-moe-Q8_0"])
            finally:
                halod.terminate()
                self.assertEqual(halod.wait(30), 0)

    def test_refuses_a_bad_configuration_with_file_and_line(self):
        for text, part in (("http:\n  lisen: 127.0.0.1:0\n", "lisen"), ("http:\n  max_connections: many\n", "max_connections"),
                           ("limits:\n  max_requests: 0\n", "max_requests"), ("http: [\n", ""), ("nonsense\n", "")):
            path = self.folder / "bad.yaml"
            path.write_text(text)
            for check in ([], ["--check-config"]):
                with self.subTest(text=text, check=check):
                    result = run_halod("--config", str(path), *check)
                    self.assertEqual(result.returncode, 1, result.stderr)
                    self.assertRegex(result.stderr, r"bad\.yaml:\d+")
                    self.assertIn(part, result.stderr)
                    self.assertEqual(result.stdout, "")

    def test_accepts_its_own_example_configuration(self):
        self.assertEqual(run_halod("--check-config", "--config", str(SOURCE_DIR / "etc/halod.yaml")).returncode, 0)

    def test_refuses_a_configuration_that_is_not_there_and_a_port_that_is_taken(self):
        result = run_halod("--config", str(self.folder / "none.yaml"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("none.yaml", result.stderr)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            result = run_halod("--model", str(DEMO_MODEL), "--listen", address)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn(address, result.stderr)

    def refuse_model(self, path: Path, *parts: str) -> str:
        result = run_halod("--model", str(path), "--listen", "127.0.0.1:0")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stdout, "")
        for part in (path.name, *parts):
            self.assertIn(part, result.stderr)
        return result.stderr

    def test_refuses_a_model_that_is_missing_empty_or_something_else(self):
        self.refuse_model(self.folder / "missing.gguf")
        (self.folder / "empty.gguf").touch()
        self.refuse_model(self.folder / "empty.gguf")
        (self.folder / "text.gguf").write_text("This is no model.\n" * 100)
        self.refuse_model(self.folder / "text.gguf", "magic")
        self.refuse_model(self.folder)

    def test_refuses_a_truncated_model_wherever_it_ends(self):
        whole = DEMO_MODEL.read_bytes()
        for n_bytes in (3, 20, 100, 5_000, 40_000, len(whole) // 2, len(whole) - 1):
            with self.subTest(n_bytes=n_bytes):
                path = self.folder / f"cut-{n_bytes}.gguf"
                path.write_bytes(whole[:n_bytes])
                self.refuse_model(path)

    def test_refuses_or_serves_a_model_with_flipped_bits_but_never_crashes(self):
        """Flips in the header: most must be refused with the file's name; none may end by a signal or hang."""
        whole = DEMO_MODEL.read_bytes()
        flips, n_refused = random.Random(11), 0
        for idx in range(24):
            data = bytearray(whole)
            byte_idx = flips.randrange(8, 2000)
            data[byte_idx] ^= 1 << flips.randrange(8)
            path = self.folder / f"flipped-{idx}.gguf"
            path.write_bytes(data)
            with self.subTest(byte_idx=byte_idx):
                process = subprocess.Popen([BIN_DIR / "halod", "--model", path, "--listen", "127.0.0.1:0"],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
                line = process.stdout.readline()
                if line:  # a flip in a name or a number that still makes sense
                    process.terminate()
                _, stderr = process.communicate(timeout=60 * SLOWDOWN)
                self.assertEqual(process.returncode, 0 if line else 1, stderr)
                self.assertNotRegex(stderr, r"signal (4|6|7|8|11)\b")  # the engine's crashes; halod itself kills it by 9
                if not line:
                    n_refused += 1
                    self.assertIn(path.name, stderr)
            path.unlink()
        print(f"  {n_refused} of 24 refused", flush=True)
        self.assertGreater(n_refused, 0)


class Stopping(unittest.TestCase):
    def test_by_sigterm_lets_a_stream_finish_takes_no_new_client_and_exits_0(self):
        with HalodProcess(config={"limits": {"shutdown_timeout": f"{20 * SLOWDOWN}s"}}) as halod:
            body = ask("Count from 1 to 100.", **LONG)
            expected = chat(halod.port, body).content
            with Stream(halod.port, "/v1/chat/completions", body) as stream:
                events = iter(stream)
                text = "".join(next(events)["choices"][0]["delta"].get("content") or "" for _ in range(5))
                halod.process.send_signal(signal.SIGTERM)
                wait_for(lambda: refuses_connections(halod.port), "the listener to close")
                text += "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
                self.assertTrue(stream.finished)
                self.assertEqual(text, expected)
            self.assertEqual(halod.wait(), 0)

    def test_cancels_what_does_not_finish_in_time_and_exits_0(self):
        with HalodProcess(config={"limits": {"shutdown_timeout": "200ms"}}) as halod:
            os.kill(halod.engine_pid(), signal.SIGSTOP)  # so that it cannot finish
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(request, halod.port, "POST", "/v1/chat/completions", ask("Hi"))
                wait_for(lambda: metrics(halod.port)["halod_requests_unfinished"] == 1, "the request to be accepted")
                self.assertEqual(halod.terminate(timeout=10), 0)
                try:
                    self.assertEqual(future.result().status, 503)
                except (http.client.RemoteDisconnected, ConnectionResetError):
                    self.fail("the client got no answer, only a closed connection")

    def test_leaves_no_engine_behind(self):
        for end in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            with self.subTest(end=end), HalodProcess() as halod:
                engine = halod.engine_pid()
                halod.process.send_signal(end)
                halod.wait()
                wait_for(lambda: not Path(f"/proc/{engine}").exists(), "the engine to be gone", timeout=5)


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return False
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was in the queue of a socket that was closed
        return True


if __name__ == "__main__":
    run_tests()
