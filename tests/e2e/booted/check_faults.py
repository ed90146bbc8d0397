"""The engine dies or hangs, halod hangs: what clients and administrators see."""
import signal
from pathlib import Path

from machine import (DROP_IN, PORT, UNIT, LongAnswer, check, engine_pid, expect, expect_right_answer, healthy, journal, main_pid, restart,
                     send, show, systemctl, wait_for, wait_for_status, write_config)

ENGINE_DIED = "ac3f70612dcf4c81a75007e4999dc8f2"
undisturbed = ""


def disturb_engine(number: signal.Signals) -> None:
    before, engine = main_pid(), engine_pid()
    text = LongAnswer().disturbed(lambda: send(engine, number))
    expect(text == undisturbed, f"another answer:\n{text}\n{undisturbed}")
    expect(main_pid() == before and show("NRestarts") == "0", "halod itself was restarted")
    wait_for(healthy, "health")
    # An engine that hangs after the last token is noticed a moment after the answer.
    entries = wait_for(lambda: journal(f"MESSAGE_ID={ENGINE_DIED}", f"HALOD_ENGINE_PID={engine}"), "the engine's death in the journal")
    expect(len(entries) == 1 and entries[0]["PRIORITY"] == "3", str(entries))


@check("with a quick heartbeat and a quick watchdog it starts")
def _():
    global undisturbed
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text("[Service]\nWatchdogSec=2s\n")
    systemctl("daemon-reload")
    write_config(engine={"heartbeat_interval": "100ms", "heartbeat_timeout": "2s", "restart_delay_min": "100ms"})
    restart()
    undisturbed = LongAnswer().whole()


@check("an engine killed during a stream changes no character of the answer")
def _():
    disturb_engine(signal.SIGKILL)


@check("nor does one that crashes")
def _():
    disturb_engine(signal.SIGSEGV)


@check("nor does one that hangs")
def _():
    disturb_engine(signal.SIGSTOP)


@check("the status says that the engine is being restarted, and then that it serves")
def _():
    write_config(engine={"heartbeat_interval": "100ms", "heartbeat_timeout": "2s", "restart_delay_min": "3s", "restart_delay_max": "3s"})
    restart()
    send(engine_pid(), signal.SIGKILL)
    status = wait_for_status(r"the engine was killed by signal 9 \(Killed\) and is being restarted")
    expect(systemctl("is-active", UNIT) == "active")
    wait_for_status("serving")
    return status


@check("halod that hangs is restarted by the watchdog")
def _():
    restart()
    before, engine = main_pid(), engine_pid()
    n_restarts = int(show("NRestarts"))
    send(before, signal.SIGSTOP)
    wait_for(lambda: int(show("NRestarts")) > n_restarts, "the watchdog", timeout=30)
    wait_for(lambda: systemctl("is-active", UNIT, ok=None) == "active", "the next halod")
    expect(main_pid() != before and not Path(f"/proc/{engine}").exists(), "something of the old one is left")
    expect(any("Watchdog timeout" in entry["MESSAGE"] for entry in journal("-u", UNIT)), "nobody says that it was the watchdog")
    wait_for(healthy, "health")
    expect_right_answer(PORT)


@check("everything back to normal")
def _():
    DROP_IN.unlink()
    systemctl("daemon-reload")
    write_config()
    restart()
