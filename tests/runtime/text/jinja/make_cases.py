#!/usr/bin/env python3
"""Renders every template of cases.json with Jinja2, as Hugging Face sets it up, and writes the results back.

    python3 tests/runtime/text/jinja/make_cases.py        (needs Debian's python3-jinja2)

To add cases, append {"template": "..."} to the list and run this. A case has `expected`, or `fails` where Python raises.
"""
import datetime
import json
import sys
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

CASES = Path(__file__).with_name("cases.json")


class Generation(jinja2.ext.Extension):
    """{% generation %}: a block that marks what the assistant said; it prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise RuntimeError(message)


def make_environment() -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    now = datetime.datetime(2025, 12, 24, 13, 5, 9)
    environment.globals["strftime_now"] = now.strftime
    return environment


def main() -> int:
    document = json.loads(CASES.read_text(encoding="utf-8"))
    environment = make_environment()
    document["jinja2"] = jinja2.__version__
    for case in document["cases"]:
        case.pop("expected", None)
        case.pop("fails", None)
        try:
            case["expected"] = environment.from_string(case["template"]).render(**document["context"])
        except Exception:  # whatever Python does, we must fail as well
            case["fails"] = True
    lines = ",\n".join("    " + json.dumps(case, ensure_ascii=False) for case in document["cases"])
    head = {key: value for key, value in document.items() if key != "cases"}
    text = json.dumps(head, ensure_ascii=False, indent=2)[:-2] + ',\n  "cases": [\n' + lines + "\n  ]\n}\n"
    CASES.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
