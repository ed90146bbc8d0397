#!/usr/bin/env python3
"""The power profile that halod holds while it works: with the real power-profiles-daemon, and with a stand-in for what that one never does.

    power_test.py [TheRealDaemon | AStandIn]
"""
import json
import os
import signal
import unittest

from api_client import ENDLESS, Stream, ask, chat, request
from dbus_client import SIGNAL, Variant
from halod_process import SKIPPED, HalodProcess, run_tests, wait_for
from private_bus import PROFILE_DAEMON, PrivateBus, missing_programs

ROOT, POWER = "/io/halod/Halod1", "io.halod.Halod1.Power"
OLD, OLD_PATH = "net.hadess.PowerProfiles", "/net/hadess/PowerProfiles"
NEW, NEW_PATH = "org.freedesktop.UPower.PowerProfiles", "/org/freedesktop/UPower/PowerProfiles"
HOLD_ACTION, SWITCH_ACTION = f"{OLD}.hold-profile", f"{OLD}.switch-profile"
KEY = "an-administrators-key"
# Four answers that do not end by themselves before the test ends them.
LONG = ask("Count from 1 to 100.", **ENDLESS, max_tokens=900, n=4)


def config_of(bus: PrivateBus, hold_profile: str = "performance", release_after: str = "100ms") -> dict:
    return {"dbus": {"address": bus.address}, "http": {"admin_keys": [KEY]},
            "power": {"hold_profile": hold_profile, "release_after": release_after}}


class WithABus(unittest.TestCase):
    def setUp(self):
        self.bus = self.enterContext(PrivateBus())
        self.bus.start_polkit(HOLD_ACTION)
        self.client = self.enterContext(self.bus.client())
        self.client.subscribe()

    def start(self, until: str = "is released", **config) -> None:
        """A halod whose first load is over, until the log says what came of the hold for it; then it is idle, and holds nothing."""
        self.halod = self.enterContext(HalodProcess(config=config_of(self.bus, **config)))
        self.bus.wait_for_halod().close()
        wait_for(lambda: until in self.halod.stderr(), f"'{until}' in the log")
        if config.get("release_after") != "1h":
            wait_for(lambda: self.power()["PowerProfileProblem"] == "", "the end of the first spell of work")
        self.client.bus("GetId")  # what was signalled until now has arrived
        self.client.signals.clear()

    def working(self) -> Stream:
        """As long as it is open, halod works."""
        stream = self.enterContext(Stream(self.halod.port, "/v1/chat/completions", LONG))
        next(iter(stream))
        return stream

    def power(self) -> dict:
        """What is held; what is configured is told beside it."""
        return {name: value for name, value in self.client.get_all(ROOT, POWER).items() if name != "HoldProfile"}

    def wait_for_change(self, name: str, value) -> None:
        def matches(message) -> bool:
            return message.member == "PropertiesChanged" and message.body[0] == POWER and message.body[1].get(name) == value
        self.client.wait_for_signal(matches, f"{name} {value!r}")

    def wait_for_problem(self, text: str) -> None:
        """And for the end of the spell of work in which it came up."""
        def matches(message) -> bool:
            return message.member == "PropertiesChanged" and text in message.body[1].get("PowerProfileProblem", "")
        self.client.wait_for_signal(matches, f"problem '{text}'")
        self.wait_for_change("PowerProfileProblem", "")

    def work(self) -> None:
        self.assertIn("5", chat(self.halod.port, ask("What is 2 + 3?")).content)

    def count_in_log(self, text: str, n: int = 1) -> None:
        wait_for(lambda: self.halod.stderr().count(text) >= n, f"{n} times '{text}' in the log")
        self.assertEqual(self.halod.stderr().count(text), n, self.halod.stderr())

    def admin(self, method: str, path: str, body=None):
        return request(self.halod.port, method, f"/v1/admin/{path}", body, {"Authorization": f"Bearer {KEY}"}).json()

    def reload_with(self, **config) -> None:
        (self.halod.folder / "halod.yaml").write_text(json.dumps(config_of(self.bus, **config)))
        self.admin("POST", "reload")


@unittest.skipUnless(PROFILE_DAEMON, "power-profiles-daemon is not installed (scripts/install-deps check)")
class TheRealDaemon(WithABus):
    def profiles(self, name: str):
        with self.bus.client() as client:
            return client.call(OLD_PATH, "org.freedesktop.DBus.Properties", "Get", "ss", OLD, name, destination=OLD)

    def active(self) -> str:
        return self.profiles("ActiveProfile")

    def choose(self, profile: str) -> None:
        """As a user does."""
        with self.bus.client() as client:
            client.call(OLD_PATH, "org.freedesktop.DBus.Properties", "Set", "ssv", OLD, "ActiveProfile", Variant("s", profile), destination=OLD)

    def test_holds_the_profile_while_streams_run_and_releases_it_when_idle(self):
        self.bus.start_profile_daemon()
        self.start()
        self.assertEqual(self.active(), "balanced")
        for _ in range(2):
            stream = self.working()
            self.wait_for_change("PowerProfileHeld", True)
            self.assertEqual(self.power(), {"PowerProfileHeld": True, "PowerProfile": "performance", "PowerProfileProblem": ""})
            self.assertEqual(self.active(), "performance")
            holds = self.profiles("ActiveProfileHolds")
            self.assertEqual([(hold["Profile"], hold["ApplicationId"]) for hold in holds], [("performance", "io.halod.Halod1")])
            self.assertEqual(self.admin("GET", "machine")["power"],
                             {"hold_profile": "performance", "held": True, "profile": "performance", "problem": ""})
            stream.close()
            self.wait_for_change("PowerProfileHeld", False)
            wait_for(lambda: self.active() == "balanced", "the profile of before")
            self.assertEqual(self.profiles("ActiveProfileHolds"), [])
        self.assertNotIn("warn", self.halod.stderr())

    def test_goes_on_holding_between_requests_that_follow_each_other(self):
        self.bus.start_profile_daemon()
        self.start("is held", release_after="1h")
        for _ in range(3):
            self.work()
        self.assertEqual(self.active(), "performance")
        self.assertEqual(len(self.profiles("ActiveProfileHolds")), 1)
        self.count_in_log("the power profile 'performance' is held (")

    def test_ends_with_halod_however_that_ends(self):
        self.bus.start_profile_daemon()
        for end in (signal.SIGTERM, signal.SIGKILL):
            self.start("is held", release_after="1h")
            self.assertEqual(self.active(), "performance")
            self.halod.process.send_signal(end)
            self.halod.wait()
            wait_for(lambda: self.active() == "balanced", "the profile of before")
            self.assertEqual(self.profiles("ActiveProfileHolds"), [])

    def test_is_not_lost_with_the_engine(self):
        self.bus.start_profile_daemon()
        self.start()
        stream = self.working()
        self.wait_for_change("PowerProfileHeld", True)
        old = self.halod.engine_pid()
        os.kill(old, signal.SIGKILL)
        self.halod.wait_for_engine(other_than=old)
        next(iter(stream))
        self.assertEqual(self.active(), "performance")
        self.count_in_log("the power profile 'performance' is held (", 2)  # for the first load, and now

    def test_gives_way_to_a_user_who_chooses_another_profile_until_the_next_work(self):
        self.bus.start_profile_daemon()
        self.bus.allow(HOLD_ACTION, SWITCH_ACTION)
        self.start()
        stream = self.working()
        self.wait_for_change("PowerProfileHeld", True)
        self.choose("power-saver")
        self.wait_for_change("PowerProfileHeld", False)
        self.assertIn("somebody chose another", self.power()["PowerProfileProblem"])
        self.assertEqual(self.active(), "power-saver")
        stream.close()
        self.wait_for_change("PowerProfileProblem", "")
        self.count_in_log("somebody chose another power profile")
        self.work()
        self.wait_for_change("PowerProfileHeld", True)
        wait_for(lambda: self.active() == "power-saver", "the user's profile, after the work")

    def test_is_told_once_that_it_may_not_and_serves(self):
        self.bus.start_profile_daemon()
        self.bus.allow()
        self.start("denies it to the user that halod runs as")
        for _ in range(2):
            self.work()
            self.wait_for_problem("a polkit rule for the action net.hadess.PowerProfiles.hold-profile")
        self.count_in_log("denies it to the user that halod runs as")
        self.bus.allow(HOLD_ACTION)
        self.work()
        self.wait_for_change("PowerProfileHeld", True)

    def test_finds_a_daemon_that_came_later_and_one_that_was_restarted(self):
        self.start("install power-profiles-daemon or tuned-ppd")
        self.work()
        self.wait_for_problem("install power-profiles-daemon or tuned-ppd")
        self.count_in_log("install power-profiles-daemon or tuned-ppd")
        self.bus.start_profile_daemon()
        stream = self.working()
        self.wait_for_change("PowerProfileHeld", True)
        self.bus.kill_profile_daemon()
        self.wait_for_change("PowerProfileHeld", False)
        self.count_in_log("net.hadess.PowerProfiles went away or was restarted")
        self.bus.start_profile_daemon()
        stream.close()
        self.wait_for_change("PowerProfileProblem", "")
        self.work()
        self.wait_for_change("PowerProfileHeld", True)

    def test_outlives_a_bus_that_is_restarted(self):
        self.bus.start_profile_daemon()
        self.start()
        stream = self.working()
        self.wait_for_change("PowerProfileHeld", True)
        self.bus.kill()
        self.count_in_log("is held no more: the bus was lost")
        self.assertEqual(self.admin("GET", "machine")["power"]["held"], False)
        self.bus.kill_profile_daemon()
        self.bus.start()
        self.bus.start_polkit(HOLD_ACTION)
        self.bus.start_profile_daemon()
        self.bus.wait_for_halod().close()
        self.client = self.enterContext(self.bus.client())
        self.client.subscribe()
        stream.close()
        self.wait_for_change("PowerProfileProblem", "")
        self.work()
        self.wait_for_change("PowerProfileHeld", True)

    def test_follows_a_reload_in_the_middle_of_work(self):
        self.bus.start_profile_daemon()
        self.start("loaded in", hold_profile="off")
        stream = self.working()
        self.assertEqual(self.active(), "balanced")
        self.reload_with(hold_profile="performance")
        self.wait_for_change("PowerProfileHeld", True)
        self.assertEqual(self.active(), "performance")
        self.reload_with(hold_profile="off")
        self.wait_for_change("PowerProfileHeld", False)
        wait_for(lambda: self.active() == "balanced", "the profile of before")
        stream.close()
        self.assertEqual(self.power(), {"PowerProfileHeld": False, "PowerProfile": "", "PowerProfileProblem": ""})


class AStandIn(WithABus):
    """The test itself is the daemon, under the name of today."""

    def setUp(self):
        super().setUp()
        self.daemon = self.enterContext(self.bus.client())
        self.assertEqual(self.daemon.bus("RequestName", "su", NEW, 4), 1)
        self.halod = self.enterContext(HalodProcess(config=config_of(self.bus)))
        self.bus.wait_for_halod().close()
        self.asked_for_the_load = self.next_hold()
        self.wait_until_gone(self.asked_for_the_load.sender)

    def next_hold(self):
        call = self.daemon.next_call("HoldProfile")
        self.assertEqual((call.path, call.interface, call.member), (NEW_PATH, NEW, "HoldProfile"))
        self.assertEqual((call.body[0], call.body[2]), ("performance", "io.halod.Halod1"))
        return call

    def wait_until_gone(self, name: str) -> None:
        wait_for(lambda: not self.client.bus("NameHasOwner", "s", name), "the end of the connection that asked")

    def grant(self, cookie: int) -> str:
        """Answers the next call, which must be HoldProfile; its caller."""
        call = self.next_hold()
        self.daemon.answer(call, "u", cookie)
        self.wait_for_change("PowerProfileHeld", True)
        return call.sender

    def expect_release(self, cookie: int) -> None:
        call = self.daemon.next_call("ReleaseProfile")
        self.assertEqual((call.interface, call.member, call.body), (NEW, "ReleaseProfile", [cookie]))
        self.daemon.answer(call)
        self.wait_until_gone(call.sender)

    def take_back(self, cookie: int, caller: str) -> None:
        self.daemon.send(NEW_PATH, NEW, "ProfileReleased", "u", cookie, destination=caller, kind=SIGNAL)

    def test_is_asked_first_and_gets_its_cookie_back(self):
        for cookie in (0, 4294967295):  # both are cookies like any other
            stream = self.working()
            self.grant(cookie)
            stream.close()
            self.expect_release(cookie)
        self.assertNotIn("warn", self.halod.stderr())

    def test_takes_back_only_what_it_names(self):
        stream = self.working()
        self.take_back(8, self.grant(7))
        stream.close()
        self.expect_release(7)
        self.working()
        self.take_back(9, self.grant(9))
        self.count_in_log("somebody chose another power profile")

    def test_that_lacks_the_profile_is_told_once(self):
        for _ in range(2):
            stream = self.working()
            self.daemon.refuse(self.next_hold(), "org.freedesktop.DBus.Error.InvalidArgs", "Cannot hold profile 'performance'")
            self.wait_for_change("PowerProfileProblem", f"{NEW} refuses it: Cannot hold profile 'performance'")
            stream.close()
            self.wait_for_change("PowerProfileProblem", "")
        self.count_in_log("Cannot hold profile 'performance'; serving all the same")

    def test_that_never_answers_keeps_nobody_waiting(self):
        # Each spell of work asks, and is dropped with its connection.
        for _ in range(2):
            self.work()
            self.wait_until_gone(self.next_hold().sender)
        self.assertFalse(self.power()["PowerProfileHeld"])
        self.assertNotIn("warn", self.halod.stderr())

    def test_whose_answer_comes_too_late_is_not_left_with_a_hold(self):
        self.work()
        call = self.next_hold()
        self.wait_until_gone(call.sender)
        self.daemon.answer(call, "u", 5)
        self.assertFalse(self.power()["PowerProfileHeld"])
        stream = self.working()
        self.grant(6)
        stream.close()
        self.expect_release(6)


if __name__ == "__main__":
    if missing_programs():
        print(f"SKIPPED: {' and '.join(missing_programs())} not installed (scripts/install-deps check)")
        raise SystemExit(SKIPPED)
    run_tests()
