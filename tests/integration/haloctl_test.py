#!/usr/bin/env python3
"""haloctl against a real halod with two models: views, jobs, keys, exit statuses, and the doctor."""
import json
import os
import pty
import re
import select
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from halod_process import BIN_DIR, CONFORMANCE_DIR, DEMO_MODEL, SLOWDOWN, HalodProcess, run_tests, wait_for

KEY = "an-administrators-key"
FIRST, SECOND = "demo-moe-Q8_0", "second"
SUCCESS, REFUSED, USAGE, UNREACHABLE, NOT_READY, UNHEALTHY, CANNOT_RUN, DOES_NOT_FIT = range(8)
TWO_MODELS = {"models": {"list": [{"path": str(DEMO_MODEL), "name": SECOND}]}}


def environment(port: int, key: str) -> dict:
    return {**os.environ, "HALOD_URL": f"http://127.0.0.1:{port}", "HALOD_API_KEY": key, "NO_COLOR": "1"}


def run_haloctl(port: int, *arguments: str, key: str = KEY, stdin: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([BIN_DIR / "haloctl", *arguments], env=environment(port, key), input=stdin, capture_output=True,
                          text=True, timeout=120 * SLOWDOWN)


def run_on_terminal(port: int, *arguments: str) -> str:
    """What a person would see: standard output and standard error are one terminal."""
    terminal, program_end = pty.openpty()
    with subprocess.Popen([BIN_DIR / "haloctl", *arguments], env=environment(port, KEY), stdin=subprocess.DEVNULL,
                          stdout=program_end, stderr=program_end) as process:
        os.close(program_end)
        seen = b""
        try:
            while select.select([terminal], [], [], 60 * SLOWDOWN)[0]:
                seen += os.read(terminal, 4096)
        except OSError:
            pass  # EIO: the program has ended
        finally:
            os.close(terminal)
        assert process.wait(60) == SUCCESS, seen
    return seen.decode()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class WithTwoModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.halod = HalodProcess(config={"http": {"admin_keys": [KEY]}, **TWO_MODELS})
        cls.addClassCleanup(cls.halod.close)

    @classmethod
    def tearDownClass(cls):
        if cls.halod.terminate() != 0:
            raise AssertionError(cls.halod.stderr())

    def haloctl(self, *arguments: str, status: int = SUCCESS, **options) -> subprocess.CompletedProcess:
        done = run_haloctl(self.halod.port, *arguments, **options)
        self.assertEqual(done.returncode, status, f"haloctl {arguments}: {done.stdout}\n{done.stderr}\n{self.halod.stderr()[-3000:]}")
        return done

    def json_of(self, *arguments: str, **options):
        return json.loads(self.haloctl("--json", *arguments, **options).stdout)

    def make_active(self, name: str) -> None:
        if self.json_of("status")["health"]["model"] != name:
            self.haloctl("swap", name)

    def states(self) -> dict[str, str]:
        return {model["name"]: model["state"] for model in self.json_of("models")["models"]}

    def test_status_says_what_is_served(self):
        self.make_active(FIRST)
        text = self.haloctl("status").stdout
        self.assertRegex(text, rf"(?m)^server    http://127\.0\.0\.1:{self.halod.port}, halod \d")
        self.assertRegex(text, r"(?m)^state     ready$")
        self.assertRegex(text, rf"(?m)^model     {FIRST} \(Q8_0, qwen3moe, \d+ tokens of context\)$")
        self.assertRegex(text, r"(?m)^memory    [\d.]+ MiB in \d loaded models?$")
        view = self.json_of("status")
        self.assertEqual(view["health"]["status"], "ok")
        self.assertEqual({model["name"] for model in view["models"]}, {FIRST, SECOND})

    def test_status_without_the_key_shows_what_everybody_may_see(self):
        self.make_active(FIRST)
        text = self.haloctl("status", key="").stdout
        self.assertRegex(text, rf"(?m)^model     {FIRST} \(qwen3moe, \d+ tokens of context\)$")
        self.assertNotIn("memory", text)

    def test_models_are_a_table_and_bare_names(self):
        self.assertRegex(self.haloctl("models").stdout, rf"(?m)^NAME +STATE +QUANT +SIZE +CONTEXT +MEMORY +NOTES\n{FIRST} +\w+ +Q8_0 ")
        self.assertEqual(set(self.haloctl("models", "--names").stdout.split()), {FIRST, SECOND})
        self.assertIn("CONTEXT", self.haloctl("models", key="").stdout)

    def test_tuning_is_a_table_of_kernels(self):
        text = self.haloctl("tuning").stdout
        self.assertRegex(text, r"(?m)^backend   cpu \(.+\)\n(state     untuned\n)?OPERATION +FORMAT +VARIANT +TUNING$")
        self.assertRegex(text, r"(?m)^matmul +Q8_0 +\w+ +(untuned|-)$")
        self.assertRegex(text, r"(?m)^rope +- +\w+ +-$")
        self.assertIn({"operation", "format", "variant", "tuning"}, [set(row) for row in self.json_of("tuning")["selections"]])

    def test_swaps_and_shows_the_stages(self):
        self.make_active(FIRST)
        done = self.haloctl("swap", SECOND, "--policy", "pause")
        self.assertRegex(done.stdout, rf"^swap {SECOND}: done in [\d.]+ s\n$")
        self.assertIn(f"swap {SECOND}: ", done.stderr)
        self.assertEqual(self.json_of("status")["health"]["model"], SECOND)
        job = self.json_of("swap", FIRST)
        self.assertEqual((job["kind"], job["state"], job["fraction"], job["model"]), ("swap", "done", 1, FIRST))

    def test_draws_its_progress_on_a_terminal(self):
        self.make_active(FIRST)
        seen = run_on_terminal(self.halod.port, "swap", SECOND)
        self.assertIn(f"\r\x1b[Kswap {SECOND}: ", seen)
        self.assertRegex(seen, rf"\r\x1b\[Kswap {SECOND}: done in [\d.]+ s\r\n$")

    def test_loads_beside_and_unloads(self):
        self.make_active(FIRST)
        self.haloctl("load", SECOND)
        self.assertEqual(self.states(), {FIRST: "loaded", SECOND: "loaded"})
        self.assertIn(SECOND, self.haloctl("top").stdout)
        self.haloctl("unload", SECOND)
        self.assertEqual(self.states(), {FIRST: "loaded", SECOND: "available"})
        self.assertNotIn(SECOND, self.haloctl("top").stdout)

    def test_returns_at_once_when_told_not_to_wait(self):
        match = re.fullmatch(r"job (\d+): rescan: \w+\n", self.haloctl("rescan", "--no-wait").stdout)
        self.assertTrue(match)
        number = int(match.group(1))

        def ended():
            jobs = {job["id"]: job["state"] for job in self.json_of("jobs")["jobs"]}
            return jobs[number] == "done"

        wait_for(ended, "the rescan to end")
        self.assertRegex(self.haloctl("jobs").stdout, rf"(?m)^{number} +rescan +- +done ")
        # What has ended cannot be cancelled any more.
        self.assertIn("haloctl: ", self.haloctl("cancel", str(number), status=REFUSED).stderr)

    def test_is_refused_without_a_key_and_says_which_one(self):
        for arguments in (("swap", SECOND), ("jobs",), ("tuning",), ("reload",), ("log-level", "debug")):
            for key in ("", "a-wrong-one"):
                self.assertIn("http.admin_keys", self.haloctl(*arguments, key=key, status=REFUSED).stderr)

    def test_names_a_model_that_does_not_exist(self):
        refused = self.haloctl("swap", "no-such-model", status=REFUSED).stderr
        self.assertIn("no-such-model", refused)
        self.assertNotIn("admin_keys", refused)
        self.assertNotIn("admin_keys", self.haloctl("cancel", "4000000", status=REFUSED).stderr)

    def test_reloads_and_changes_the_log_level(self):
        self.haloctl("reload")
        self.assertEqual(self.haloctl("log-level", "debug").stdout, "the log level is debug\n")
        self.assertEqual(self.json_of("log-level", "info")["level"], "info")

    def test_chats_with_the_model_that_is_named(self):
        for name in (FIRST, SECOND):
            answer = self.haloctl("chat", "--model", name, "--temperature", "0", "What is 47 + 125?").stdout
            self.assertIn("47 + 125 = 172.", answer)
        from_stdin = self.haloctl("chat", "--temperature", "0", stdin="What is 47 + 125?").stdout
        self.assertIn("172", from_stdin)
        self.assertIn("no-such-model", self.haloctl("chat", "--model", "no-such-model", "Hi", status=REFUSED).stderr)

    def test_top_prints_once_when_nobody_watches(self):
        self.assertIn("KV PAGES", self.haloctl("top").stdout)
        self.assertEqual(self.json_of("top")["health"]["status"], "ok")

    def test_the_doctor_finds_the_service_and_checks_the_kernels(self):
        done = run_haloctl(self.halod.port, "doctor", "--json", "--models", str(DEMO_MODEL.parent))
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, SUCCESS if report["passed"] else UNHEALTHY)
        verdicts = {check["name"]: check["verdict"] for check in report["checks"]}
        self.assertEqual(verdicts["service"], "ok")
        self.assertEqual(verdicts["self_test"], "ok")
        self.assertIn(verdicts["bandwidth"], ("ok", "warn"))
        self.assertIn(verdicts["disk"], ("ok", "warn", "skipped"))


class Inspecting(unittest.TestCase):
    """Needs no server: nobody listens at port 9."""

    def inspect(self, *arguments, status: int = SUCCESS) -> subprocess.CompletedProcess:
        done = run_haloctl(9, "inspect", "--bandwidth", "50", *map(str, arguments))
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def report(self, *arguments, status: int = SUCCESS) -> dict:
        return json.loads(self.inspect("--json", *arguments, status=status).stdout)

    def test_says_what_the_demo_model_takes(self):
        text = self.inspect(DEMO_MODEL).stdout
        for line in (r"parameters    8\.4 M, of which a token uses 3\.7 M \(2 of 8 experts\)", r"tokenizer     gpt2 \(qwen2\), 1536 tokens; with",
                     r"experts    Q8_0    12 ", r"memory        33\.\d MiB for 8 sequences of 1024 tokens: ", "fits"):
            self.assertRegex(text, f"(?m)^{line}")
        report = self.report(DEMO_MODEL, "--context", 256, "--sequences", 3)
        memory = report["memory"]
        self.assertEqual(memory["kv_cache_bytes"], 256 * 3 * memory["kv_bytes_per_token"])
        self.assertEqual(memory["needed_bytes"], memory["weight_bytes"] + memory["kv_cache_bytes"] + memory["scratch_bytes"])
        self.assertEqual(report["speed"]["decode"][1]["depth"], 256)
        self.assertAlmostEqual(report["speed"]["decode"][0]["tokens_per_s_at_most"], 50e9 / report["weight_bytes_per_token"])

    def test_measures_the_bandwidth_when_none_is_given(self):
        done = run_haloctl(9, "inspect", str(DEMO_MODEL), "--json")
        speed = json.loads(done.stdout)["speed"]
        self.assertTrue(speed["measured"])
        self.assertGreater(speed["read_gb_per_s"], 0.1)

    def test_agrees_with_what_the_engine_then_takes(self):
        report = self.report(DEMO_MODEL, "--context", 512, "--sequences", 2)["memory"]
        with HalodProcess(config={"http": {"admin_keys": [KEY]}, "engine": {"context_length": 512, "max_sequences": 2}}) as halod:
            model = json.loads(run_haloctl(halod.port, "models", "--json").stdout)["models"][0]
        self.assertEqual(model["kv_cache_bytes"], report["kv_cache_bytes"])
        self.assertAlmostEqual(model["weight_bytes"], report["weight_bytes"], delta=0.01 * report["weight_bytes"])

    def test_refuses_more_than_the_model_or_the_machine_has(self):
        refused = self.inspect(DEMO_MODEL, "--context", 2048, status=USAGE)
        self.assertRegex(refused.stderr, r"^haloctl: context_length is 2048, .* was trained for 1024")
        self.inspect(DEMO_MODEL, "--context", 1, status=USAGE)
        self.inspect("/no/such/model.gguf", status=USAGE)
        with tempfile.TemporaryDirectory() as folder:
            large = Path(folder) / "large.gguf"
            # Its cache for 1024 full contexts is larger than any machine's memory: hundreds of gigabytes.
            subprocess.run([BIN_DIR / "halo-bench", "synth", "--shape", "0.6b", "--layers", "4", "--type", "Q4_0", "--out", large],
                           check=True, capture_output=True, timeout=300 * SLOWDOWN)
            context = self.report(large)["context_length"]
            report = self.report(large, "--context", context, "--sequences", 1024, status=DOES_NOT_FIT)
            memory = report["memory"]
            self.assertGreater(memory["needed_bytes"], memory["usable_bytes"])
            text = self.inspect(large, "--context", context, "--sequences", 1024, status=DOES_NOT_FIT).stdout
            self.assertRegex(text, r"(?m)^does not fit  .* needed, .* may be taken: .*one ")

    def test_names_what_is_unsupported_without_reading_weights(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "unknown.gguf"
            path.write_bytes(DEMO_MODEL.read_bytes().replace(b"qwen3moe", b"qwen9moe"))
            done = self.inspect(path, status=CANNOT_RUN)
            self.assertRegex(done.stdout, r"(?m)^cannot run    unknown\.gguf: .*general\.architecture is 'qwen9moe'; supported are .*gpt-oss")
            self.assertIn("no weight was read", done.stdout)
            self.assertFalse(self.report(path, status=CANNOT_RUN)["runnable"])

    @unittest.skipUnless(CONFORMANCE_DIR.exists(), f"no conformance kit at {CONFORMANCE_DIR}")
    def test_finds_every_model_of_the_kit_runnable(self):
        for path in sorted((CONFORMANCE_DIR / "gguf").glob("*.gguf")):
            with self.subTest(path.name):
                self.inspect(path)

    def test_says_what_is_wrong_with_a_damaged_file(self):
        with tempfile.TemporaryDirectory() as folder:
            cut = Path(folder) / "cut.gguf"
            cut.write_bytes(DEMO_MODEL.read_bytes()[:-1000])
            done = self.inspect(cut, status=CANNOT_RUN)
            self.assertRegex(done.stderr, r"^haloctl: cut\.gguf: tensor '.*bytes are missing; the download is probably incomplete")
            self.assertEqual(self.report(cut, status=CANNOT_RUN)["error"]["code"], "corrupt_file")
            cut.write_bytes(DEMO_MODEL.read_bytes()[:3000])
            self.assertIn("cut.gguf: ", self.inspect(cut, status=CANNOT_RUN).stderr)


class AJobThatFails(unittest.TestCase):
    def test_ends_with_its_reason_and_status_1(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = Path(folder) / "broken.gguf"
            broken.write_bytes(b"GGUF" + bytes(60))
            with HalodProcess(config={"http": {"admin_keys": [KEY]}, "models": {"list": [{"path": str(broken)}]}}) as halod:
                failed = run_haloctl(halod.port, "load", "broken")
                self.assertEqual(failed.returncode, REFUSED)
                self.assertRegex(failed.stderr, r"(?m)^haloctl: load broken: failed: broken\.gguf: header field 'version'")
                self.assertEqual(failed.stdout, "")
                self.assertRegex(run_haloctl(halod.port, "models").stdout, "(?m)^broken +failed .*broken.gguf: header field")
                self.assertEqual(run_haloctl(halod.port, "status").returncode, SUCCESS)


class WithoutAdminKeys(unittest.TestCase):
    def test_says_what_to_set(self):
        with HalodProcess(config=TWO_MODELS) as halod:
            refused = run_haloctl(halod.port, "swap", SECOND, key="")
            self.assertEqual(refused.returncode, REFUSED)
            self.assertIn("http.admin_keys", refused.stderr)
            self.assertEqual(run_haloctl(halod.port, "status", key="").returncode, SUCCESS)
            self.assertIn(FIRST, run_haloctl(halod.port, "models", key="").stdout)


class ExitStatuses(unittest.TestCase):
    def test_tell_wrong_usage_and_absent_servers_apart(self):
        # Port 9 is discard's, where nothing listens on a test machine.
        for arguments, status in ((("status",), UNREACHABLE), (("swap", "a"), UNREACHABLE), (("swap",), USAGE), ((), USAGE),
                                  (("log-level", "loud"), USAGE), (("swap", "a", "--policy", "kill"), USAGE),
                                  (("status", "--url", "ftp://127.0.0.1"), USAGE), (("--help",), SUCCESS)):
            done = run_haloctl(9, *arguments)
            self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")

    def test_say_when_the_doctor_finds_something_wrong(self):
        with tempfile.TemporaryDirectory() as root:
            device = Path(root) / "sys/class/drm/card0/device"
            device.mkdir(parents=True)
            for name, text in (("vendor", "0x1002"), ("device", "0x1586"), ("power_dpm_force_performance_level", "low")):
                (device / name).write_text(text + "\n")
            done = run_haloctl(9, "doctor", "--root", root)
            self.assertEqual(done.returncode, UNHEALTHY, done.stderr)
            self.assertRegex(done.stdout, "(?m)^  fail +GPU clock policy +low")
            self.assertIn("nothing is measured", done.stderr)
            report = json.loads(run_haloctl(9, "doctor", "--root", root, "--json").stdout)
            self.assertFalse(report["passed"])

    def test_say_when_a_server_is_not_ready(self):
        with tempfile.TemporaryDirectory() as folder:
            go = Path(folder) / "go"
            # An engine that takes its time: it waits for a file before it becomes the real one.
            slow = Path(folder) / "slow-engine"
            slow.write_text(f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.02; done\nexec {BIN_DIR}/halo-engine \"$@\"\n")
            slow.chmod(0o755)
            port = free_port()
            with HalodProcess(config={"engine": {"binary": str(slow)}}, listen=f"127.0.0.1:{port}", ready=False) as halod:
                wait_for(lambda: run_haloctl(port, "health").returncode != UNREACHABLE, "the port to open")
                for command in ("health", "status", "top"):
                    done = run_haloctl(port, command)
                    self.assertEqual(done.returncode, NOT_READY, f"{command}: {done.stdout}{done.stderr}")
                    self.assertRegex(done.stdout, "starting|loading")
                go.touch()
                halod.wait_until_listening()
                self.assertEqual(run_haloctl(port, "health").returncode, SUCCESS)


if __name__ == "__main__":
    run_tests()
