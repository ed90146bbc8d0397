"""What checks are made of: a registry, and the ways to fail."""
import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Check:
    description: str
    function: Callable[[], str | None]
    name: str = ""  # for --check
    after: str = ""  # the check from whose state it goes on


CHECKS: list[Check] = []


class SkipCheck(Exception):
    pass


def check(description: str, name: str = "", after: str = ""):
    """The function is a check: it passes unless it raises. What it returns is shown beside the description."""
    def add(function):
        CHECKS.append(Check(description, function, name, after))
        return function
    return add


def chosen_names() -> list[str]:
    """Those of --check; none stands for all."""
    return os.environ.get("HALOD_ANSIBLE_CHECKS", "").split()


def chosen() -> list[Check]:
    """The checks with names of --check, and what they go on from; all where none of them has a name that is asked for."""
    wanted = set(chosen_names())
    for one in reversed(CHECKS):
        if one.name and one.name in wanted:
            wanted.add(one.after)
    return [one for one in CHECKS if one.name in wanted] if any(one.name for one in CHECKS) and wanted else list(CHECKS)


def expect(condition, message: str = "") -> None:
    if not condition:
        raise AssertionError(message or "it is not so")


@contextmanager
def temporary_folder():
    with tempfile.TemporaryDirectory(prefix="halod-ansible-") as folder:
        yield Path(folder)
