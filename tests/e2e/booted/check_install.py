"""The package goes in, and what it brings is right."""
import re

from machine import DEBS, UNIT, check, expect, expect_right_answer, healthy, main_pid, run, show, systemctl, wait_for


@check("the way of docs/paths/native.sh goes from packages to an answer")
def _():
    answer = run("sh", "/e2e/checkout/docs/paths/native.sh", timeout=180).stdout
    expect('"content":"47 + 125 = 172."' in answer, answer)


@check("user and groups are there")
def _():
    groups = run("id", "-nG", "halod").stdout.split()
    expect({"halod", "render", "video"} <= set(groups), f"halod is in {groups}")
    run("getent", "group", "halod-admin")


@check("the package enabled and started the service")
def _():
    expect(systemctl("is-enabled", UNIT) == "enabled")
    wait_for(lambda: systemctl("is-active", UNIT, ok=None) == "active", "the service to be active")
    expect(healthy(), "active, but not healthy")
    expect_right_answer()


@check("units are right in systemd's eyes")
def _():
    for unit in ("halod.service", "halod.socket"):
        result = run("systemd-analyze", "verify", "--man=no", f"/usr/lib/systemd/system/{unit}")
        # It exits 0 on values that it ignores.
        expect(not result.stderr.strip(), result.stderr)


@check("exposure is at most 2.5")
def _():
    output = run("systemd-analyze", "security", "--no-pager", "--threshold=25", UNIT).stdout
    return re.search(r"exposure level for \S+ ([\d.]+)", output).group(1)


@check("installing it again keeps it running")
def _():
    run("dpkg", "-i", *DEBS)
    wait_for(lambda: systemctl("is-active", UNIT, ok=None) == "active" and main_pid(), "the service to be active")
    wait_for(healthy, "health")
    expect(show("Result") == "success")


@check("configuration may be read by halod and its administrator alone")
def _():
    modes = run("stat", "-c", "%U:%G %a", "/etc/halod", "/etc/halod/halod.yaml", "/var/lib/halod/models").stdout.splitlines()
    expect(modes == ["root:halod 750", "root:halod 640", "halod:halod-admin 2775"], str(modes))
