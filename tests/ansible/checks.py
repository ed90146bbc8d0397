"""What checks are made of: a registry, and the ways to fail."""
import tempfile
from contextlib import contextmanager
from pathlib import Path

CHECKS = []


class SkipCheck(Exception):
    pass


def check(description: str):
    """The function is a check: it passes unless it raises. What it returns is shown beside the description."""
    def add(function):
        CHECKS.append((description, function))
        return function
    return add


def expect(condition, message: str = "") -> None:
    if not condition:
        raise AssertionError(message or "it is not so")


@contextmanager
def temporary_folder():
    with tempfile.TemporaryDirectory(prefix="halod-ansible-") as folder:
        yield Path(folder)
