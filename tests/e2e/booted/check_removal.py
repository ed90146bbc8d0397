"""The package goes out again, and leaves what is the administrator's."""
from pathlib import Path

from machine import CONFIG, DEBS, UNIT, check, expect, healthy, n_engines, run, systemctl, wait_for

MODEL = Path("/var/lib/halod/models/mine.gguf")


@check("removing it stops the service and keeps the configuration")
def _():
    run("dpkg", "-r", "halod")
    expect(systemctl("is-active", UNIT, ok=None) == "inactive")
    expect(n_engines() == 0, "an engine is left")
    expect(CONFIG.exists() and not Path("/usr/bin/halod").exists())


@check("installing it once more serves again")
def _():
    run("dpkg", "-i", "--force-confold", *DEBS)
    wait_for(healthy, "health")


@check("a purge takes the configuration, and leaves models")
def _():
    MODEL.touch()
    run("dpkg", "-P", "halod")
    expect(not Path("/etc/halod").exists() and not Path("/var/cache/halod").exists())
    expect(MODEL.exists())
    left = run("find", "/etc/systemd", "-name", "*halod*", "-not", "-name", "halod-e2e*").stdout
    expect(not left, left)
