#!/usr/bin/env python3
"""haloctl over D-Bus: the same commands, output and exit statuses as over HTTP, without a key."""
import json
import os
import re
import subprocess
import unittest

from api_client import ENDLESS, Stream, ask
from dbus_client import BusError
from halod_process import BIN_DIR, DEMO_MODEL, SKIPPED, SLOWDOWN, HalodProcess, run_tests, wait_for
from haloctl_test import FIRST, KEY, REFUSED, SECOND, SUCCESS, TWO_MODELS, UNREACHABLE, USAGE, run_haloctl
from private_bus import PrivateBus, missing_programs

ACTIONS = [f"io.halod.{verb}" for verb in ("load", "unload", "swap", "rescan", "reload", "set-log-level", "cancel-job")]
# Eight answers of 900 tokens: they run long enough to be waited for.
LONG = {**ENDLESS, "max_tokens": 900, "n": 8}


def run_on_bus(bus: PrivateBus, *arguments: str, **more: str) -> subprocess.CompletedProcess:
    """As an administrator types it: nothing but the command, on a machine whose system bus is the test's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HALOD_")}
    return subprocess.run([BIN_DIR / "haloctl", *arguments], capture_output=True, text=True, timeout=120 * SLOWDOWN,
                          env={**environment, "DBUS_SYSTEM_BUS_ADDRESS": bus.address, "NO_COLOR": "1", **more})


class OverTheBus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bus = cls.enterClassContext(PrivateBus())
        cls.bus.start_polkit(*ACTIONS)
        config = {"dbus": {"address": cls.bus.address}, "http": {"admin_keys": [KEY]}, **TWO_MODELS}
        cls.halod = cls.enterClassContext(HalodProcess(config=config))
        cls.bus.wait_for_halod().close()

    def setUp(self):
        self.bus.allow(*ACTIONS)

    def haloctl(self, *arguments: str, status: int = SUCCESS, **more: str) -> subprocess.CompletedProcess:
        done = run_on_bus(self.bus, *arguments, **more)
        self.assertEqual(done.returncode, status, f"haloctl {arguments}: {done.stdout}\n{done.stderr}\n{self.halod.stderr()[-3000:]}")
        return done

    def over_http(self, *arguments: str, status: int = SUCCESS) -> subprocess.CompletedProcess:
        done = run_haloctl(self.halod.port, *arguments)
        self.assertEqual(done.returncode, status, f"haloctl {arguments}: {done.stdout}\n{done.stderr}")
        return done

    def json_of(self, *arguments: str):
        return json.loads(self.haloctl("--json", *arguments).stdout)

    def assert_alike(self, look, what) -> None:
        """Over the bus and over HTTP, unless a heartbeat of the engine between the two looks changes the models' statistics: then again."""
        for _ in range(5):
            over_bus, over_http = look(self.haloctl), look(self.over_http)
            if over_bus == over_http:
                return
        self.assertEqual(over_bus, over_http, what)

    def make_active(self, name: str) -> None:
        if self.json_of("health")["model"] != name:
            self.haloctl("swap", name)

    def test_shows_what_http_shows(self):
        self.make_active(FIRST)
        self.haloctl("load", SECOND)
        self.haloctl("rescan")
        for arguments in (("models",), ("models", "--names"), ("jobs",), ("health",), ("health", "--json"), ("jobs", "--json"), ("tuning",),
                          ("tuning", "--json"), ("status",), ("top",)):
            self.assert_alike(lambda run: run(*arguments).stdout, arguments)

        def status_of(run):
            view = json.loads(run("status", "--json").stdout)
            self.assertGreater(view["machine"]["memory"].pop("available_bytes"), 0)  # another one at each look
            return view

        self.assert_alike(status_of, "status --json")
        models = self.json_of("models")["models"]
        self.assertEqual({model["name"]: model["state"] for model in models}, {FIRST: "loaded", SECOND: "loaded"})
        self.haloctl("unload", SECOND)

    def test_swaps_and_shows_the_stages(self):
        self.make_active(FIRST)
        done = self.haloctl("swap", SECOND, "--policy", "pause")
        self.assertRegex(done.stdout, rf"^swap {SECOND}: done in [\d.]+ s\n$")
        self.assertIn(f"swap {SECOND}: ", done.stderr)
        self.assertEqual(self.json_of("health")["model"], SECOND)
        job = self.json_of("swap", FIRST)
        self.assertEqual((job["kind"], job["state"], job["fraction"], job["model"]), ("swap", "done", 1, FIRST))
        self.assertGreater(job["seconds"], 0)
        self.assertRegex(job["requester"], r"^:\d")

    def test_reaches_the_bus_that_is_named(self):
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent", "HALOD_URL": "http://127.0.0.1:9"}
        done = self.haloctl("rescan", "--bus", self.bus.address, **environment)
        self.assertRegex(done.stdout, r"^rescan: done in ")

    def test_is_not_used_where_a_url_or_a_key_is_given(self):
        self.bus.allow()
        url = f"http://127.0.0.1:{self.halod.port}"
        self.assertIn("http.admin_keys", self.haloctl("rescan", "--url", url, status=REFUSED).stderr)
        self.haloctl("rescan", HALOD_URL=url, HALOD_API_KEY=KEY)

    def test_denies_the_unprivileged_and_says_what_they_can_do(self):
        self.make_active(FIRST)
        self.bus.allow()
        for action, *arguments in (("swap", "swap", SECOND), ("load", "load", SECOND), ("unload", "unload", FIRST), ("rescan", "rescan"),
                                   ("reload", "reload"), ("set-log-level", "log-level", "debug")):
            denied = self.haloctl(*arguments, status=REFUSED)
            self.assertRegex(denied.stderr, rf"^haloctl: you may not: polkit denies io\.halod\.{action}.*sudo.*halod-admin")
            self.assertEqual(denied.stdout, "")
        self.assertEqual(self.json_of("health")["model"], FIRST)  # looking is free

    def test_lets_polkit_ask_for_a_password(self):
        self.bus.allow("io.halod.rescan interactive")
        self.haloctl("rescan")
        with self.bus.client() as client, self.assertRaises(BusError):  # one that does not say that people may be asked
            client.call("/io/halod/Halod1", "io.halod.Halod1.Manager", "Rescan")

    def test_cancels_an_unload_that_waits_for_a_running_answer(self):
        self.make_active(FIRST)
        with Stream(self.halod.port, "/v1/chat/completions", ask("Count from 1 to 100.", **LONG)) as stream:
            next(iter(stream))
            started = self.haloctl("unload", FIRST, "--policy", "drain", "--no-wait").stdout
            number = re.fullmatch(r"job (\d+): unload .*\n", started).group(1)
            self.assertEqual(self.haloctl("cancel", number).stdout, f"job {number}: told to stop\n")

            def cancelled():
                return {job["id"]: job for job in self.json_of("jobs")["jobs"]}[int(number)]["state"] == "cancelled"

            wait_for(cancelled, "the end of the job")
        over_bus, over_http = (run("cancel", number, status=REFUSED).stderr for run in (self.haloctl, self.over_http))
        self.assertEqual(over_bus, over_http)

    def test_refuses_with_the_sentences_of_http(self):
        for arguments in (("swap", "no-such-model"), ("unload", "no-such-model"), ("cancel", "4000000")):
            over_bus, over_http = (run(*arguments, status=REFUSED).stderr for run in (self.haloctl, self.over_http))
            self.assertEqual(over_bus, over_http)
            self.assertRegex(over_bus, "no-such-model|4000000")

    def test_reloads_and_changes_the_log_level(self):
        for arguments in (("reload",), ("reload", "--json"), ("log-level", "debug"), ("log-level", "info", "--json")):
            self.assertEqual(self.haloctl(*arguments).stdout, self.over_http(*arguments).stdout, arguments)
        good = (self.halod.folder / "halod.yaml").read_text()
        self.addCleanup((self.halod.folder / "halod.yaml").write_text, good)
        (self.halod.folder / "halod.yaml").write_text(good.replace('"models"', '"modles"'))
        over_bus, over_http = (run("reload", status=REFUSED).stderr for run in (self.haloctl, self.over_http))
        self.assertEqual(over_bus, over_http)
        self.assertIn("modles", over_bus)

    def test_is_where_the_doctor_finds_the_service(self):
        report = json.loads(run_on_bus(self.bus, "doctor", "--json", "--models", str(DEMO_MODEL.parent)).stdout)
        service = {check["name"]: check for check in report["checks"]}["service"]
        self.assertEqual((service["verdict"], f":{self.halod.port}," in service["evidence"]), ("ok", True), service)


class WithoutHalodOnTheBus(unittest.TestCase):
    def test_names_both_ways(self):
        with PrivateBus() as bus:
            named = run_on_bus(bus, "status", "--bus", "system")
            self.assertEqual(named.returncode, UNREACHABLE)
            self.assertRegex(named.stderr, "^haloctl: no io.halod.Halod1 on the system bus: .*--url")
            neither = run_on_bus(bus, "jobs")
            if neither.returncode == UNREACHABLE:  # unless somebody serves on this machine's port 8000
                self.assertRegex(neither.stderr, "^haloctl: no server answers at http://127.0.0.1:8000: .*io.halod.Halod1 on the system bus")

    def test_still_knows_wrong_usage(self):
        with PrivateBus() as bus:
            self.assertEqual(run_on_bus(bus, "swap", "--bus", "system").returncode, USAGE)


if __name__ == "__main__":
    if os.access("/etc/halod/admin.key", os.R_OK):
        print("SKIPPED: this machine's /etc/halod/admin.key makes haloctl use HTTP")
        raise SystemExit(SKIPPED)
    if missing_programs():
        print(f"SKIPPED: {' and '.join(missing_programs())} not installed (scripts/install-deps check)")
        raise SystemExit(SKIPPED)
    run_tests()
