#!/usr/bin/env python3
"""io.halod.Halod1 on a real bus: the real programs, halod's own bus policy, and a polkit that the test tells what to allow."""
import json
import os
import unittest
import xml.etree.ElementTree as ElementTree
from unittest import mock

from api_client import ENDLESS, Stream, ask, chat, request
from dbus_client import BusError, Variant
from halod_process import DEMO_MODEL, SKIPPED, SOURCE_DIR, HalodProcess, run_tests, wait_for
from private_bus import PrivateBus, missing_programs

ROOT = "/io/halod/Halod1"
MANAGER, MODEL, JOB, POWER, TUNING = (f"io.halod.Halod1.{name}" for name in ("Manager", "Model", "Job", "Power", "Tuning"))
KEY = "an-administrators-key"
ACTIONS = [f"io.halod.{verb}" for verb in ("load", "unload", "swap", "rescan", "reload", "set-log-level", "cancel-job")]
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
FIRST, SECOND = "demo-moe-Q8_0", "second model/2"
SECOND_PATH = ROOT + "/model/second_20model_2f2"
# Eight answers of 900 tokens: they run long enough to be waited for.
LONG = {**ENDLESS, "max_tokens": 900, "n": 8}


def config_of(bus: PrivateBus | None, **more) -> dict:
    address = bus.address if bus else "unix:path=/nonexistent/bus"
    return {"dbus": {"address": address}, "http": {"admin_keys": [KEY]}, "models": {"list": [{"path": str(DEMO_MODEL), "name": SECOND, "aliases": ["zwei"]}]}, **more}


def changed(path: str, interface: str, name: str, value=None):
    """For wait_for_signal: the property's change, to `value` when one is given."""
    def matches(message) -> bool:
        if message.path != path or message.member != "PropertiesChanged" or message.body[0] != interface:
            return False
        return name in message.body[1] and value in (None, message.body[1][name])
    return matches


class OnTheBus(unittest.TestCase):
    """One bus and one halod for all of them; each test leaves the first model loaded and active, the second not loaded."""

    @classmethod
    def setUpClass(cls):
        cls.bus = cls.enterClassContext(PrivateBus())
        cls.bus.start_polkit(*ACTIONS)
        cls.halod = cls.enterClassContext(HalodProcess(config=config_of(cls.bus)))
        cls.bus.wait_for_halod().close()

    def setUp(self):
        self.bus.allow(*ACTIONS)
        self.client = self.enterContext(self.bus.client())
        self.client.subscribe()

    def call(self, member: str, signature: str = "", *arguments):
        return self.client.call(ROOT, MANAGER, member, signature, *arguments)

    def refused(self, name: str, path: str, interface: str, member: str, signature: str = "", *arguments) -> str:
        """The message of the error of that name, with which the call must be refused."""
        with self.assertRaises(BusError) as caught:
            self.client.call(path, interface, member, signature, *arguments)
        self.assertEqual(caught.exception.name, name, caught.exception)
        return caught.exception.message

    def finish(self, job: str) -> str:
        """Waits for its end; the result."""
        return self.client.wait_for_signal(lambda m: m.member == "JobRemoved" and m.body[1] == job, f"end of {job}").body[3]

    def swap_to(self, name: str, **options) -> str:
        return self.call("Swap", "sa{sv}", name, {key: Variant("s", value) for key, value in options.items()})

    def states(self) -> dict[str, str]:
        return {name: state for _, name, state, _, _ in self.call("ListModels")}

    def go_back(self) -> None:
        self.assertEqual(self.finish(self.swap_to(FIRST)), "done")
        self.assertEqual(self.states(), {FIRST: "loaded", SECOND: "available"})

    # -- reading

    def test_answers_introspection_as_the_xml_file_says(self):
        wanted = describe((SOURCE_DIR / "daemon/dbus/io.halod.Halod1.xml").read_text())
        self.call("Rescan")  # so that there is a job
        job = self.call("ListJobs")[-1][1]
        found = {}
        for path in (ROOT, SECOND_PATH, job):
            found.update(describe(self.bus.busctl("introspect", "--xml-interface", "io.halod.Halod1", path)))
        ours = {name: interface for name, interface in found.items() if name.startswith("io.halod.")}
        self.assertEqual(ours, wanted)
        self.assertIn("org.freedesktop.DBus.ObjectManager", found)

    def test_lists_models_and_their_properties(self):
        rows = {row[1]: row for row in self.call("ListModels")}
        self.assertEqual(list(rows), [FIRST, SECOND])
        path, _, state, n_bytes, details = rows[FIRST]
        self.assertEqual(state, "loaded")
        self.assertGreater(n_bytes, 1_000_000)
        self.assertTrue(details["active"])
        self.assertEqual(details["architecture"], "qwen3moe")
        self.assertEqual(self.call("GetModel", "s", FIRST), path)
        self.assertEqual(self.call("GetModel", "s", "zwei"), SECOND_PATH)
        second = self.client.get_all(SECOND_PATH, MODEL)
        self.assertEqual((second["Name"], second["Aliases"], second["State"], second["ResidentBytes"], second["LastError"]),
                         (SECOND, ["zwei"], "available", 0, ("", "")))
        self.assertEqual(second["Path"], str(DEMO_MODEL))
        self.assertEqual(second["Quantization"], "Q8_0")

    def test_tells_state_memory_and_statistics(self):
        manager = self.client.get_all(ROOT, MANAGER)
        self.assertEqual((manager["State"], manager["ActiveModel"]), ("ready", FIRST))
        self.assertEqual(manager["ActiveModelPath"], self.call("GetModel", "s", FIRST))
        self.assertEqual(manager["HttpEndpoints"], [f"http://127.0.0.1:{self.halod.port}"])
        self.assertEqual(manager["Features"], ["drain", "pause"])
        memory = self.client.get_all(ROOT, "io.halod.Halod1.Memory")
        self.assertGreater(memory["MemTotalBytes"], memory["MemAvailableBytes"])
        self.assertGreater(memory["ModelsResidentBytes"], 1_000_000)
        machine = request(self.halod.port, "GET", "/v1/admin/machine", headers={"Authorization": f"Bearer {KEY}"}).json()
        gpu = machine["gpu_memory"] or dict.fromkeys(("gtt_total_bytes", "vram_total_bytes", "ttm_pages_limit"), 0)
        self.assertEqual([memory[name] for name in ("GttTotalBytes", "VramTotalBytes", "TtmPagesLimit")],
                         [gpu[name] for name in ("gtt_total_bytes", "vram_total_bytes", "ttm_pages_limit")])
        self.assertLessEqual(memory["GttUsedBytes"], memory["GttTotalBytes"])
        self.assertLessEqual(memory["VramUsedBytes"], memory["VramTotalBytes"])
        self.assertEqual(self.client.get_all(ROOT, POWER), {"HoldProfile": "off", "PowerProfileHeld": False, "PowerProfile": "", "PowerProfileProblem": ""})
        before = self.client.get_all(ROOT, "io.halod.Halod1.Stats")
        chat(self.halod.port, ask("What is 2 + 3?"))
        after = self.client.get_all(ROOT, "io.halod.Halod1.Stats")
        self.assertEqual(after["RequestsFinished"], before["RequestsFinished"] + 1)
        self.assertGreater(after["GeneratedTokens"], before["GeneratedTokens"])

    def test_tells_which_kernels_serve_the_loaded_models(self):
        before = self.client.get_all(ROOT, TUNING)
        self.assertEqual(before["Backend"], "cpu")
        self.assertIn("thread", before["Device"])
        rows = {(operation, format_name): variant for operation, format_name, variant in before["Selections"]}
        self.assertTrue(rows["matmul", "Q8_0"].endswith(("_tiles16", "_rows")) or rows["matmul", "Q8_0"] == "reference", rows)
        self.assertLessEqual({("attention", "F16"), ("rope", ""), ("router_top_k", "")}, set(rows))
        self.assertEqual(self.finish(self.call("Unload", "sa{sv}", FIRST, {})), "done")
        self.client.signals.clear()
        self.assertEqual(self.client.get_all(ROOT, TUNING), {"Backend": "", "Device": "", "Selections": [], "TuningState": "", "SelectionStates": []})
        job = self.swap_to(FIRST)
        self.client.wait_for_signal(changed(ROOT, TUNING, "Selections", before["Selections"]), "the kernels of the model that is back")
        self.assertEqual(self.finish(job), "done")
        self.assertEqual(self.client.get_all(ROOT, TUNING), before)

    def test_can_be_read_and_called_by_busctl(self):
        answer = json.loads(self.bus.busctl("--json=short", "get-property", "io.halod.Halod1", ROOT, MANAGER, "ActiveModel"))
        self.assertEqual(answer, {"type": "s", "data": FIRST})
        answer = json.loads(self.bus.busctl("--json=short", "call", "io.halod.Halod1", ROOT, MANAGER, "Unload", "sa{sv}", SECOND, "1",
                                            "policy", "s", "pause"))
        self.assertEqual(self.finish(answer["data"][0]), "done")

    def test_manages_its_objects(self):
        objects = self.client.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        self.assertIn(SECOND_PATH, objects)
        self.assertEqual(objects[SECOND_PATH][MODEL]["State"], "available")

    # -- jobs

    def test_swaps_models_and_tells_progress_until_it_is_done(self):
        job = self.swap_to(SECOND, policy="drain")
        added = self.client.wait_for_signal(lambda m: m.member == "InterfacesAdded", "of the job")
        self.assertEqual(added.body[0], job)
        self.assertEqual(added.body[1][JOB]["State"], "waiting")
        new = self.client.wait_for_signal(lambda m: m.member == "JobNew", "of the job")
        number = int(job.rpartition("/")[2])
        self.assertEqual(new.body, [number, job, "swap", SECOND])
        self.client.wait_for_signal(changed(SECOND_PATH, MODEL, "State", "loading"), "model loading")
        self.client.wait_for_signal(changed(SECOND_PATH, MODEL, "State", "loaded"), "model loaded")
        self.client.wait_for_signal(changed(ROOT, MANAGER, "ActiveModel", SECOND), "another active model")
        self.client.wait_for_signal(changed(job, JOB, "State", "done"), "job done")
        self.assertEqual(self.finish(job), "done")
        properties = self.client.get_all(job, JOB)
        self.assertEqual((properties["Kind"], properties["State"], properties["Stage"], properties["Progress"], properties["Error"]),
                         ("swap", "done", "ready", 1.0, ("", "")))
        self.assertEqual(properties["BytesDone"], properties["BytesTotal"])
        self.assertGreater(properties["BytesTotal"], 1_000_000)
        self.assertEqual((properties["Model"], properties["ModelName"]), (SECOND_PATH, SECOND))
        self.assertEqual(properties["Requester"][0], self.client.name)
        self.assertEqual(self.states(), {FIRST: "available", SECOND: "loaded"})
        self.assertEqual(self.client.get(ROOT, MANAGER, "ActiveModelPath"), SECOND_PATH)
        self.go_back()

    def test_loads_and_unloads_by_the_models_own_object(self):
        job = self.client.call(SECOND_PATH, MODEL, "Load", "a{sv}", {})
        self.assertEqual(self.finish(job), "done")
        self.assertEqual(self.states(), {FIRST: "loaded", SECOND: "loaded"})
        self.assertGreater(self.client.get(SECOND_PATH, MODEL, "ResidentBytes"), 1_000_000)
        job = self.client.call(SECOND_PATH, MODEL, "Unload", "a{sv}", {})
        self.client.wait_for_signal(changed(SECOND_PATH, MODEL, "ResidentBytes", 0), "nothing resident")
        self.assertEqual(self.finish(job), "done")
        self.assertEqual(self.states(), {FIRST: "loaded", SECOND: "available"})

    def test_cancels_an_unload_that_waits_for_a_running_answer(self):
        with Stream(self.halod.port, "/v1/chat/completions", ask("Count from 1 to 100.", **LONG)) as stream:
            next(iter(stream))
            job = self.call("Unload", "sa{sv}", FIRST, {"policy": Variant("s", "drain")})
            self.client.wait_for_signal(changed(job, JOB, "Stage", "drain"), "drain")
            self.client.call(job, JOB, "Cancel")
            self.assertEqual(self.finish(job), "cancelled")
        self.assertEqual(self.states()[FIRST], "loaded")
        self.assertEqual(self.client.get(job, JOB, "Error")[0], "io.halod.Error.Cancelled")
        self.assertIn("has ended", self.refused("io.halod.Error.InvalidArgument", job, JOB, "Cancel"))
        number = int(job.rpartition("/")[2])
        self.assertIn((number, job, "unload", "cancelled"), [row[:4] for row in self.call("ListJobs")])

    # -- refusing

    def test_refuses_a_model_that_there_is_not(self):
        self.assertIn("'none'", self.refused("io.halod.Error.NotFound", ROOT, MANAGER, "GetModel", "s", "none"))
        for verb in ("Load", "Unload", "Swap"):
            self.assertIn("'none'", self.refused("io.halod.Error.NotFound", ROOT, MANAGER, verb, "sa{sv}", "none", {}))
        self.refused("org.freedesktop.DBus.Error.UnknownObject", ROOT + "/model/none", MODEL, "Load", "a{sv}", {})

    def test_refuses_options_that_it_does_not_know_by_their_names(self):
        for verb in ("Load", "Unload", "Swap"):
            message = self.refused("io.halod.Error.InvalidArgument", ROOT, MANAGER, verb, "sa{sv}", SECOND, {"colour": Variant("s", "red")})
            self.assertIn("'colour'", message)
        for value in (Variant("s", "hurry"), Variant("u", 1)):
            self.assertIn("policy", self.refused("io.halod.Error.InvalidArgument", ROOT, MANAGER, "Swap", "sa{sv}", SECOND, {"policy": value}))
        self.assertEqual(self.states()[SECOND], "available")

    def test_changes_nothing_for_those_whom_polkit_denies_it(self):
        job = self.call("Rescan")
        self.assertEqual(self.finish(job), "done")
        n_jobs = len(self.call("ListJobs"))
        verbs = [("io.halod.load", ROOT, MANAGER, "Load", "sa{sv}", SECOND, {}), ("io.halod.unload", ROOT, MANAGER, "Unload", "sa{sv}", FIRST, {}),
                 ("io.halod.swap", ROOT, MANAGER, "Swap", "sa{sv}", SECOND, {}), ("io.halod.rescan", ROOT, MANAGER, "Rescan"),
                 ("io.halod.reload", ROOT, MANAGER, "Reload"), ("io.halod.set-log-level", ROOT, MANAGER, "SetLogLevel", "s", "debug"),
                 ("io.halod.load", SECOND_PATH, MODEL, "Load", "a{sv}", {}), ("io.halod.unload", SECOND_PATH, MODEL, "Unload", "a{sv}", {}),
                 ("io.halod.cancel-job", job, JOB, "Cancel")]
        for action, *call in verbs:
            with self.subTest(action=action, path=call[0]):
                self.bus.allow(*(other for other in ACTIONS if other != action))
                self.assertIn(action, self.refused(ACCESS_DENIED, *call))
        self.assertEqual(len(self.call("ListJobs")), n_jobs)
        self.assertEqual(self.states(), {FIRST: "loaded", SECOND: "available"})
        self.assertEqual(self.client.get(ROOT, MANAGER, "LogLevel"), "info")

    def test_is_closed_to_interfaces_that_the_bus_policy_does_not_name(self):
        self.refused(ACCESS_DENIED, ROOT, "io.halod.Halod1.Debug", "Dump")

    # -- configuration

    def test_sets_the_log_level_and_tells_it(self):
        self.call("SetLogLevel", "s", "debug")
        self.client.wait_for_signal(changed(ROOT, MANAGER, "LogLevel", "debug"), "log level")
        self.assertIn("loud", self.refused("io.halod.Error.InvalidArgument", ROOT, MANAGER, "SetLogLevel", "s", "loud"))
        self.call("SetLogLevel", "s", "info")
        self.client.wait_for_signal(changed(ROOT, MANAGER, "LogLevel", "info"), "log level")

    def test_reloads_a_good_configuration_and_refuses_a_bad_one(self):
        file = self.halod.folder / "halod.yaml"
        good = file.read_text()
        self.addCleanup(file.write_text, good)
        file.write_text(good.replace('"models"', '"modles"'))
        message = self.refused("io.halod.Error.InvalidArgument", ROOT, MANAGER, "Reload")
        self.assertRegex(message, r"halod\.yaml:1:.*models")
        third = self.halod.folder / "third.gguf"
        third.symlink_to(DEMO_MODEL)
        config = json.loads(good)
        config["models"]["list"].append({"path": str(third)})
        file.write_text(json.dumps(config))
        self.call("Reload")
        added = self.client.wait_for_signal(lambda m: m.member == "InterfacesAdded" and MODEL in m.body[1], "of the third model")
        self.assertEqual(added.body[0], ROOT + "/model/third")
        self.assertEqual(added.body[1][MODEL]["Name"], "third")
        file.write_text(good)
        self.call("Reload")
        removed = self.client.wait_for_signal(lambda m: m.member == "InterfacesRemoved", "of the third model")
        self.assertEqual(removed.body[0], ROOT + "/model/third")
        self.assertIn(MODEL, removed.body[1])


class ThePackagedPolicies(unittest.TestCase):
    def test_give_polkit_every_action_and_halods_user_the_right_to_ask_for_it(self):
        policy = ElementTree.parse(SOURCE_DIR / "packaging/polkit/io.halod.policy").getroot()
        self.assertEqual([action.get("id") for action in policy.findall("action")], ACTIONS)
        for action in policy.findall("action"):
            owners = [note.text for note in action.findall("annotate") if note.get("key") == "org.freedesktop.policykit.owner"]
            self.assertEqual(owners, ["unix-user:halod"], action.get("id"))

    def test_open_every_interface_that_has_methods(self):
        policy = ElementTree.parse(SOURCE_DIR / "packaging/dbus/io.halod.Halod1.conf").getroot()
        opened = {rule.get("send_interface") for rule in policy.iter("allow")}
        interfaces = describe((SOURCE_DIR / "daemon/dbus/io.halod.Halod1.xml").read_text())
        self.assertLessEqual({name for name, (methods, _, _) in interfaces.items() if methods}, opened)


class WithoutPolkit(unittest.TestCase):
    def test_lets_the_user_that_halod_runs_as_do_everything(self):
        with PrivateBus() as bus, mock.patch.dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=bus.address):
            # By the name of the bus here, and not by its address.
            with HalodProcess(config={"dbus": {"bus": "system"}}), bus.wait_for_halod() as client:
                client.subscribe()
                job = client.call(ROOT, MANAGER, "Rescan")
                client.wait_for_signal(lambda m: m.member == "JobRemoved" and m.body[1] == job, "end of the job")


class AMissingBus(unittest.TestCase):
    def test_does_not_keep_halod_from_serving(self):
        with HalodProcess(config=config_of(None)) as halod:
            self.assertEqual(request(halod.port, "GET", "/health").status, 200)
            wait_for(lambda: "cannot be reached" in halod.stderr(), "the warning")

    def test_is_no_matter_when_halod_was_started_by_hand(self):
        with HalodProcess() as halod:
            wait_for(lambda: "not on D-Bus (dbus.bus: auto)" in halod.stderr(), "the line in the log")
            self.assertNotIn("warn", halod.stderr())

    def test_is_returned_to_when_the_bus_was_restarted(self):
        with PrivateBus() as bus, HalodProcess(config=config_of(bus)) as halod:
            bus.wait_for_halod().close()
            for n_losses in (1, 2):
                bus.kill()
                wait_for(lambda: halod.stderr().count("cannot be reached") == n_losses, "the warning")
                self.assertIn("5", chat(halod.port, ask("What is 2 + 3?")).content)
                # What happens meanwhile is there afterwards.
                bus.start()
                with bus.wait_for_halod() as client:
                    client.subscribe()
                    self.assertEqual([row[1] for row in client.call(ROOT, MANAGER, "ListModels")], [FIRST, SECOND])
                    job = client.call(ROOT, MANAGER, "Load", "sa{sv}", SECOND, {})
                    client.wait_for_signal(lambda m: m.member == "JobRemoved" and m.body[1] == job, "end of the job")
            self.assertEqual(halod.stderr().count("io.halod.Halod1 is on"), 3)

    def test_that_gives_the_name_to_somebody_else_is_told_and_left_alone(self):
        with PrivateBus() as bus, bus.client() as squatter:
            self.assertEqual(squatter.bus("RequestName", "su", "io.halod.Halod1", 4), 1)
            with HalodProcess(config=config_of(bus)) as halod:
                wait_for(lambda: "refuses the name io.halod.Halod1" in halod.stderr(), "the error")
                self.assertEqual(request(halod.port, "GET", "/health").status, 200)


def describe(xml: str) -> dict:
    """interface -> (methods, signals, properties) with all that matters to a caller, comparable by ==."""
    def args(element):
        return [(arg.get("name"), arg.get("type"), arg.get("direction", "")) for arg in element.findall("arg")]

    def tells_changes(element):
        for annotation in element.findall("annotation"):
            if annotation.get("name") == "org.freedesktop.DBus.Property.EmitsChangedSignal":
                return annotation.get("value")
        return "true"

    return {interface.get("name"): (
        {method.get("name"): args(method) for method in interface.findall("method")},
        {emitted.get("name"): [arg[:2] for arg in args(emitted)] for emitted in interface.findall("signal")},
        {item.get("name"): (item.get("type"), item.get("access"), tells_changes(item)) for item in interface.findall("property")})
        for interface in ElementTree.fromstring(xml).findall("interface")}


if __name__ == "__main__":
    if missing_programs():
        print(f"SKIPPED: {' and '.join(missing_programs())} not installed (scripts/install-deps check)")
        raise SystemExit(SKIPPED)
    run_tests()
