#!/usr/bin/env python3
"""The demo model answers its held-out questions through the HTTP API as well as the reference says.

    accuracy_test.py MODEL_TYPE      Q8_0 or Q4_K_M
"""
import json
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import questions
from api_client import Answer, chat
from halod_process import BIN_DIR, DEMO_MODEL, REFERENCE_DIR, SLOWDOWN, HalodProcess, run_tests

MODEL_TYPE = sys.argv.pop(1) if len(sys.argv) > 1 else "Q8_0"
MODEL = DEMO_MODEL if MODEL_TYPE == "Q8_0" else REFERENCE_DIR / f"demo-moe-{MODEL_TYPE}.gguf"


def ask_all(port: int, asked: list[questions.Question], n_at_a_time: int, stream: bool) -> list[Answer]:
    with ThreadPoolExecutor(n_at_a_time) as pool:
        return list(pool.map(lambda question: chat(port, question.request, stream, timeout=300), asked))


@unittest.skipUnless(MODEL.exists(), f"no {MODEL_TYPE} demo model: HALOD_DEMO_REFERENCE_DIR has no {MODEL.name}")
class TheDemoModel(unittest.TestCase):
    def check_accuracy(self, port: int, n_at_a_time: int, stream: bool) -> dict[str, list[Answer]]:
        by_task, reference, tolerance = questions.figures(MODEL_TYPE)
        too_low, answers, start = [], {}, time.monotonic()
        for task, asked in by_task.items():
            answers[task] = ask_all(port, asked, n_at_a_time, stream)
            share = sum(question.is_answered_by(answer) for question, answer in zip(asked, answers[task])) / len(asked)
            print(f"  {MODEL_TYPE} {task:12} {share:.3f} of {len(asked)} (reference {reference[task]:.3f})", flush=True)
            if share < reference[task] - tolerance:
                too_low.append(f"{task}: {share:.3f}, reference {reference[task]:.3f} - {tolerance:.3f}")
        print(f"  {n_at_a_time} at a time, {'streamed' if stream else 'whole'}: {time.monotonic() - start:.1f} s", flush=True)
        self.assertEqual(too_low, [])
        return answers

    def test_answers_its_held_out_questions_the_same_streamed_and_whole_and_in_company_and_alone(self):
        with HalodProcess(model=MODEL) as halod:
            by_task, _, _ = questions.figures(MODEL_TYPE)
            streamed = self.check_accuracy(halod.port, 8, stream=True)
            for n_at_a_time, stream in ((8, False), (1, True)):
                again = self.check_accuracy(halod.port, n_at_a_time, stream)
                for task, asked in by_task.items():
                    for question, answer, other in zip(asked, again[task], streamed[task]):
                        # Right or wrong: not one character may differ.
                        self.assertEqual((answer.content, answer.reasoning_content, answer.tool_calls, answer.finish_reason),
                                         (other.content, other.reasoning_content, other.tool_calls, other.finish_reason),
                                         f"{task}, {n_at_a_time} at a time: {question.request['messages'][-1]}")

    @unittest.skipUnless(questions.has_reference(), "HALOD_DEMO_REFERENCE_DIR is not there")
    def test_continues_the_reference_prompts_as_the_reference_does(self):
        prompts = json.loads((REFERENCE_DIR / "reference/reference.json").read_text())["prompts"]
        for prompt in prompts:
            with self.subTest(prompt["name"]):
                expected = prompt["greedy_ids"][:prompt["greedy_until_stop"]]
                result = subprocess.run(
                    [BIN_DIR / "halo-bench", "generate", "--model", MODEL, "--ids", ",".join(map(str, prompt["ids"])),
                     "-n", str(len(expected))], capture_output=True, text=True, timeout=60 * SLOWDOWN)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(json.loads(result.stdout)[:len(expected)], expected)


if __name__ == "__main__":
    run_tests()
