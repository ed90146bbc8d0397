"""The power profile: the real power-profiles-daemon, and polkit with the rule that the package brings for halod's user."""
import re
from pathlib import Path

from machine import SkipCheck, check, expect, expect_right_answer, restart, run, show, systemctl, wait_for, write_config

DAEMON = "power-profiles-daemon.service"
DAEMON_DROP_IN = Path(f"/run/systemd/system/{DAEMON}.d/e2e.conf")
POWER = ["io.halod.Halod1", "/io/halod/Halod1", "io.halod.Halod1.Power"]
PROFILES = ["net.hadess.PowerProfiles", "/net/hadess/PowerProfiles", "net.hadess.PowerProfiles"]


def get(place: list[str], name: str) -> str:
    return run("busctl", "--system", "get-property", *place, name).stdout.strip()


def start_daemon() -> None:
    if not Path("/usr/libexec/power-profiles-daemon").exists():
        raise SkipCheck("power-profiles-daemon is not installed")
    DAEMON_DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    # A driver that has every profile and changes nothing.
    DAEMON_DROP_IN.write_text("[Service]\nEnvironment=POWER_PROFILE_DAEMON_FAKE_DRIVER=1\n")
    systemctl("daemon-reload")
    # Debian 13's is ordered after the end of the boot, which these checks are part of.
    systemctl("restart", "--job-mode=ignore-dependencies", DAEMON)


@check("the power profile is left alone unless the configuration says otherwise")
def _():
    start_daemon()
    restart()
    expect_right_answer()
    expect(get(PROFILES, "ActiveProfile") == 's "balanced"' and get(POWER, "PowerProfileHeld") == "b false")


@check("halod's user may hold the profile, does so while it works, and gives it back")
def _():
    start_daemon()
    write_config(power={"hold_profile": "performance", "release_after": "2s"})
    systemctl("reload", "halod")
    expect_right_answer()
    wait_for(lambda: get(POWER, "PowerProfileHeld") == "b true", f"the hold; problem: {get(POWER, 'PowerProfileProblem')}")
    expect(get(PROFILES, "ActiveProfile") == 's "performance"', get(PROFILES, "ActiveProfile"))
    expect(show("User") == "halod")
    wait_for(lambda: get(PROFILES, "ActiveProfile") == 's "balanced"', "the profile of before")
    expect(get(POWER, "PowerProfileHeld") == "b false")


@check("other users without a session at the machine may not")
def _():
    start_daemon()
    message = run("runuser", "-u", "nobody", "--", "busctl", "--system", "call", *PROFILES, "HoldProfile", "sss", "performance", "test", "test",
                  ok=False).stderr
    expect(re.search("denied|authoriz", message, re.IGNORECASE), message)


@check("a profile that is held ends with the service")
def _():
    start_daemon()
    write_config(power={"hold_profile": "performance", "release_after": "1h"})
    restart()
    wait_for(lambda: get(PROFILES, "ActiveProfile") == 's "performance"', "the hold for the first load")
    systemctl("kill", "--signal=KILL", "halod")
    wait_for(lambda: show("NRestarts") != "0" and get(POWER, "PowerProfileHeld") == "b true", "the hold of the next one")
    expect(get(PROFILES, "ActiveProfileHolds").startswith("aa{sv} 1 "), get(PROFILES, "ActiveProfileHolds"))
    write_config()
    restart()
    expect(get(PROFILES, "ActiveProfileHolds") == "aa{sv} 0", get(PROFILES, "ActiveProfileHolds"))
    expect(get(PROFILES, "ActiveProfile") == 's "balanced"')
