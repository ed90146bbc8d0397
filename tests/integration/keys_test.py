#!/usr/bin/env python3
"""Keys of the API in files: as a configuration has them, as systemd's credentials, and taken up by a reload."""
import tempfile
import unittest
from pathlib import Path

from api_client import request
from halod_process import HalodProcess, run_tests, wait_for


def status(port: int, path: str, key: str | None) -> int:
    return request(port, "GET", path, headers={"Authorization": f"Bearer {key}"} if key else {}).status


class KeysInFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name: str, text: str, mode: int = 0o640) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def test_open_the_api_to_their_keys_and_another_file_does_so_by_a_reload(self):
        users = self.write("users", "# alice\nsesame\n")
        admins = self.write("admins", "boss\n")
        with HalodProcess(config={"http": {"api_keys_file": str(users), "admin_keys_file": str(admins)}}) as halod:
            def may(key: str | None, path: str = "/v1/models") -> bool:
                return status(halod.port, path, key) == 200

            self.assertEqual([may(None), may("sesame"), may("boss"), may("alice")], [False, True, True, False])
            self.assertEqual([may("sesame", "/v1/admin/jobs"), may("boss", "/v1/admin/jobs")], [False, True])
            self.write("users", "mellon\n")
            self.assertTrue(may("sesame"))
            self.assertEqual(request(halod.port, "POST", "/v1/admin/reload", headers={"Authorization": "Bearer boss"}).status, 200)
            self.assertEqual([may("sesame"), may("mellon")], [False, True])
            # A file that cannot be: the old keys stay, and the log names file and line.
            self.write("users", "mellon\nno key\n")
            refused = request(halod.port, "POST", "/v1/admin/reload", headers={"Authorization": "Bearer boss"})
            self.assertEqual(refused.status, 400, refused.body)
            self.assertIn(f"{users}:2:", refused.error()["message"])
            self.assertNotIn("no key", refused.error()["message"])
            self.assertTrue(may("mellon"))
            self.assertNotRegex(halod.stderr(), "sesame|mellon|boss")

    def test_are_credentials_of_the_service(self):
        self.write("keys", "sesame\n", 0o400)
        config = {"http": {"api_keys_file": "$CREDENTIALS_DIRECTORY/keys"}}
        with HalodProcess(config=config, environment={"CREDENTIALS_DIRECTORY": str(self.folder)}) as halod:
            self.assertEqual([status(halod.port, "/v1/models", key) for key in (None, "sesame")], [401, 200])
            self.assertNotIn("every user of this machine", halod.stderr())

    def test_that_everybody_can_read_are_warned_of(self):
        with HalodProcess(config={"http": {"api_keys_file": str(self.write("keys", "sesame\n", 0o644))}}) as halod:
            wait_for(lambda: "every user of this machine can read the keys" in halod.stderr(), "the warning")


if __name__ == "__main__":
    run_tests()
