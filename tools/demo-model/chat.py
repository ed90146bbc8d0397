"""Conversations as text: the same as chat_template.jinja renders, with what training supervises marked."""
import json


def _calls(msg):
    return [f'<tool_call>\n{{"name": "{c["function"]["name"]}", "arguments": '
            f'{json.dumps(c["function"]["arguments"], ensure_ascii=False)}}}\n</tool_call>' for c in msg.get("tool_calls", [])]


def target_text(msg):
    """What the model should generate for this assistant message (without <|im_end|>)."""
    t = f"<think>\n{msg['reasoning_content']}\n</think>\n\n" if msg.get("reasoning_content") else ""
    return t + "\n".join(([msg["content"]] if msg["content"] else []) + _calls(msg))


def render(messages, tools=None, think=None, generate=True):
    """The same text as chat_template.jinja; returns a list of (text, message index or None)."""
    out, body = [], messages
    sys_text = messages[0]["content"] if messages and messages[0]["role"] == "system" else None
    if tools:
        out.append(("<|im_start|>system\n" + (sys_text + "\n\n" if sys_text else "") +
                    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>" +
                    "".join("\n" + json.dumps(t, ensure_ascii=False) for t in tools) +
                    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
                    "<tool_call></tool_call> XML tags:\n<tool_call>\n"
                    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n', None))
    elif sys_text is not None:
        out.append((f"<|im_start|>system\n{sys_text}<|im_end|>\n", None))
    last_query = max([i for i, m in enumerate(body) if m["role"] == "user"], default=-1)
    for i, m in enumerate(body):
        if m["role"] == "user":
            out.append((f"<|im_start|>user\n{m['content']}<|im_end|>\n", None))
        elif m["role"] == "assistant":
            shown = m if i > last_query else {k: v for k, v in m.items() if k != "reasoning_content"}
            out.append(("<|im_start|>assistant\n", None))
            out.append((target_text(shown) + "<|im_end|>", i))
            out.append(("\n", None))
        elif m["role"] == "tool":
            pre = "<|im_start|>user" if body[i - 1]["role"] != "tool" else ""
            post = "<|im_end|>\n" if i + 1 == len(body) or body[i + 1]["role"] != "tool" else ""
            out.append((f"{pre}\n<tool_response>\n{m['content']}\n</tool_response>{post}", None))
    if generate:
        out.append(("<|im_start|>assistant\n" + ("<think>\n\n</think>\n\n" if think is False else ""), None))
    return out


def prompt_text(sample):
    return "".join(t for t, _ in render(sample["messages"][:-1], sample.get("tools"), sample["think"]))


def training_segments(sample):
    """[(text, supervised)] of a whole conversation including its last answer."""
    msgs = sample["messages"]
    segs = []
    for t, i in render(msgs[:-1], sample.get("tools"), sample["think"]):
        # earlier turns are rendered without their reasoning, so do not teach sums there
        segs.append((t, i is not None and sample["task"] not in ("mixed",)))
    return segs + [(target_text(msgs[-1]) + "<|im_end|>", True)]
