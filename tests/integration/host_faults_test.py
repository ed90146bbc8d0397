#!/usr/bin/env python3
"""The machine below halod misbehaves: the clock jumps, the disk is full. Answers stay what they are, and models stay loaded."""
import shutil
import subprocess
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api_client import ENDLESS, Stream, ask, chat, metrics, request
from halod_process import DEMO_MODEL, SANITIZER, HalodProcess, run_tests, wait_for

LONG = {**ENDLESS, "max_tokens": 400}
COUNTING = [ask(f"Count from {first} to {first + 40}.", **LONG) for first in range(1, 5)]
ADMIN = {"Authorization": "Bearer boss"}


def new_folder(test: unittest.TestCase) -> Path:
    folder = tempfile.mkdtemp(prefix="halod-test-")
    test.addCleanup(shutil.rmtree, folder)
    return Path(folder)


def faketime_library() -> Path | None:
    """libfaketime for programs with threads, wherever the distribution has it."""
    for folder in ("/usr/lib64/faketime", "/usr/lib/faketime", *map(str, Path("/usr/lib").glob("*/faketime"))):
        library = Path(folder) / "libfaketimeMT.so.1"
        if library.exists():
            return library
    return None


@unittest.skipIf(SANITIZER, "a sanitizer's runtime must be the first library")
@unittest.skipUnless(faketime_library(), "libfaketime is not installed")
class AClockThatJumps(unittest.TestCase):
    """Only the calendar jumps, as when NTP or an administrator sets it; the monotonic clock of a running kernel never does."""

    def test_by_years_forth_and_back_loses_no_request_and_unloads_no_model(self):
        config = {"http": {"admin_keys": ["boss"]}, "models": {"time_to_live": "1h"},
                  "engine": {"heartbeat_interval": "50ms", "heartbeat_timeout": "5s"}}
        clock = new_folder(self) / "offset"
        clock.write_text("+0\n")
        environment = {"LD_PRELOAD": str(faketime_library()), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                       "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        with HalodProcess(config=config, environment=environment) as halod:
            undisturbed = [chat(halod.port, body, stream=True).content for body in COUNTING]
            engine = halod.engine_pid()
            for n_jumps, offset in enumerate(("+10y", "-10y", "+0"), 1):
                with ThreadPoolExecutor(len(COUNTING)) as pool:
                    streams = [pool.submit(chat, halod.port, body, stream=True) for body in COUNTING]
                    wait_for(lambda: metrics(halod.port)["halod_requests_unfinished"] > 0, "a running request")
                    new = clock.with_suffix(".new")
                    new.write_text(offset + "\n")
                    new.replace(clock)
                    self.assertEqual([stream.result().content for stream in streams], undisturbed)
                years = {"+10y": 10, "-10y": -10, "+0": 0}[offset]
                self.assertAlmostEqual((self.created(halod.port) - time.time()) / 31_536_000, years, delta=0.1,
                                       msg="the daemon must have seen the jump, or this test shows nothing")
                reply = request(halod.port, "POST", "/v1/admin/models/load", {"model": DEMO_MODEL.stem, "wait": True}, headers=ADMIN)
                self.assertEqual((reply.status, reply.json()["state"]), (200, "done"))
                self.assertLess(reply.json()["seconds"], 60, "durations are measured by the other clock")
                wait_for(lambda: halod.stderr().count("the system clock jumped") == n_jumps, f"one log line about jump {n_jumps}")
            self.assertRegex(halod.stderr(), "jumped forward by 365[0-9] d.*\n(.*\n)*.*jumped back by 730[0-9] d")
            self.assertEqual(halod.engine_pid(), engine, "no engine was taken for hung")
            self.assertEqual(metrics(halod.port)["halod_engine_deaths_total"], 0)
            self.assertNotIn("unload", halod.stderr(), "no model's hour was over")

    @staticmethod
    def created(port: int) -> int:
        """When the server believes that it answers."""
        with Stream(port, "/v1/chat/completions", ask("Hi", max_tokens=1)) as events:
            return [event["created"] for event in events][0]


# A private mount namespace: a disk of 64 KiB that only halod sees, full to its last byte.
FULL_DISK = """
mount -t tmpfs -o size=64k halod-test "$1" || exit 77
cat /dev/zero > "$1/fill" 2>/dev/null
cd "$1"
shift
exec "$@" 2>> ./log
"""


def may_mount() -> bool:
    return subprocess.run(["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "halod-test", "/mnt"],
                          capture_output=True).returncode == 0


@unittest.skipUnless(may_mount(), "this user may not mount a file system in a namespace of its own")
class AFullDisk(unittest.TestCase):
    def test_under_the_cache_the_log_and_the_working_directory_stops_no_answer_and_no_swap(self):
        disk = str(new_folder(self))
        environment = {name: disk for name in ("CACHE_DIRECTORY", "XDG_CACHE_HOME", "STATE_DIRECTORY", "TMPDIR", "HOME")}
        config = {"http": {"admin_keys": ["boss"]}, "models": {"list": [{"path": str(DEMO_MODEL), "name": "again"}]}}
        with HalodProcess(config=config, environment=environment,
                          wrapper=["unshare", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh", disk]) as halod:
            answers = set()
            for model in ("again", DEMO_MODEL.stem):
                reply = request(halod.port, "POST", "/v1/admin/models/swap", {"model": model, "wait": True}, headers=ADMIN)
                self.assertEqual((reply.status, reply.json()["state"]), (200, "done"), reply.body)
                answers.add(chat(halod.port, COUNTING[0], stream=True).content)
            self.assertEqual(len(answers), 1)
            log = Path(f"/proc/{halod.process.pid}/root{disk}/log")
            self.assertEqual(log.stat().st_size, 0, "the disk was not full, so this test shows nothing")


if __name__ == "__main__":
    run_tests()
