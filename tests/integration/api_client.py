"""A plain client of the HTTP API: requests, server-sent events, and whole answers."""
import http.client
import json
from dataclasses import dataclass, field

from halod_process import SLOWDOWN


@dataclass
class Reply:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self):
        return json.loads(self.body)

    def error(self) -> dict:
        """OpenAI's error object; fails when the body is no such thing."""
        error = self.json()["error"]
        missing = {"message", "type", "param", "code"} - set(error)
        if missing:
            raise AssertionError(f"error object without {missing}: {error}")
        return error


@dataclass
class Answer:
    """A chat answer, put together from a stream or read from one body."""
    content: str = ""
    reasoning_content: str = ""
    tool_calls: list[dict] = field(default_factory=list)  # {"name", "arguments": text}
    finish_reason: str | None = None
    usage: dict | None = None
    n_events: int = 0
    model: str | None = None  # that the server says it was

    def add_delta(self, delta: dict) -> None:
        self.content += delta.get("content") or ""
        self.reasoning_content += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls") or []:
            while len(self.tool_calls) <= call["index"]:
                self.tool_calls.append({"name": "", "arguments": ""})
            for key in ("name", "arguments"):
                self.tool_calls[call["index"]][key] += call.get("function", {}).get(key) or ""

    def add_event(self, event: dict) -> None:
        self.n_events += 1
        if "error" in event:
            raise AssertionError(f"the stream ended with an error: {event['error']}")
        if self.model not in (None, event["model"]):
            raise AssertionError(f"the stream began as {self.model} and went on as {event['model']}")
        self.model = event["model"]
        for choice in event["choices"]:
            self.add_delta(choice["delta"])
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        self.usage = event.get("usage") or self.usage

    @staticmethod
    def from_body(body: dict) -> "Answer":
        choice = body["choices"][0]
        message = choice["message"]
        calls = [{"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
                 for call in message.get("tool_calls") or []]
        return Answer(message.get("content") or "", message.get("reasoning_content") or "", calls, choice["finish_reason"],
                      body["usage"], model=body["model"])


def request(port: int, method: str, path: str, body=None, headers: dict | None = None, timeout: float = 60) -> Reply:
    """One request on a connection of its own. `body`: bytes as they are, anything else as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout * SLOWDOWN)
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


class Stream:
    """An open event stream: iterate over its events, or close it early to hang up."""

    def __init__(self, port: int, path: str, body: dict, timeout: float = 60):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout * SLOWDOWN)
        self._connection.request("POST", path, json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
        self._response = self._connection.getresponse()
        if self._response.status != 200:
            raise AssertionError(f"{path} answered {self._response.status}: {self._response.read()!r}")
        self.finished = False

    def __iter__(self):
        for line in self._response:
            if not line.startswith(b"data: "):
                continue
            data = line[len(b"data: "):].strip()
            if data == b"[DONE]":
                self.finished = True
                return
            yield json.loads(data)

    def close(self) -> None:
        self._response.close()
        self._connection.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def chat(port: int, body: dict, stream: bool = False, timeout: float = 60) -> Answer:
    """A whole answer; fails unless the request succeeds and, streamed, ends with [DONE]."""
    if not stream:
        reply = request(port, "POST", "/v1/chat/completions", body, timeout=timeout)
        if reply.status != 200:
            raise AssertionError(f"chat answered {reply.status}: {reply.body!r}")
        return Answer.from_body(reply.json())
    answer = Answer()
    with Stream(port, "/v1/chat/completions", {**body, "stream_options": {"include_usage": True}}, timeout) as events:
        for event in events:
            answer.add_event(event)
        if not events.finished:
            raise AssertionError(f"the stream ended without [DONE] after {answer}")
    return answer


def metrics(port: int) -> dict[str, float]:
    """/metrics by name, labels included in the name; comments left out."""
    values = {}
    for line in request(port, "GET", "/metrics").body.decode().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


# Of a request to the demo model that is to run into max_tokens: the tokens that end an answer, forbidden.
ENDLESS = {"logit_bias": {"1502": -100, "1500": -100}}


def ask(question: str, **more) -> dict:
    """A greedy chat request."""
    return {"messages": [{"role": "user", "content": question}], "temperature": 0, **more}
