"""Checks, one line of output each: what the end-to-end tests are made of, on this machine and in the booted one."""
import subprocess
import sys
import time
import traceback

CHECKS = []
SKIPPED = 77


class SkipCheck(Exception):
    pass


def check(description: str):
    """The function is a check: it passes unless it raises. What it returns is shown beside the description."""
    def add(function):
        CHECKS.append((description, function))
        return function
    return add


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


def run_check(description: str, function, explain=lambda: "") -> str:
    """Prints its line, and after a failure what `explain` knows. "passed", "failed" or "skipped"."""
    try:
        detail = function()
        print(f"ok - {description}{f' ({detail})' if detail else ''}", flush=True)
        return "passed"
    except SkipCheck as reason:
        print(f"skipped - {description}: {reason}", flush=True)
        return "skipped"
    except Exception:  # whatever it is, the next check is run
        print(f"NOT OK - {description}")
        for line in (traceback.format_exc() + explain()).splitlines():
            print(f"   # {line}", flush=True)
        return "failed"


def summary(outcomes: list[str]) -> str:
    """The last line of a program of checks, which scripts/check reads."""
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))


def run_all() -> None:
    """Every check of this program, on this machine; exits."""
    outcomes = [run_check(description, function) for description, function in CHECKS]
    print(summary(outcomes))
    sys.exit(1 if "failed" in outcomes else 0)
