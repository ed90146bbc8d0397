#!/usr/bin/env python3
"""firewall-cmd and ufw of a simulated machine, by the name that it is called by.

Keeps the rules in $SIMULATED_ROOT/firewall.json and appends each call to calls.log there; answers in the words and exit statuses of firewalld 1.3
and ufw 0.36, and refuses what they would not understand.
"""
import ipaddress
import json
import os
import re
import shlex
import sys
from pathlib import Path

root = Path(os.environ["SIMULATED_ROOT"])
name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
with open(root / "calls.log", "a") as log:
    log.write(shlex.join([name, *arguments]) + "\n")
file = root / "firewall.json"
state = json.loads(file.read_text())  # {"permanent": [...], "now": [...]}


def save() -> None:
    file.write_text(json.dumps(state))


def canonical(kind: str, value: str) -> str:
    """A port or a rich rule as firewalld keeps it."""
    if kind == "port" and re.fullmatch(r"\d+/(tcp|udp)", value):
        return value
    rule = re.fullmatch(r"rule family=(ipv[46]) source address=(\S+) port port=(\d+) protocol=(tcp|udp) accept", value.replace('"', ""))
    if kind != "rich-rule" or not rule:
        sys.exit(f"Error: INVALID_RULE: {value}")
    if f"ipv{ipaddress.ip_network(rule.group(2), strict=False).version}" != rule.group(1):
        sys.exit(f"Error: INVALID_ADDR: '{rule.group(2)}' is not valid for {rule.group(1)}")
    return value


def firewall_cmd() -> int:
    if arguments == ["--state"]:
        print("running")
        return 0
    if arguments == ["--reload"]:
        state["now"] = list(state["permanent"])
        print("success")
        return 0
    order = re.fullmatch(r"--(query|add|remove)-(port|rich-rule)=(.+)", arguments[1] if arguments[0] == "--permanent" and len(arguments) == 2 else "")
    if not order:
        sys.exit(f"usage: unrecognized arguments: {arguments}")
    verb, kind, rule = order.group(1), order.group(2), canonical(order.group(2), order.group(3))
    there = rule in state["permanent"]
    if verb == "query":
        print("yes" if there else "no")
        return 0 if there else 1
    if (verb == "add") == there:
        print(f"Warning: {'ALREADY_ENABLED' if there else 'NOT_ENABLED'}: {rule}", file=sys.stderr)
    elif verb == "add":
        state["permanent"].append(rule)
    else:
        state["permanent"].remove(rule)
    print("success")
    return 0


def ufw() -> int:
    if arguments == ["status"]:
        print("Status: active")
        return 0
    words = [word for word in arguments if word != "--dry-run"]
    deleting = words[:1] == ["delete"]
    rule = " ".join(words[deleting:])
    if not re.fullmatch(r"allow proto tcp from \S+ to any port \d+", rule):
        sys.exit("ERROR: Invalid syntax")
    there, dry = rule in state["now"], "--dry-run" in arguments
    if there != deleting:
        print("Could not delete non-existent rule" if deleting else "Skipping adding existing rule")
        return 0
    if not dry:
        (state["now"].remove if deleting else state["now"].append)(rule)
    print("*filter\nCOMMIT\n" if dry else "Rule deleted" if deleting else "Rule added")
    return 0


status = {"firewall-cmd": firewall_cmd, "ufw": ufw}[name]()
save()
sys.exit(status)
