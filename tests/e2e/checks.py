"""Checks, one line of output each: what the end-to-end tests and those of ansible/ are made of, on this machine and in booted ones."""
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Check:
    description: str
    function: Callable[[], str | None]
    name: str = ""  # by which it can be chosen
    after: str = ""  # the name of the check from whose state it goes on


CHECKS: list[Check] = []
SKIPPED = 77


class SkipCheck(Exception):
    pass


def check(description: str, name: str = "", after: str = ""):
    """The function is a check: it passes unless it raises. What it returns is shown beside the description."""
    def add(function):
        CHECKS.append(Check(description, function, name, after))
        return function
    return add


def chosen(names: list[str]) -> list[Check]:
    """The checks with these names, and what they go on from; all when none is named."""
    wanted = set(names)
    for one in reversed(CHECKS):
        if one.name and one.name in wanted:
            wanted.add(one.after)
    return [one for one in CHECKS if one.name in wanted] if names else list(CHECKS)


def run(*command, ok: bool | None = True, timeout: float = 60, **options) -> subprocess.CompletedProcess:
    """ok: whether it has to succeed or to fail; None: either."""
    command = [str(argument) for argument in command]
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, errors="replace", **options)
    if ok is not None and (result.returncode == 0) != ok:
        raise AssertionError(f"{' '.join(command)}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def expect(condition, message: str = "") -> None:
    if not condition:
        raise AssertionError(message or "it is not so")


def wait_for(condition, what: str, timeout: float = 30):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout:.0f} s in vain for {what}")


@contextmanager
def temporary_folder():
    with tempfile.TemporaryDirectory(prefix="halod-test-") as folder:
        yield Path(folder)


def run_check(one: Check, explain: Callable[[], str] = lambda: "") -> str:
    """Prints its line, and after a failure what `explain` knows. "passed", "failed" or "skipped"."""
    start = time.monotonic()
    try:
        detail = one.function()
        seconds = time.monotonic() - start
        details = ", ".join([detail] * bool(detail) + [f"{seconds:.0f} s"] * (seconds >= 0.5))
        print(f"ok - {one.description}{f' ({details})' if details else ''}", flush=True)
        return "passed"
    except SkipCheck as reason:
        print(f"skipped - {one.description}: {reason}", flush=True)
        return "skipped"
    except Exception:  # whatever it is, the next check is run
        print(f"NOT OK - {one.description}")
        for line in (traceback.format_exc() + explain()).splitlines():
            print(f"   # {line}", flush=True)
        return "failed"


def summary(outcomes: list[str]) -> str:
    """The last line of a program of checks, which scripts/check reads."""
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))


def run_all() -> None:
    """Every check of this program, on this machine; exits."""
    outcomes = [run_check(one) for one in CHECKS]
    print(summary(outcomes))
    sys.exit(1 if "failed" in outcomes else 0)
