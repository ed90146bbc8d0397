#!/usr/bin/env python3
"""Folders as Hugging Face publishes them: found, inspected, loaded, swapped and asked like GGUF files."""
import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from api_client import request
from halod_process import BIN_DIR, CONFORMANCE_DIR, SLOWDOWN, HalodProcess, run_tests

KIT = CONFORMANCE_DIR / "safetensors"
ADMIN = {"Authorization": "Bearer boss"}
MODELS = {"qwen3moe-bf16": "BF16", "qwen3moe-gptq4-sym": "INT4_G128", "qwen3moe-awq4": "INT4_G128"}


def ask(port: int, model: str, **more) -> dict:
    body = {"model": model, "messages": [{"role": "user", "content": "the"}], "temperature": 0, "max_tokens": 8, **more}
    reply = request(port, "POST", "/v1/chat/completions", body, timeout=60 * SLOWDOWN)
    assert reply.status == 200, reply.body
    return reply.json()


@unittest.skipUnless(KIT.is_dir(), f"no conformance kit at {KIT}")
class FoldersOfModels(unittest.TestCase):
    def test_are_served_and_swapped(self):
        config = {"http": {"admin_keys": ["boss"]}, "models": {"directory": str(KIT), "load_on_request": True}}
        with HalodProcess(model=KIT / "qwen3moe-bf16/", config=config) as halod:
            listed = request(halod.port, "GET", "/v1/models").json()["data"]
            self.assertEqual({model["id"] for model in listed}, set(MODELS))
            answers = {}
            for name in MODELS:
                loaded = request(halod.port, "POST", "/v1/admin/models/swap", {"model": name, "wait": True}, headers=ADMIN,
                                 timeout=60 * SLOWDOWN)
                self.assertEqual(loaded.status, 200, loaded.body)
                answer = ask(halod.port, name)
                self.assertEqual(answer["model"], name)
                self.assertGreater(answer["usage"]["completion_tokens"], 0)
                answers[name] = answer["choices"][0]["message"]["content"]
            self.assertEqual(ask(halod.port, "qwen3moe-awq4")["choices"][0]["message"]["content"], answers["qwen3moe-awq4"])

    def test_tell_what_they_are(self):
        for name, experts in MODELS.items():
            done = subprocess.run([BIN_DIR / "halo-bench", "inspect", KIT / name, "--bandwidth", "100"], capture_output=True,
                                  text=True, timeout=60 * SLOWDOWN)
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
            self.assertTrue(report["runnable"], report["problems"])
            self.assertEqual(report["architecture"], "qwen3moe")
            self.assertEqual([g["format"] for g in report["formats"] if g["kind"] == "experts"], [experts])
            self.assertEqual(report["tokenizer"]["vocabulary"], 320)
            self.assertTrue(report["tokenizer"]["chat_template"])
            self.assertTrue(report["memory"]["fits"])

    def test_say_what_is_wrong_with_them(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = Path(folder) / "broken"
            shutil.copytree(KIT / "qwen3moe-bf16", broken)
            (broken / "model-00002-of-00002.safetensors").unlink()
            done = subprocess.run([BIN_DIR / "haloctl", "inspect", broken], capture_output=True, text=True,
                                  timeout=60 * SLOWDOWN)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("model-00002-of-00002.safetensors", done.stderr)


if __name__ == "__main__":
    run_tests()
