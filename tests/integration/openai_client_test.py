#!/usr/bin/env python3
"""OpenAI's own JavaScript client talks to halod: models, chat, streams, tools, usage, errors, abort."""
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from halod_process import BIN_DIR, SLOWDOWN, HalodProcess, run_tests

CLIENT_DIR = Path(__file__).resolve().parent / "openai-client"
# The client is installed below the build folder, so that the sources stay as they are.
INSTALLED_DIR = BIN_DIR.parent / "openai-client"


def major_version_of_node() -> int:
    try:
        output = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return 0
    match = re.match(r"v(\d+)\.", output)
    return int(match.group(1)) if match else 0


def install_client() -> None:
    """`npm ci` of the locked version; raises SkipTest when the registry cannot be reached."""
    INSTALLED_DIR.mkdir(parents=True, exist_ok=True)
    for path in CLIENT_DIR.iterdir():
        if path.is_file():
            shutil.copy(path, INSTALLED_DIR)
    lock = (CLIENT_DIR / "package-lock.json").read_text()
    stamp = INSTALLED_DIR / "node_modules/.installed-lock"
    if stamp.exists() and stamp.read_text() == lock:
        return
    result = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=INSTALLED_DIR, capture_output=True,
                            text=True, timeout=300, env={**os.environ, "npm_config_fetch_retries": "1"})
    if result.returncode != 0:
        if re.search(r"ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|network", result.stderr):
            raise unittest.SkipTest(f"the npm registry cannot be reached: {result.stderr.strip().splitlines()[-1]}")
        raise AssertionError(f"npm ci failed:\n{result.stderr}")
    stamp.write_text(lock)


class OpenAisOwnClient(unittest.TestCase):
    def test_understands_everything_that_halod_answers(self):
        if major_version_of_node() < 18 or not shutil.which("npm"):
            self.skipTest("needs node >= 18 and npm")
        install_client()
        with HalodProcess() as halod:
            result = subprocess.run(["node", "client_test.mjs", f"http://127.0.0.1:{halod.port}"], cwd=INSTALLED_DIR,
                                    capture_output=True, text=True, timeout=120 * SLOWDOWN)
            print(result.stdout, result.stderr, flush=True)
            self.assertEqual(result.returncode, 0)


if __name__ == "__main__":
    run_tests()
