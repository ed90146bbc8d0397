"""The demo model's held-out questions: a few in the repository, all where the reference data is."""
import json
from dataclasses import dataclass
from pathlib import Path

from api_client import Answer
from halod_process import REFERENCE_DIR, SANITIZER

COMMITTED_DIR = Path(__file__).resolve().parent / "data"


@dataclass
class Question:
    task: str
    request: dict   # a greedy chat request in OpenAI's words
    expected: dict  # the assistant's message; tool arguments as an object

    def is_answered_by(self, answer: Answer) -> bool:
        calls = [{"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
                 for call in self.expected.get("tool_calls") or []]
        return (answer.content == (self.expected.get("content") or "")
                and answer.reasoning_content == self.expected.get("reasoning_content", "")
                and [call["name"] for call in answer.tool_calls] == [call["name"] for call in calls]
                and [arguments_of(call) for call in answer.tool_calls] == [call["arguments"] for call in calls]
                and answer.finish_reason == ("tool_calls" if calls else "stop"))


def arguments_of(call: dict):
    """A call's arguments as an object; the text itself when it is no JSON, which equals nothing expected."""
    try:
        return json.loads(call["arguments"])
    except json.JSONDecodeError:
        return call["arguments"]


def to_openai(messages: list[dict]) -> list[dict]:
    """The questions' messages with what OpenAI's clients send besides: call ids, and arguments as text."""
    converted, call_ids = [], []
    for message in messages:
        message = dict(message)
        if message.get("tool_calls"):
            call_ids = [f"call_{idx}" for idx in range(len(message["tool_calls"]))]
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": {"name": call["function"]["name"],
                                                                 "arguments": json.dumps(call["function"]["arguments"])}}
                for call_id, call in zip(call_ids, message["tool_calls"])]
        if message["role"] == "tool":
            message["tool_call_id"] = call_ids.pop(0)
        converted.append(message)
    return converted


def has_reference() -> bool:
    return (REFERENCE_DIR / "eval/figures.json").exists()


def load(folder: Path) -> dict[str, list[Question]]:
    by_task = {}
    for path in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        by_task[path.stem] = [
            Question(row["task"], {"messages": to_openai(row["messages"]), "temperature": 0,
                                   "chat_template_kwargs": {"enable_thinking": row["enable_thinking"]},
                                   **({"tools": row["tools"]} if row["tools"] else {})}, row["expected"])
            for row in rows]
    if not by_task:
        raise AssertionError(f"no questions in {folder}")
    return by_task


def committed() -> dict[str, list[Question]]:
    return load(COMMITTED_DIR / "questions")


def figures(model_type: str) -> tuple[dict[str, list[Question]], dict[str, float], float]:
    """(questions by task, the share that should be answered, the tolerance) for Q8_0 or Q4_K_M.

    All questions within one point where the reference data is. The committed twelve per task may miss one each: that is
    the smallest step, and which borderline question falls is a matter of rounding. Under a sanitizer the twelve have to do.
    """
    if has_reference() and not SANITIZER:
        reference = json.loads((REFERENCE_DIR / "eval/figures.json").read_text())
        return load(REFERENCE_DIR / "eval"), reference[model_type], 0.01
    reference = json.loads((COMMITTED_DIR / "figures.json").read_text())
    return committed(), reference, 1 / 12 + 1e-9
