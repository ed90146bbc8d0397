"""Start, status, configuration, stop."""
import shutil
import signal
import threading
from pathlib import Path

from api_client import ask, chat, request
from machine import (CONFIG, DEMO, DROP_IN, PORT, UNIT, LongAnswer, check, engine_pid, expect, expect_right_answer, healthy, main_pid, n_engines, restart,
                     run, send, show, systemctl, wait_for, wait_for_status, write_config)


def n_answered_tokens() -> int:
    return chat(PORT, ask("What is 47 + 125?")).usage["completion_tokens"]


@check("`systemctl start` returns when requests are answered, not before")
def _():
    systemctl("stop", UNIT)
    systemctl("start", UNIT)
    expect(healthy(), "started, but not healthy")
    expect_right_answer()


@check("status says what is served")
def _():
    return wait_for_status(f"serving {DEMO}, idle")


@check("status says what runs, and how fast")
def _():
    seen = threading.Event()

    def ask_until_seen():
        while not seen.is_set():
            LongAnswer().whole()

    thread = threading.Thread(target=ask_until_seen)
    thread.start()
    try:
        # Between two answers it may say for a moment that the next one waits.
        text = wait_for_status(rf"^serving {DEMO}, 1 running, \d+\.\d tok/s$")
    finally:
        seen.set()
        thread.join()
    wait_for_status("idle")
    return text


@check("halod and its engine run as halod, without capabilities")
def _():
    for pid in (main_pid(), engine_pid()):
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        expect(fields["Uid"].split()[0] == run("id", "-u", "halod").stdout.strip(), fields["Uid"])
        expect(int(fields["CapEff"], 16) == 0 and fields["NoNewPrivs"] == "1", status)


@check("out of memory, the engine goes before halod, and the service goes on")
def _():
    expect(show("OOMPolicy") == "continue", show("OOMPolicy"))
    expect(show("OOMScoreAdjust") == "-500", show("OOMScoreAdjust"))
    # A container may not be allowed to lower halod's; anybody may raise his own.
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (main_pid(), engine_pid())]
    expect(scores in ([-500, 500], [0, 500]), str(scores))
    expect(show("LimitMEMLOCK") == "infinity", show("LimitMEMLOCK"))


@check("a reload applies a changed configuration to the same process")
def _():
    before = main_pid()
    write_config(defaults={"max_tokens": 5, "temperature": 0})
    systemctl("reload", UNIT)
    wait_for(lambda: n_answered_tokens() == 5, "the new default")
    expect(main_pid() == before, "halod was restarted")


@check("a reload of a wrong file is refused, and nothing changes")
def _():
    before = main_pid()
    CONFIG.write_text("defaults:\n  max_tokns: 7\n")
    message = systemctl("reload", UNIT, ok=False)
    expect(main_pid() == before and systemctl("is-active", UNIT) == "active", message)
    expect(n_answered_tokens() == 5, "the old configuration is gone")


@check("so is one by SIGHUP, and the status says so until the file is right again")
def _():
    before = main_pid()
    send(before, signal.SIGHUP)
    status = wait_for_status("the configuration was not changed")
    expect("did you mean 'defaults.max_tokens'?" in status, status)
    expect(main_pid() == before and systemctl("is-active", UNIT) == "active", "halod was restarted")
    expect(n_answered_tokens() == 5, "the old configuration is gone")
    write_config()
    systemctl("reload", UNIT)
    wait_for(lambda: "not changed" not in show("StatusText"), "the status to forget it")
    return status


@check("loading may take longer than TimeoutStartSec= while it gets on")
def _():
    systemctl("stop", UNIT)
    slow = Path("/usr/local/bin/slow-engine")
    slow.write_text("#!/bin/sh\nsleep 4\nexec /usr/libexec/halod/halo-engine \"$@\"\n")
    slow.chmod(0o755)
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text("[Service]\nTimeoutStartSec=2s\n")
    systemctl("daemon-reload")
    write_config(engine={"binary": str(slow)})
    try:
        restart()
    finally:
        DROP_IN.unlink()
        systemctl("daemon-reload")
        write_config()
    restart()


@check("keys are credentials of the service: a file that only root may read opens the API to who bears them")
def _():
    keys = CONFIG.with_name("api-keys")
    keys.touch(0o600)
    keys.write_text("# alice\nsesame\n")
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(f"[Service]\nLoadCredential=api-keys:{keys}\n")
    systemctl("daemon-reload")
    write_config(http={"api_keys_file": "$CREDENTIALS_DIRECTORY/api-keys"})
    try:
        restart()
        systemctl("reload", UNIT)  # what checks the file has the credentials too
        statuses = [request(PORT, "GET", "/v1/models", headers={"Authorization": f"Bearer {key}"}).status for key in ("alice", "sesame")]
        expect(statuses == [401, 200], str(statuses))
        expect("every user" not in run("journalctl", "-u", UNIT, "-n", "30", "--no-pager").stdout, "the credential can be read by everybody")
    finally:
        DROP_IN.unlink()
        keys.unlink()
        systemctl("daemon-reload")
        write_config()
    restart()


@check("a model in /var/lib/halod/models is served instead of the demo model")
def _():
    own = Path("/var/lib/halod/models/own.gguf")
    shutil.copy(f"/usr/share/halod/models/{DEMO}.gguf", own)
    try:
        restart()
        models = [model["id"] for model in request(PORT, "GET", "/v1/models").json()["data"]]
        expect(models == ["own"], str(models))
    finally:
        own.unlink()
    restart()
    wait_for_status(f"serving {DEMO}")


@check("a start with a wrong configuration fails, and says why")
def _():
    systemctl("stop", UNIT)
    CONFIG.write_text("http:\n  lisen: 127.0.0.1:8000\n")
    systemctl("start", UNIT, ok=False)
    wait_for(lambda: systemctl("is-failed", UNIT, ok=None) == "failed", "systemd to give up")
    expect("did you mean 'http.listen'?" in run("journalctl", "-u", UNIT, "-n", "30", "--no-pager").stdout)
    write_config()
    restart()


@check("a stop lets an answer finish, and is a success")
def _():
    answer = LongAnswer()
    expected = answer.whole()
    stopping = []

    def stop():
        stopping.append(threading.Thread(target=lambda: systemctl("stop", UNIT)))
        stopping[0].start()

    expect(answer.disturbed(stop) == expected, "another answer")
    stopping[0].join()
    expect(show("Result") == "success" and show("ExecMainStatus") == "0", show("Result"))
    expect(n_engines() == 0, "an engine is left")
    systemctl("start", UNIT)
