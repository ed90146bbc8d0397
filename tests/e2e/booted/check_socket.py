"""Socket activation: systemd listens, halod takes over."""
import socket
import threading
import time

from machine import PORT, UNIT, check, expect, expect_right_answer, healthy, journal, main_pid, systemctl, wait_for, write_config


@check("a connection to halod.socket starts halod, which serves on it")
def _():
    systemctl("stop", UNIT)
    write_config(http={"listen": "127.0.0.1:8123"})  # so that what answers on 8000 can only be systemd's socket
    systemctl("start", "halod.socket")
    expect(systemctl("is-active", UNIT, ok=None) == "inactive")
    socket.create_connection(("127.0.0.1", PORT)).close()
    wait_for(healthy, "an answer")
    expect_right_answer()
    expect(any("the socket that the service manager opened" in entry["MESSAGE"] for entry in journal(f"_PID={main_pid()}")))
    expect(not healthy(8123), "it listens at http.listen as well")


@check("no client is refused while halod is restarted")
def _():
    refused, done = [], threading.Event()

    def connect_again_and_again():
        while not done.is_set():
            try:
                socket.create_connection(("127.0.0.1", PORT), timeout=10).close()
            except OSError as error:
                refused.append(error)
            time.sleep(0.005)

    thread = threading.Thread(target=connect_again_and_again)
    thread.start()
    systemctl("restart", UNIT)
    done.set()
    thread.join()
    expect(not refused, str(refused))
    expect_right_answer()


@check("without the socket, halod listens by itself again")
def _():
    systemctl("stop", "halod.socket", UNIT)
    write_config()
    systemctl("start", UNIT)
    expect_right_answer()
