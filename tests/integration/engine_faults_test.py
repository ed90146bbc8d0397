#!/usr/bin/env python3
"""The engine dies or hangs: clients see a pause, and greedy answers are those of an undisturbed run."""
import os
import random
import re
import signal
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from api_client import ENDLESS, Answer, Stream, ask, chat, metrics, request
from halod_process import SLOWDOWN, HalodProcess, run_tests, wait_for

# <|im_end|> and <|endoftext|> banned: the answer goes on to max_tokens, long enough to be disturbed in the middle.
LONG = {**ENDLESS, "max_tokens": 400}
LONG_REQUESTS = [ask(f"Count from {first} to {first + 40}.", **LONG) for first in range(1, 7)]
KILL_SECONDS = int(os.environ.get("HALOD_KILL_SECONDS", "10"))
QUICK_RESTART = {"engine": {"restart_delay_min": "10ms", "restart_delay_max": "50ms"}}


class Watcher:
    """Reads one stream to its end; its answer can be watched from another thread."""

    def __init__(self, port: int, body: dict):
        self.answer = Answer()
        self._port, self._body = port, body

    def run(self) -> Answer:
        with Stream(self._port, "/v1/chat/completions", self._body, timeout=120) as events:
            for event in events:
                self.answer.add_event(event)
            if not events.finished:
                raise AssertionError(f"a stream ended without [DONE] after {self.answer.n_events} events")
        return self.answer


def n_characters(watchers: list[Watcher]) -> int:
    """What has arrived so far. One event may carry several tokens, so events say little."""
    return sum(len(watcher.answer.content) for watcher in watchers)


def n_resumed(port: int) -> float:
    return metrics(port)["halod_requests_resumed_total"]


class AnEngineThatDies(unittest.TestCase):
    def disturbed_answers(self, halod: HalodProcess, disturb) -> list[Answer]:
        """The answers to LONG_REQUESTS, all at once, while disturb(watchers) runs."""
        watchers = [Watcher(halod.port, body) for body in LONG_REQUESTS]
        with ThreadPoolExecutor(len(watchers)) as pool:
            futures = [pool.submit(watcher.run) for watcher in watchers]
            disturb(watchers)
            return [future.result() for future in futures]

    def assert_same_answers(self, halod: HalodProcess, undisturbed: list[Answer], disturbed: list[Answer]) -> None:
        for expected, got in zip(undisturbed, disturbed):
            self.assertEqual((got.content, got.finish_reason), (expected.content, "length"))
        self.assertGreater(n_resumed(halod.port), 0, "no request was resumed: the fault came too late to show anything")

    def test_killed_again_and_again_during_streams_changes_no_character_of_any_answer(self):
        with HalodProcess(config=QUICK_RESTART) as halod:
            undisturbed = [chat(halod.port, body, stream=True) for body in LONG_REQUESTS]
            killed = []

            def kill_three_engines(watchers: list[Watcher]) -> None:
                for _ in range(3):
                    before = n_characters(watchers)
                    wait_for(lambda: n_characters(watchers) > before + 150, "more text")
                    killed.append(halod.wait_for_engine(other_than=killed[-1] if killed else None))
                    os.kill(killed[-1], signal.SIGKILL)

            disturbed = self.disturbed_answers(halod, kill_three_engines)
            self.assert_same_answers(halod, undisturbed, disturbed)
            self.assertEqual(len(set(killed)), 3)
            self.assertEqual(metrics(halod.port)["halod_engine_deaths_total"], 3)

    def test_killed_before_the_first_token_of_a_long_prompt_changes_nothing(self):
        numbers = "\n".join(f"apple{n}: {n * 37 % 10000}" for n in range(60))
        body = ask(f"Here is a list:\n{numbers}\n\nWhat is the code for apple7?", **{**LONG, "max_tokens": 64})
        with HalodProcess(config=QUICK_RESTART) as halod:
            undisturbed = chat(halod.port, body)
            with ThreadPoolExecutor(1) as pool:
                os.kill(halod.engine_pid(), signal.SIGSTOP)  # so that it certainly has not begun
                future = pool.submit(chat, halod.port, body)
                wait_for(lambda: metrics(halod.port)["halod_requests_unfinished"] == 1, "the request to be accepted")
                os.kill(halod.engine_pid(), signal.SIGKILL)
                self.assertEqual(future.result().content, undisturbed.content)
            self.assertEqual(n_resumed(halod.port), 1)

    def test_sampled_answers_with_a_seed_continue_with_the_draws_that_they_would_have_had(self):
        body = ask("Tell me a story.", **{**LONG, "temperature": 1.0, "seed": 7})
        with HalodProcess(config=QUICK_RESTART) as halod:
            undisturbed = chat(halod.port, body, stream=True)
            watcher = Watcher(halod.port, body)
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(watcher.run)
                wait_for(lambda: n_characters([watcher]) > 60, "the first tokens")
                os.kill(halod.engine_pid(), signal.SIGKILL)
                self.assertEqual(future.result().content, undisturbed.content)
            self.assertEqual(n_resumed(halod.port), 1)

    def test_is_reported_by_health_and_metrics_until_the_next_one_is_ready(self):
        with HalodProcess(config={"engine": {"restart_delay_min": "2s"}}) as halod:
            self.assertEqual(request(halod.port, "GET", "/health").status, 200)
            os.kill(halod.engine_pid(), signal.SIGKILL)
            reply = wait_for(lambda: (r := request(halod.port, "GET", "/health")).status != 200 and r, "/health to notice")
            self.assertEqual(reply.status, 503)
            self.assertRegex(reply.body.decode().lower(), "restart|start|engine")
            self.assertEqual(metrics(halod.port)["halod_engine_ready"], 0)
            wait_for(lambda: request(halod.port, "GET", "/health").status == 200, "the next engine")
            self.assertEqual(chat(halod.port, ask("What is 2 + 2?", chat_template_kwargs={"enable_thinking": False})).content,
                             "2 + 2 = 4.")


class AnEngineThatHangs(unittest.TestCase):
    def test_is_replaced_and_its_requests_finish(self):
        config = {"engine": {**QUICK_RESTART["engine"], "heartbeat_interval": "50ms", "heartbeat_timeout": "1s"}}
        with HalodProcess(config=config) as halod:
            undisturbed = chat(halod.port, LONG_REQUESTS[0], stream=True)
            watcher = Watcher(halod.port, LONG_REQUESTS[0])
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(watcher.run)
                wait_for(lambda: n_characters([watcher]) > 60, "the first tokens")
                hung = halod.engine_pid()
                os.kill(hung, signal.SIGSTOP)
                self.assertEqual(future.result().content, undisturbed.content)
            self.assertNotEqual(halod.engine_pid(), hung)
            self.assertEqual(metrics(halod.port)["halod_engine_deaths_total"], 1)


class ManyKills(unittest.TestCase):
    def test_at_random_moments_under_load_lose_no_answer_and_change_none(self):
        """Streams and short questions, one after another on eight connections, while the engine dies every two seconds."""
        with HalodProcess(config=QUICK_RESTART) as halod:
            sums = [(a, b) for a in range(10, 18) for b in range(21, 26)]
            questions = [ask(f"What is {a} + {b}?", chat_template_kwargs={"enable_thinking": False}) for a, b in sums]
            undisturbed = [chat(halod.port, body, stream=True).content for body in questions + LONG_REQUESTS]
            deadline = time.monotonic() + KILL_SECONDS * SLOWDOWN
            chance = random.Random(4)

            def kill_until_done() -> list[int]:
                killed = []
                while time.monotonic() < deadline:
                    time.sleep(chance.uniform(0.2, 3.8) * SLOWDOWN)  # on average two seconds
                    killed.append(halod.wait_for_engine(other_than=killed[-1] if killed else None))
                    os.kill(killed[-1], signal.SIGKILL)
                return killed

            def stream_until_done(idx: int) -> int:
                n_answers = 0
                while time.monotonic() < deadline:
                    long = idx < 4
                    which = (idx + n_answers) % len(LONG_REQUESTS) + len(questions) if long else (7 * idx + n_answers) % len(questions)
                    body = (questions + LONG_REQUESTS)[which]
                    content = chat(halod.port, body, stream=True, timeout=120).content if long else ask_until_ready(halod.port, body)
                    self.assertEqual(content, undisturbed[which])
                    n_answers += 1
                return n_answers

            with ThreadPoolExecutor(9) as pool:
                killer = pool.submit(kill_until_done)
                n_answers = list(pool.map(stream_until_done, range(8)))
                killed = killer.result()
            print(f"  {len(killed)} engines killed in {KILL_SECONDS * SLOWDOWN} s, {sum(n_answers)} answers, "
                  f"{n_resumed(halod.port):.0f} requests resumed", flush=True)
            self.assertGreater(n_resumed(halod.port), 0)
            wait_for(lambda: metrics(halod.port)["halod_engine_deaths_total"] == len(killed), "the last death to be counted")
            for pid in killed:
                lines = [line for line in halod.stderr().splitlines() if re.search(rf" error engine {pid} .*signal 9", line)]
                self.assertEqual(len(lines), 1, f"each death is one line of the log: {lines}")


def ask_until_ready(port: int, body: dict) -> str:
    """A new request between two engines may be told 503; one that was accepted may not fail."""

    def once() -> str | None:
        reply = request(port, "POST", "/v1/chat/completions", body)
        if reply.status == 503:
            return None
        if reply.status != 200:
            raise AssertionError(f"{reply.status}: {reply.body!r}")
        return Answer.from_body(reply.json()).content

    return wait_for(once, "an engine that takes the request")


if __name__ == "__main__":
    run_tests()
