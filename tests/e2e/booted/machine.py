"""What checks need: commands, the unit's state, its configuration, the journal, and halod's HTTP API."""
import json
import os
import re
import signal
from pathlib import Path

from api_client import ENDLESS, Answer, Stream, ask, chat, request
from checks import CHECKS, SkipCheck, check, expect, run, wait_for  # noqa: F401 (what checks import from here)

UNIT = "halod.service"
PORT = 8000
CONFIG = Path("/etc/halod/halod.yaml")
DROP_IN = Path("/run/systemd/system/halod.service.d/e2e.conf")
DEBS = sorted(Path("/e2e/checkout/build/cpu-release/packages").glob("*.deb"))
DEMO = "demo-moe-Q8_0"
# The end-of-text tokens are banned: the answer is long enough to be disturbed in its middle.
LONG = {**ENDLESS, "max_tokens": 400}


def systemctl(*arguments: str, ok: bool | None = True) -> str:
    result = run("systemctl", *arguments, ok=ok)
    return (result.stdout + result.stderr).strip()


def show(name: str, unit: str = UNIT) -> str:
    return systemctl("show", "-P", name, unit)


def main_pid() -> int:
    return int(show("MainPID"))


def engine_pid() -> int | None:
    for path in Path(f"/proc/{main_pid()}/task").glob("*/children"):
        for pid in path.read_text().split():
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() == "halo-engine":
                    return int(pid)
            except FileNotFoundError:
                pass
    return None


def n_engines() -> int:
    """In the whole system."""
    n = 0
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            n += path.read_text().strip() == "halo-engine"
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended between the two looks
    return n


def wait_for_status(pattern: str) -> str:
    """Until `systemctl status` says what the regular expression describes, in any part of it."""
    texts = []

    def find():
        texts.append(show("StatusText"))
        return texts[-1] if re.search(pattern, texts[-1]) else None

    try:
        return wait_for(find, "")
    except AssertionError:
        raise AssertionError(f"the status never said '{pattern}'; it said {list(dict.fromkeys(texts))}") from None


def healthy(port: int = PORT) -> bool:
    try:
        return request(port, "GET", "/health", timeout=5).status == 200
    except OSError:
        return False


def write_config(**sections) -> None:
    """The configuration file as nested dicts; YAML's flow style is a superset of JSON."""
    CONFIG.write_text(json.dumps({"models": {"directory": "/var/lib/halod/models"}, **sections}))


def restart() -> None:
    systemctl("reset-failed", UNIT, ok=None)
    systemctl("restart", UNIT)
    expect(healthy(), "started, but not healthy")


def journal(*matches: str) -> list[dict]:
    run("journalctl", "--sync")
    output = run("journalctl", "-o", "json", "--no-pager", *matches).stdout
    return [json.loads(line) for line in output.splitlines()]


def sum_question(a: int, b: int) -> dict:
    return ask(f"What is {a} + {b}?", chat_template_kwargs={"enable_thinking": False})


def expect_right_answer(port: int = PORT) -> None:
    answer = chat(port, sum_question(47, 125)).content
    expect(answer == "47 + 125 = 172.", f"the answer is {answer!r}")


class LongAnswer:
    """A long greedy answer, read piece by piece."""

    def __init__(self, first: int = 1):
        self.body = ask(f"Count from {first} to {first + 40}.", **LONG)

    def whole(self) -> str:
        return chat(PORT, self.body, stream=True).content

    def disturbed(self, disturb, after_characters: int = 60) -> str:
        answer, disturbed = Answer(), False
        with Stream(PORT, "/v1/chat/completions", self.body, timeout=60) as events:
            for event in events:
                answer.add_event(event)
                if not disturbed and len(answer.content) > after_characters:
                    disturbed = True
                    disturb()
            expect(events.finished, "the stream ended without [DONE]")
        expect(disturbed, "the answer was over before it could be disturbed")
        return answer.content


def send(pid: int, number: signal.Signals) -> None:
    os.kill(pid, number)
