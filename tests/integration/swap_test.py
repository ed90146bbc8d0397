#!/usr/bin/env python3
"""Two models are swapped again and again under streaming clients, and their files go missing: no answer is lost or mixed."""
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import questions
from api_client import chat, metrics, request
from halod_process import BIN_DIR, DEMO_MODEL, SANITIZER, SLOWDOWN, HalodProcess, n_open_files, resident_bytes, run_tests, wait_for

ADMIN = {"Authorization": "Bearer boss"}
N_SWAPS = int(os.environ.get("HALOD_SWAPS", "20" if SANITIZER else "150"))
N_CLIENTS = 16
# What malloc keeps of a burst; a model that stayed behind in one of a hundred swaps would be 25 MB.
ALLOWED_GROWTH_BYTES = 16 << 20


def write_other_model(path: Path) -> None:
    """The demo model with two rows of blocks exchanged: as valid, but it answers differently."""
    data = bytearray(DEMO_MODEL.read_bytes())
    row = 34 * 16  # Q8_0: whole blocks
    for at in range(len(data) - 4_000_000, len(data) - 1_000_000, 16 * row):
        data[at:at + row], data[at + row:at + 2 * row] = data[at + row:at + 2 * row], data[at:at + row]
    path.write_bytes(data)


def admin(port: int, verb: str, **body):
    return request(port, "POST", f"/v1/admin/models/{verb}", {"wait": True, **body}, headers=ADMIN, timeout=120)


def model_states(port: int) -> dict[str, str]:
    models = request(port, "GET", "/v1/admin/models", headers=ADMIN).json()["models"]
    return {model["name"]: model["state"] for model in models}


class TwoModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="halod-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        write_other_model(cls.folder / "right.gguf")
        shutil.copy(DEMO_MODEL, cls.folder / "left.gguf")
        cls.bodies = [question.request for group in questions.committed().values() for question in group][:24]

    def start(self, **models) -> HalodProcess:
        config = {"http": {"admin_keys": ["boss"]}, "models": {"list": [{"path": str(self.folder / "right.gguf")}], **models},
                  "limits": {"max_requests": 256}, "engine": {"restart_delay_min": "10ms"}}
        return HalodProcess(model=self.folder / "left.gguf", config=config)

    def answers_alone(self, port: int) -> dict[str, list]:
        alone = {name: [chat(port, {**body, "model": name}).content for body in self.bodies] for name in ("left", "right")}
        self.assertNotEqual(alone["left"], alone["right"], "the two models must be told apart by their answers")
        return alone

    def test_are_swapped_under_streaming_clients_without_a_lost_mixed_or_truncated_answer(self):
        with self.start() as halod:
            port = halod.port
            alone = self.answers_alone(port)
            ended, n_answers, wrong = threading.Event(), [0] * N_CLIENTS, []

            def client(idx: int) -> None:
                turn = idx
                while not ended.is_set():
                    which = turn % len(self.bodies)
                    # Half of them name a model, half take whichever is active.
                    name = ("left", "right", "", "")[(turn + idx) % 4]
                    answer = chat(port, {**self.bodies[which], "model": name}, stream=True, timeout=120)
                    served = answer.model
                    if (name and served != name) or answer.content != alone[served][which]:
                        wrong.append((name, served, which, answer.content, alone[served][which]))
                    n_answers[idx] += 1
                    turn += 1

            def level() -> dict[str, int]:
                return {f"{name} {what}": measure(pid) for name, pid in (("halod", halod.process.pid), ("engine", halod.engine_pid()))
                        for what, measure in (("bytes", resident_bytes), ("files", n_open_files))}

            seconds = []
            with ThreadPoolExecutor(N_CLIENTS) as pool:
                clients = [pool.submit(client, idx) for idx in range(N_CLIENTS)]
                try:
                    for idx in range(N_SWAPS):
                        start = time.monotonic()
                        reply = admin(port, "swap", model=("right", "left")[idx % 2])
                        self.assertEqual(reply.status, 200, reply.body)
                        seconds.append(time.monotonic() - start)
                        if idx == N_SWAPS // 3:
                            before = level()
                    after = level()
                finally:
                    ended.set()
                for future in clients:
                    future.result()
            print(f"  {N_SWAPS} swaps, {sum(n_answers)} answers, median swap {sorted(seconds)[len(seconds) // 2] * 1000:.0f} ms under load\n"
                  f"  before: {before}\n  after:  {after}", flush=True)
            self.assertEqual(wrong, [])
            self.assertGreater(min(n_answers), 0)
            wait_for(lambda: metrics(port)["halod_requests_unfinished"] == 0, "all requests to be finished")
            for process in ("halod", "engine"):
                self.assertLessEqual(after[f"{process} files"], before[f"{process} files"] + N_CLIENTS)
                if not SANITIZER:
                    self.assertLessEqual(after[f"{process} bytes"], before[f"{process} bytes"] + ALLOWED_GROWTH_BYTES)

    def test_swap_quickly_when_nobody_is_served(self):
        with self.start() as halod:
            seconds = []
            for idx in range(10):
                reply = admin(halod.port, "swap", model=("right", "left")[idx % 2])
                self.assertEqual(reply.status, 200)
                seconds.append(reply.json()["seconds"])
            print(f"  median swap {sorted(seconds)[5] * 1000:.0f} ms")
            if not SANITIZER:
                self.assertLess(sorted(seconds)[5], 0.1)

    def test_swap_while_the_engine_is_killed_and_lose_nothing(self):
        with self.start() as halod:
            port = halod.port
            alone = self.answers_alone(port)
            ended = threading.Event()

            def killer() -> None:
                while not ended.wait(0.5 * SLOWDOWN):
                    if pid := halod.engine_pid():
                        os.kill(pid, signal.SIGKILL)

            thread = threading.Thread(target=killer)
            thread.start()
            try:
                with ThreadPoolExecutor(8) as pool:
                    asked = [(name, which) for which in range(len(self.bodies)) for name in ("left", "right")]
                    futures = [pool.submit(chat, port, {**self.bodies[which], "model": name}, stream=True, timeout=120)
                               for name, which in asked]
                    for idx in range(8):
                        self.assertEqual(admin(port, "swap", model=("right", "left")[idx % 2]).status, 200)
                    answers = [future.result() for future in futures]
            finally:
                ended.set()
                thread.join()
            for (name, which), answer in zip(asked, answers):
                self.assertEqual((answer.model, answer.content), (name, alone[name][which]))

    def test_a_file_that_vanishes_is_an_error_by_name_and_the_other_model_serves_on(self):
        gone = self.folder / "right.gguf"
        away = gone.with_suffix(".away")
        with self.start() as halod:
            port = halod.port
            self.assertEqual(admin(port, "load", model="right").status, 200)
            gone.rename(away)
            try:
                self.assertEqual(request(port, "POST", "/v1/chat/completions", {**self.bodies[0], "model": "right"}).status, 200,
                                 "a loaded model needs its file no more")
                os.kill(halod.engine_pid(), signal.SIGKILL)
                wait_for(lambda: model_states(port)["right"] == "failed", "the model without a file to fail")
                reply = request(port, "POST", "/v1/chat/completions", {**self.bodies[0], "model": "right"})
                self.assertNotEqual(reply.status, 200)
                self.assertIn("right.gguf", reply.json()["error"]["message"])
                self.assertEqual(request(port, "POST", "/v1/chat/completions", self.bodies[0]).status, 200)
            finally:
                away.rename(gone)
            self.assertEqual(request(port, "POST", "/v1/chat/completions", {**self.bodies[0], "model": "right"}).status, 200,
                             "the file is back, and so is the model")

    def test_a_file_that_is_cut_off_is_refused_and_changes_nothing(self):
        cut = self.folder / "right.gguf"
        whole = cut.read_bytes()
        with self.start() as halod:
            port = halod.port
            self.assertEqual(admin(port, "load", model="right").status, 200)
            self.assertEqual(admin(port, "unload", model="right").status, 200)
            cut.write_bytes(whole[:len(whole) // 2])
            try:
                reply = admin(port, "swap", model="right")
                self.assertNotEqual(reply.status, 200)
                self.assertIn("right.gguf", reply.json()["error"]["message"])
                self.assertEqual(model_states(port)["left"], "loaded")
                self.assertEqual(request(port, "POST", "/v1/chat/completions", self.bodies[0]).status, 200)
            finally:
                cut.write_bytes(whole)

    def test_a_file_that_is_cut_off_or_deleted_while_it_is_loaded_harms_nothing_else(self):
        large = self.folder / "large.gguf"
        with self.start(list=[{"path": str(large)}, {"path": str(self.folder / "right.gguf")}]) as halod:
            port = halod.port

            def spoil_while_it_loads(spoil) -> dict:
                """The job that loaded the model, in the middle of which spoil() was called."""
                for _ in range(10):
                    subprocess.run([BIN_DIR / "halo-bench", "synth", "--shape", "0.6b", "--type", "Q8_0", "--layers", "14", "--force",
                                    "--out", large], check=True, stdout=subprocess.DEVNULL)
                    job = request(port, "POST", "/v1/admin/models/load", {"model": "large"}, headers=ADMIN).json()["id"]
                    look = lambda: request(port, "GET", f"/v1/admin/jobs/{job}", headers=ADMIN).json()
                    wait_for(lambda: look()["bytes_done"] > 0 or look()["state"] in ("done", "failed"), "the first bytes")
                    spoil()
                    state = wait_for(lambda: (now := look())["state"] in ("done", "failed") and now, "the job to end")
                    if state["state"] == "failed" or not large.exists():
                        return state
                    self.assertEqual(admin(port, "unload", model="large").status, 200)  # it had been too quick for us
                raise AssertionError("ten loads were all quicker than the fault")

            half = lambda: os.truncate(large, large.stat().st_size // 2)
            failed = spoil_while_it_loads(half)
            self.assertEqual(failed["state"], "failed")
            self.assertIn("large.gguf: ends at offset", failed["error"]["message"])
            self.assertEqual(halod.stderr().count("large.gguf: ends at offset"), 1, "one line of the log")
            self.assertEqual(spoil_while_it_loads(large.unlink)["state"], "done", "an open file outlives its name")
            self.assertEqual(model_states(port)["left"], "loaded")
            self.assertEqual(request(port, "POST", "/v1/chat/completions", {**self.bodies[0], "model": "left"}).status, 200)


if __name__ == "__main__":
    run_tests()
