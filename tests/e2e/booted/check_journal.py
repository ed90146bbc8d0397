"""What halod writes to the journal."""
from api_client import request
from machine import DEMO, PORT, UNIT, check, expect, journal, main_pid, restart, run, sum_question

JOB_ENDED = "791a2f62b13d4fd7bf67ed919d64c81f"
MODEL_LOADED = "966ceedfdf3e4d399187c68945155cb8"


@check("a loaded model and an ended job are entries that programs can find")
def _():
    restart()
    of_this_run = f"_PID={main_pid()}"
    loaded = journal(of_this_run, f"MESSAGE_ID={MODEL_LOADED}")
    expect([entry["HALOD_MODEL"] for entry in loaded] == [DEMO], str(loaded))
    ended = journal(of_this_run, f"MESSAGE_ID={JOB_ENDED}")
    expect([(entry["HALOD_JOB"], entry["HALOD_MODEL"], entry["HALOD_JOB_STATE"]) for entry in ended] == [("1", DEMO, "done")], str(ended))


@check("a request's line carries its id, and comes once")
def _():
    reply = request(PORT, "GET", "/v1/models")
    request_id = reply.headers["x-request-id"]
    entries = journal("-u", UNIT, f"HALOD_REQUEST={request_id}")
    expect(len(entries) == 1 and entries[0]["PRIORITY"] == "6", str(entries))
    same = [entry for entry in journal("-u", UNIT) if request_id in entry["MESSAGE"]]
    expect(len(same) == 1, f"{len(same)} lines")


@check("an answer's line names its model as well")
def _():
    reply = request(PORT, "POST", "/v1/chat/completions", sum_question(1, 2))
    entries = journal(f"HALOD_REQUEST={reply.headers['x-request-id']}", f"HALOD_MODEL={DEMO}")
    expect(len(entries) == 1, str(entries))


@check("levels are priorities")
def _():
    reply = request(PORT, "GET", "/nothing-here")
    entries = journal(f"HALOD_REQUEST={reply.headers['x-request-id']}")
    expect([entry["PRIORITY"] for entry in entries] == ["4"], str(entries))


@check("the catalogue explains them")
def _():
    text = run("journalctl", "-x", "--no-pager", f"MESSAGE_ID={MODEL_LOADED}").stdout
    expect(f"Model {DEMO} is loaded" in text, text[-500:])
