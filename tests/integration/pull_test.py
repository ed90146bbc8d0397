#!/usr/bin/env python3
"""haloctl pull from a hub on loopback: what comes, what is resumed, what is refused."""
import json
import os
import random
import signal
import subprocess
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

from haloctl_test import run_on_terminal
from halod_process import BIN_DIR, DEMO_MODEL, SLOWDOWN, HalodProcess, run_tests, wait_for
from hub_server import COMMIT, Faults, Hub

SUCCESS, REFUSED, USAGE, UNREACHABLE, _, _, CANNOT_RUN = range(7)
KEY = "an-administrators-key"
BYTES = random.Random(7).randbytes(3_000_000)
TOKEN = "hf_aTokenOfSomebody"

REPOSITORIES = {
    "org/quants": {
        "README.md": b"# Quants", "M-Q4_K_M.gguf": BYTES, "M-Q8_0-00001-of-00002.gguf": BYTES[:1_000_000],
        "M-Q8_0-00002-of-00002.gguf": BYTES[1_000_000:2_500_000], "sub/M-IQ4_XS.gguf": BYTES[:5000], "mmproj-F16.gguf": BYTES[:2000],
    },
    "org/checkpoint": {
        "README.md": b"# A checkpoint", "config.json": b'{"architectures": ["Qwen3MoeForCausalLM"]}', "tokenizer.json": BYTES[:4000],
        "model.safetensors": BYTES[:200_000], "onnx/model.safetensors": BYTES[:3000], ".gitattributes": b"*.gguf lfs",
    },
    "org/demo": {"demo-moe-Q8_0.gguf": DEMO_MODEL.read_bytes()},
}


class WithHub(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hub = Hub(REPOSITORIES)
        cls.enterClassContext(cls.hub)

    def setUp(self):
        self.hub.faults = Faults()
        self.hub.claimed_sizes = {}
        self.hub.requests.clear()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="halod-pull-")))

    def command(self, *arguments: str) -> list[str]:
        return [str(BIN_DIR / "haloctl"), "pull", "--hub", self.hub.url, "--to", str(self.folder), "--no-rescan", *arguments]

    def environment(self) -> dict[str, str]:
        # Whoever runs the test may have a token of their own.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        return {**clean, "HOME": str(self.folder), "NO_COLOR": "1", "no_proxy": "127.0.0.1"}

    def pull(self, *arguments: str, status: int = SUCCESS) -> subprocess.CompletedProcess:
        done = subprocess.run(self.command(*arguments), env=self.environment(), capture_output=True, text=True,
                              timeout=60 * SLOWDOWN)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}

    def leave_a_part(self, n_bytes: int) -> Path:
        """Interrupts a download of org/quants' 3 MB after at least `n_bytes`, as Ctrl-C does."""
        self.hub.faults.bytes_per_second = 2e6
        with subprocess.Popen(self.command("org/quants"), env=self.environment(), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            def part():
                found = list(self.folder.rglob(".*.part"))
                return found and found[0].stat().st_size >= n_bytes and found[0]
            path = wait_for(part, "the first bytes")
            process.send_signal(signal.SIGINT)
        self.assertLess(path.stat().st_size, len(BYTES), "interrupted too late to tell anything")
        self.hub.faults.bytes_per_second = 0
        self.hub.requests.clear()
        return path


class AModel(WithHub):
    def test_the_usual_quantisation_comes_whole_and_only_once(self):
        done = self.pull("org/quants")
        self.assertEqual(self.files(), {"org/quants/M-Q4_K_M.gguf": BYTES})
        self.assertIn("M-Q4_K_M.gguf of org/quants: downloaded, 2.9 MiB", done.stdout)
        self.hub.requests.clear()
        self.assertIn("was there already", self.pull("org/quants").stdout)
        self.assertEqual(self.hub.of_large_files(), [])

    def test_a_quantisation_in_parts_and_one_in_a_folder(self):
        self.pull("org/quants:q8_0")
        self.pull("https://huggingface.co/org/quants:M-IQ4_XS.gguf")
        files = REPOSITORIES["org/quants"]
        wanted = [name for name in files if "Q8_0" in name or "IQ4" in name]
        self.assertEqual(self.files(), {f"org/quants/{name}": files[name] for name in wanted})

    def test_a_checkpoint_with_what_belongs_to_it(self):
        report = json.loads(self.pull("org/checkpoint", "--json").stdout)
        names = ["config.json", "tokenizer.json", "model.safetensors"]  # in the hub's order
        self.assertEqual(self.files(), {f"org/checkpoint/{name}": REPOSITORIES["org/checkpoint"][name] for name in names})
        self.assertEqual([Path(file["path"]).name for file in report["files"]], names)
        self.assertEqual((report["commit"], report["model"], report["bytes"]), (COMMIT, "safetensors", 204_042))

    def test_a_list_in_pages_is_read_to_its_end(self):
        self.hub.faults.page_size = 2
        self.pull("org/quants:IQ4_XS")
        self.assertEqual(list(self.files()), ["org/quants/sub/M-IQ4_XS.gguf"])

    def test_list_says_what_there_is_and_downloads_nothing(self):
        text = self.pull("org/quants", "--list").stdout
        self.assertRegex(text, r"M-Q8_0\.gguf\s+2\.4 MiB\s+2\n")
        self.assertNotIn("mmproj", text)
        models = json.loads(self.pull("org/quants", "--list", "--json").stdout)["models"]
        self.assertEqual([model["name"] for model in models], ["M-Q4_K_M.gguf", "M-Q8_0.gguf", "sub/M-IQ4_XS.gguf"])
        self.assertEqual(self.files(), {})

    def test_a_revision_with_a_slash(self):
        self.pull("org/quants:IQ4_XS", "--revision", "v1/x")
        self.assertIn("has no org/quants at 'v2'", self.pull("org/quants", "--revision", "v2", status=REFUSED).stderr)

    def test_a_file_of_another_version_is_replaced(self):
        target = self.folder / "org/quants/M-Q4_K_M.gguf"
        target.parent.mkdir(parents=True)
        target.write_bytes(BYTES[:-1] + b"x")
        self.pull("org/quants")
        self.assertEqual(target.read_bytes(), BYTES)

    def test_a_server_is_told_and_serves_it(self):
        with HalodProcess(model=None, config={"http": {"admin_keys": [KEY]}, "models": {"directory": str(self.folder)}}) as halod:
            command = [argument for argument in self.command("org/demo") if argument != "--no-rescan"]
            done = subprocess.run(command, env={**self.environment(), "HALOD_URL": f"http://127.0.0.1:{halod.port}",
                                                "HALOD_API_KEY": KEY}, capture_output=True, text=True, timeout=60 * SLOWDOWN)
            self.assertEqual((done.returncode, done.stderr.count("was not told")), (SUCCESS, 0), done.stderr)
            path = self.folder / "org/demo/demo-moe-Q8_0.gguf"
            answer = lambda: subprocess.run(
                [BIN_DIR / "haloctl", "--url", f"http://127.0.0.1:{halod.port}", "--api-key", KEY, "--json", "models"],
                capture_output=True, text=True, timeout=60 * SLOWDOWN).stdout
            wait_for(lambda: str(path) in answer(), "the pulled model among those served")


class WhatBreaksOff(WithHub):
    def test_an_interrupted_download_goes_on_where_it_was(self):
        n_bytes = self.leave_a_part(200_000).stat().st_size
        self.pull("org/quants")
        self.assertEqual([request.range for request in self.hub.of_large_files()], [f"bytes={n_bytes}-"])
        self.assertEqual(self.files(), {"org/quants/M-Q4_K_M.gguf": BYTES})

    def test_cut_connections_are_taken_up_again(self):
        self.hub.faults.cut_after = [1_000_000, 0, 500_000]
        done = self.pull("org/quants")
        self.assertEqual(self.files(), {"org/quants/M-Q4_K_M.gguf": BYTES})
        self.assertEqual([request.range for request in self.hub.of_large_files()],
                         [None, "bytes=1000000-", "bytes=1000000-", "bytes=1500000-"])
        self.assertIn("attempt 3 of 6", done.stderr)

    def test_a_server_without_ranges_begins_anew(self):
        self.leave_a_part(200_000)
        self.hub.faults.ignore_ranges = True
        self.pull("org/quants")
        self.assertEqual(self.files(), {"org/quants/M-Q4_K_M.gguf": BYTES})

    def test_damaged_bytes_of_an_earlier_part_are_fetched_again(self):
        part = self.leave_a_part(200_000)
        with part.open("r+b") as file:
            file.seek(1000)
            file.write(b"damaged")
        self.pull("org/quants")
        self.assertEqual(self.files(), {"org/quants/M-Q4_K_M.gguf": BYTES})
        self.assertEqual(len(self.hub.of_large_files()), 2)

    def test_a_busy_hub_is_asked_again_when_it_says(self):
        self.hub.faults.statuses = [429, 503]
        self.hub.faults.retry_after = "3"
        start = time.monotonic()
        self.pull("org/quants:IQ4_XS")
        self.assertGreaterEqual(time.monotonic() - start, 6)

    def test_one_that_never_works_is_given_up_and_what_came_is_kept(self):
        self.hub.faults.cut_after = [1_000_000, 0, 0]
        done = self.pull("org/quants", "--attempts", "2", status=UNREACHABLE)
        self.assertIn("org/quants/resolve", done.stderr)
        self.assertEqual([len(content) for content in self.files().values()], [1_000_000])
        self.hub.faults.cut_after = []
        self.pull("org/quants")
        self.assertEqual(self.files(), {"org/quants/M-Q4_K_M.gguf": BYTES})

    def test_no_hub_at_all(self):
        with unittest.mock.patch.object(self.hub, "url", "http://127.0.0.1:9"):
            self.assertIn("http://127.0.0.1:9", self.pull("org/quants", "--attempts", "1", status=UNREACHABLE).stderr)

    def test_two_at_once_do_not_write_the_same_file(self):
        self.hub.faults.bytes_per_second = 1e6
        with subprocess.Popen(self.command("org/quants"), env=self.environment(), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as first:
            wait_for(lambda: list(self.folder.rglob(".*.part")), "the first one's file")
            self.assertIn("by another process", self.pull("org/quants", status=REFUSED).stderr)
            self.assertEqual(first.wait(60 * SLOWDOWN), SUCCESS)
        self.assertEqual(self.files(), {"org/quants/M-Q4_K_M.gguf": BYTES})


class WhatIsRefused(WithHub):
    def test_a_wrong_checksum_leaves_nothing(self):
        self.hub.faults.flip_a_bit = True
        self.assertIn("do not have the checksum", self.pull("org/quants", status=REFUSED).stderr)
        self.assertEqual(self.files(), {})

    def test_more_bytes_than_listed(self):
        self.hub.faults.extra_bytes = b"more"
        self.assertIn("more than the 3000000 bytes", self.pull("org/quants", status=REFUSED).stderr)
        self.assertNotIn("org/quants/M-Q4_K_M.gguf", self.files())

    def test_what_is_not_there_is_answered_with_what_is(self):
        self.assertIn("M-Q8_0.gguf  (2.4 MiB)", self.pull("org/quants:Q2_K", status=REFUSED).stderr)
        self.assertIn("the hub has no org/other", self.pull("org/other", status=REFUSED).stderr)
        self.assertIn("give org/name", self.pull("no-slash", status=USAGE).stderr)

    def test_a_token_is_read_from_a_file_and_shown_to_the_hub_alone(self):
        self.hub.faults.token = TOKEN
        self.assertIn("--token-file", self.pull("org/quants", status=REFUSED).stderr)
        (self.folder / "token").write_text(TOKEN + "\n")
        self.hub.requests.clear()
        self.pull("org/quants", "--token-file", str(self.folder / "token"))
        seen = {(request.server, request.authorization) for request in self.hub.requests}
        self.assertEqual(seen, {("hub", f"Bearer {TOKEN}"), ("cdn", None)})
        # The file where the hub's own tools put it serves as well.
        stored = self.folder / ".cache/huggingface/token"
        stored.parent.mkdir(parents=True)
        stored.write_text(TOKEN)
        self.pull("org/quants:IQ4_XS")
        (self.folder / "token").write_text("two words\n")
        self.assertIn("holds no token", self.pull("org/quants", "--token-file", str(self.folder / "token"), status=REFUSED).stderr)

    def test_paths_that_leave_the_folder(self):
        entry = {"type": "file", "size": 3, "oid": "0" * 40}
        for path in ("../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "a//b.gguf", "a\\b.gguf", "a\nb.gguf", ""):
            self.hub.faults.list_body = json.dumps([{**entry, "path": path}]).encode()
            self.assertIn("it lists a file with the path", self.pull("org/quants", status=REFUSED).stderr)
        for body in (b"<html>", b"{}", b"[3]", b'[{"type":"file","path":"a.gguf","size":3,"oid":"x"}]'):
            self.hub.faults.list_body = body
            self.pull("org/quants", status=REFUSED)
        self.assertEqual(self.files(), {})

    def test_a_disk_without_room_is_told_before_anything_comes(self):
        self.hub.claimed_sizes["M-Q4_K_M.gguf"] = 1 << 55
        done = self.pull("org/quants", status=CANNOT_RUN)
        self.assertRegex(done.stderr, r"needs 32768 TiB more .* and \S+ [GT]iB are free")
        self.assertEqual(self.hub.of_large_files(), [])

    def test_a_folder_that_cannot_be(self):
        (self.folder / "org").write_text("a file")
        self.assertIn("cannot make the folder", self.pull("org/quants", status=CANNOT_RUN).stderr)


class OnATerminal(WithHub):
    def test_a_bar_with_speed_and_time_left(self):
        self.hub.faults.bytes_per_second = 2e6
        text = run_on_terminal(0, *self.command("org/quants")[1:])
        self.assertRegex(text, r"\[#+ *\] +\d+% [\d.]+ [KM]iB of 2\.9 MiB, [\d.]+ [KM]iB/s, [\d.]+ s left  M-Q4_K_M\.gguf")


if __name__ == "__main__":
    run_tests()
