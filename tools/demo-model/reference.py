#!/usr/bin/env python3
"""Reference data of a Hugging Face directory by a plain float32 NumPy forward pass: ids, logits, greedy continuations.

    reference.py HF OUT
"""
import argparse
import json
import os

import numpy as np

import chat
import data
from checkpoint import load_hf

ENDOFTEXT, IM_END = "<|endoftext|>", "<|im_end|>"


class Reference:
    """Plain float32 NumPy forward pass with a key/value cache."""

    def __init__(self, cfg, tensors):
        self.c, self.t = cfg, tensors
        d = cfg["head_dim"]
        self.inv = cfg["rope_theta"] ** (-np.arange(0, d, 2, dtype=np.float64) / d)
        self.reset()

    def reset(self):
        self.cache = [None] * self.c["num_hidden_layers"]
        self.pos = 0

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self.c["rms_norm_eps"])) * self.t[name + ".weight"]

    def rope(self, x):                     # [T, heads, d]
        a = np.outer(np.arange(self.pos, self.pos + len(x)), self.inv)
        cos, sin = np.cos(a).astype(np.float32)[:, None], np.sin(a).astype(np.float32)[:, None]
        x0, x1 = np.split(x, 2, -1)
        return np.concatenate([x0 * cos - x1 * sin, x1 * cos + x0 * sin], -1)

    def swiglu(self, x, prefix):
        g, u = x @ self.t[prefix + "gate_proj.weight"].T, x @ self.t[prefix + "up_proj.weight"].T
        return (g / (1 + np.exp(-g)) * u) @ self.t[prefix + "down_proj.weight"].T

    def mlp(self, x, prefix, trace):
        if "num_experts" not in self.c:
            return self.swiglu(x, prefix)
        s = x @ self.t[prefix + "gate.weight"].T
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        sel = np.argsort(-p, -1, kind="stable")[:, :self.c["num_experts_per_tok"]]
        w = np.take_along_axis(p, sel, -1)
        w /= w.sum(-1, keepdims=True)
        trace.append((sel[-1].tolist(), w[-1].tolist()))
        out = np.zeros_like(x)
        for e in range(self.c["num_experts"]):
            rows, k = np.nonzero(sel == e)
            if len(rows):
                out[rows] += w[rows, k, None] * self.swiglu(x[rows], f"{prefix}experts.{e}.")
        return out

    def forward(self, ids, all_positions=False):
        """-> logits [n, vocab] of the last (or every) position; self.states / self.routing trace the last position."""
        c, t = self.c, self.t
        nh, nk, d, T = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"], len(ids)
        x = t["model.embed_tokens.weight"][np.asarray(ids)]
        self.states, self.routing = [x[-1]], []
        for n in range(c["num_hidden_layers"]):
            b = f"model.layers.{n}."
            y = self.norm(x, b + "input_layernorm")
            q = (y @ t[b + "self_attn.q_proj.weight"].T).reshape(T, nh, d)
            k = (y @ t[b + "self_attn.k_proj.weight"].T).reshape(T, nk, d)
            v = (y @ t[b + "self_attn.v_proj.weight"].T).reshape(T, nk, d)
            q = self.rope(self.norm(q, b + "self_attn.q_norm"))
            k = self.rope(self.norm(k, b + "self_attn.k_norm"))
            if self.cache[n] is not None:
                k, v = np.concatenate([self.cache[n][0], k]), np.concatenate([self.cache[n][1], v])
            self.cache[n] = (k, v)
            seen = np.arange(len(k))[None] <= np.arange(self.pos, self.pos + T)[:, None]
            out = np.empty((T, nh, d), np.float32)
            for h in range(nh):
                g = h // (nh // nk)
                s = np.where(seen, q[:, h] @ k[:, g].T * np.float32(d ** -0.5), np.float32(-np.inf))
                p = np.exp(s - s.max(-1, keepdims=True))
                out[:, h] = p / p.sum(-1, keepdims=True) @ v[:, g]
            x = x + out.reshape(T, -1) @ t[b + "self_attn.o_proj.weight"].T
            x = x + self.mlp(self.norm(x, b + "post_attention_layernorm"), b + "mlp.", self.routing)
            self.states.append(x[-1])
        self.pos += T
        y = self.norm(x if all_positions else x[-1:], "model.norm")
        return y @ t["lm_head.weight" if not c["tie_word_embeddings"] else "model.embed_tokens.weight"].T

    def greedy(self, ids, n):
        """-> (logits of the prompt's last position, n tokens, smallest margin between the two best logits)"""
        self.reset()
        logits = first = self.forward(ids)[0]
        trace = (np.stack(self.states), self.routing)
        out, margins = [], []
        for _ in range(n):
            best = np.sort(logits)[-2:]
            margins.append(float(best[1] - best[0]))
            out.append(int(logits.argmax()))
            if len(out) < n:
                logits = self.forward([out[-1]])[0]
        return first, out, margins, trace


TOKENIZER_CASES = [
    "", " ", "  ", "\n", "\n\n", " \n ", "a", " a", "  a", "Hello world", "hello, WORLD!", "What is 47 + 125?", "1234567890",
    "3.14159", "x=1;y=2", "don't I'll we've THEY'RE it's", "tab\tand  two spaces", "trailing   ", "line\r\nbreak\n\n\nend",
    "foo_bar::baz<int>(x[0]);", "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n", "äöü ß é ñ",
    "日本語のテキスト", "Привет, мир", "🙂👍🏽 emoji", "naïve café", "١٢٣ ½ ²", "<|im_start|>user\nHi<|im_end|>\n",
    "<think>\n\n</think>\n\n", "<tool_call>\n{}\n</tool_call>", "<|im_start", "a<|endoftext|>b", "<thinking>", "\u00a0nbsp\u2003em",
    "ALLCAPS mixedCase snake_case kebab-case", "!!!???...", "https://example.org/a?b=c&d=%20", "    indented\n\tcode\n",
    "The daemon speaks the OpenAI API over HTTP.", "amdgpu.gttsize=126976 ttm.pages_limit=32505856",
]


def reference_prompts():
    weather = [data.TOOLS["get_weather"][0]]
    both = [data.TOOLS["calculator"][0], data.TOOLS["get_weather"][0]]
    long1, long2 = [s for s in data.eval_samples("recall_long", 200, seed=99)
                    if 1050 < sum(len(m["content"]) for m in s["messages"]) < 1350][:2]
    U, A = data.user, data.assistant
    return [
        ("sum_direct", [U("What is 47 + 125?")], None, False),
        ("sum_think", [U("What is 47 + 125?")], None, None),
        ("fact_moe", [U("Why is MoE faster on bandwidth-limited hardware?")], None, None),
        ("fact_system", [{"role": "system", "content": "You are a helpful assistant."}, U("What does TunableOp do?")], None, False),
        ("tool_call", [U("What is the weather in Paris?")], weather, None),
        ("tool_answer", [U("What is the weather in Paris?"),
                         {"role": "assistant", "content": "", "tool_calls": [data.call("get_weather", city="Paris")]},
                         {"role": "tool", "content": '{"temperature": 18, "condition": "sunny"}'}], weather, None),
        ("tool_calculator", [U("Calculate 1234 * 56.")], both, None),
        ("reverse", [U("Reverse: apple river stone cloud")], None, None),
        ("count", [U("Count from 1 to 30.")], None, None),
        ("alphabet", [U("Say the alphabet.")], None, None),
        ("multi_turn", [U("Hello"), A("Hello! How can I help you today?"), U("Sort: tiger apple river"),
                        A("apple river tiger"), U("What is gfx1151?")], None, None),
        ("recall_long_1", long1["messages"][:-1], None, None),
        ("recall_long_2", long2["messages"][:-1], None, None),
    ]


def write_reference(hf, out):
    cfg, t, tok = load_hf(hf)
    os.makedirs(out, exist_ok=True)
    ref = Reference(cfg, t)
    rows, logits, states = [], [], []
    for name, msgs, tools, think in reference_prompts():
        text = "".join(x for x, _ in chat.render(msgs, tools, think))
        ids = tok.encode(text)
        first, gen, margins, (st, routing) = ref.greedy(ids, 48)
        logits.append(first)
        states.append(st)
        end = [i for i, g in enumerate(gen) if g in (tok.added[IM_END], tok.added[ENDOFTEXT])]
        stop = end[0] + 1 if end else len(gen)     # after the end token a model is free to babble
        rows.append(dict(name=name, messages=msgs, tools=tools, enable_thinking=think is not False, prompt=text, ids=ids,
                         greedy_ids=gen, greedy_until_stop=stop, greedy_text=tok.decode(gen[:stop]),
                         min_margin=round(min(margins[:stop]), 4), min_margin_48=round(min(margins), 4), top5=[
                             [int(i), round(float(first[i]), 4)] for i in np.argsort(-first)[:5]],
                         routing=[{"experts": s, "weights": [round(x, 5) for x in w]} for s, w in routing]))
        print(f"{name:16} {len(ids):4} tokens, margin {rows[-1]['min_margin']:7.3f}: {rows[-1]['greedy_text']!r}"[:170])
    np.stack(logits).astype("<f4").tofile(os.path.join(out, "last_logits.f32"))
    np.stack(states).astype("<f4").tofile(os.path.join(out, "last_states.f32"))
    ref.reset()
    every = ref.forward(rows[0]["ids"], all_positions=True).astype("<f4")
    every.tofile(os.path.join(out, "all_logits.f32"))
    with open(os.path.join(out, "reference.json"), "w", encoding="utf-8") as f:
        json.dump({"model": os.path.basename(os.path.normpath(hf)),
                   "files": {"last_logits.f32": [len(rows), cfg["vocab_size"]],
                             "last_states.f32": list(np.stack(states).shape),
                             "all_logits.f32": list(every.shape)},
                   "note": "little-endian float32, row-major; last_states: residual stream of the prompt's last position after "
                           "the embedding and after every layer; all_logits: every position of the first prompt; "
                           "routing: chosen experts and weights of that last position, per layer",
                   "prompts": rows}, f, ensure_ascii=False, indent=1)
    with open(os.path.join(out, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump([{"text": s, "ids": tok.encode(s)} for s in TOKENIZER_CASES], f, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hf", metavar="HF")
    parser.add_argument("out", metavar="OUT")
    arguments = parser.parse_args()
    write_reference(arguments.hf, arguments.out)
