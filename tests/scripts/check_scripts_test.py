#!/usr/bin/env python3
"""Each check-* script must find what it is there to find, and must not find it where it is not."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TABLE = """## Folders, and who may include whom

| folder | what | may include |
|---|---|---|
| `base` | the bottom | nothing of ours |
| `middle` | between | `base` |
| `middle/deep` | more of it | `base`, `top/window.h` |
| `top` | above | `base`, `middle` |

## Next heading
| `ignored` | not of the table | `base` |
"""


class ScriptTest(unittest.TestCase):
    script = ""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def run_script(self) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, str(SCRIPTS / self.script), str(self.root)], capture_output=True, text=True)

    def assert_accepts(self) -> None:
        result = self.run_script()
        self.assertEqual(result.returncode, 0, result.stderr)

    def assert_refuses(self, *parts: str) -> None:
        result = self.run_script()
        self.assertEqual(result.returncode, 1, result.stdout)
        for part in parts:
            self.assertIn(part, result.stderr)


class TheIncludeRule(ScriptTest):
    script = "check-includes"

    def setUp(self):
        super().setUp()
        self.write({"ARCHITECTURE.md": TABLE, "base/a.h": "#include <vector>\n", "middle/b.h": '#include "base/a.h"\n',
                    "middle/deep/c.h": '#include "base/a.h"\n', "top/window.h": "", "top/d.cpp": '#include "middle/deep/c.h"\n'})

    def test_accepts_includes_that_the_table_allows(self):
        self.assert_accepts()

    def test_refuses_an_include_that_points_up(self):
        self.write({"base/a.h": '#include "top/window.h"\n'})
        self.assert_refuses("base/a.h", "`base` may not include `top/window.h`")

    def test_applies_the_row_of_the_deepest_folder(self):
        self.write({"middle/deep/c.h": '#include "middle/b.h"\n'})
        self.assert_refuses("`middle/deep` may not include `middle/b.h`")

    def test_allows_a_single_header_without_the_rest_of_its_folder(self):
        self.write({"middle/deep/c.h": '#include "top/window.h"\n', "top/d.cpp": ""})
        self.assert_accepts()
        self.write({"top/other.h": "", "middle/deep/c.h": '#include "top/other.h"\n'})
        self.assert_refuses("may not include `top/other.h`")

    def test_refuses_a_cycle_of_folders(self):
        self.write({"middle/deep/c.h": '#include "top/window.h"\n'})
        self.assert_refuses("folders include each other in a cycle")

    def test_refuses_a_cycle_of_headers_in_one_folder(self):
        self.write({"base/a.h": '#include "base/x.h"\n', "base/x.h": '#include "base/a.h"\n'})
        self.assert_refuses("files include each other in a cycle: base/a.h -> base/x.h -> base/a.h")

    def test_refuses_an_include_that_is_not_from_the_root(self):
        self.write({"middle/b.h": '#include "a.h"\n'})
        self.assert_refuses('includes "a.h", which is not a path from the root')

    def test_refuses_a_file_that_no_row_covers(self):
        self.write({"ARCHITECTURE.md": TABLE.replace("| `top` |", "| `top/sub` |"), "middle/deep/c.h": ""})
        self.assert_refuses("top/window.h: no row")


class TheDocsRule(ScriptTest):
    script = "check-docs"

    def setUp(self):
        super().setUp()
        self.write({"README.md": "", "docs/guide.md": "", "base/a.h": "", "base/b.h": ""})

    def test_accepts_paths_that_exist(self):
        self.write({"README.md": "See `base/a.h`, `base/*.h`, `base/<name>.h`, [guide](docs/guide.md#top), `build/bin/x`, `a/b`."})
        self.assert_accepts()

    def test_refuses_a_path_in_backticks_that_does_not_exist(self):
        self.write({"docs/guide.md": "Edit `base/gone.h` first."})
        self.assert_refuses("docs/guide.md: names base/gone.h")

    def test_refuses_a_link_to_nothing(self):
        self.write({"README.md": "[there](docs/missing.md)"})
        self.assert_refuses("names docs/missing.md")

    def test_refuses_a_pattern_that_matches_nothing(self):
        self.write({"README.md": "`base/*.hip`"})
        self.assert_refuses("names base/*.hip")

    def test_looks_at_every_word_of_a_command(self):
        self.write({"README.md": "`base/a.h --with base/gone.h`"})
        self.assert_refuses("names base/gone.h")

    def test_leaves_fenced_blocks_alone(self):
        self.write({"README.md": "```\n`base/gone.h`\n```\n"})
        self.assert_accepts()


class TheLengthRule(ScriptTest):
    script = "check-lines"

    def test_accepts_400_lines_and_refuses_401(self):
        self.write({"base/a.cpp": "x\n" * 400})
        self.assert_accepts()
        self.write({"base/a.cpp": "x\n" * 401})
        self.assert_refuses("base/a.cpp has 401 lines")

    def test_accepts_a_long_file_that_says_why(self):
        self.write({"base/a.cpp": "// One table, longer than 400 lines because it has 500 rows.\n" + "x\n" * 500})
        self.assert_accepts()

    def test_leaves_built_files_alone(self):
        self.write({"build/a.cpp": "x\n" * 500})
        self.assert_accepts()


# The base class has no script of its own.
del ScriptTest

if __name__ == "__main__":
    unittest.main()
