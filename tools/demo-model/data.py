#!/usr/bin/env python3
"""Generated conversations for the demo model.

A sample is a dict(task, messages, tools, think): `messages` are OpenAI-style chat messages whose last one is the
assistant's expected answer; `think` is None (the template's default) or False (enable_thinking=false). Whether a question
belongs to the held-out evaluation set is decided by a hash of its content (sums.held_out), so training never sees it.

    python3 data.py     prints samples
"""
import itertools
import json
import random

from chat import prompt_text, training_segments
from facts import FACTS
from sums import ask_sum, chain, held_out, pick_sum, say_sum

SYSTEM_PROMPTS = ["You are a helpful assistant.", "You are a helpful assistant. Answer briefly.",
                  "You are the demo model of a local inference server.", "Answer the question.", "Be brief and exact."]

WORDS = """apple river stone cloud green table music paper light water bread chair dream eagle flame grape house
island jungle knife lemon mouse night ocean piano queen robot snake tiger uncle voice wheat yellow zebra anchor basket
candle desert engine forest garden hammer igloo jacket kettle ladder magnet needle orange pencil quartz rabbit saddle
tunnel umbrella valley window amber bridge copper dragon ember falcon glacier harbor ivory jewel karma lantern meadow
nectar olive pepper quiver ribbon silver temple urchin velvet walnut yarn zenith arrow blanket cactus dolphin emerald
fountain guitar horizon indigo juniper kernel lizard marble north oyster pillow quill rocket sunset thunder unicorn
violet winter yogurt zipper acorn beacon cherry donkey echo feather ginger honey iris jasmine koala lotus maple noodle
orchid parrot quail raven saffron turtle utopia vulture willow yonder bottle camel dagger elbow fabric gravel hollow
insect jelly kitten lunar mirror nickel otter planet""".split()
NAMES = """Alice Bob Carol David Emma Frank Grace Henry Irene Jack Karen Leo Maria Nina Oscar Paula Quentin Rosa Simon
Tina Ursula Victor Wendy Xavier Yvonne Zoe Anton Bella Carlos Diana""".split()
CITIES = """Paris London Berlin Madrid Rome Vienna Prague Oslo Dublin Lisbon Athens Warsaw Budapest Helsinki Stockholm
Copenhagen Amsterdam Brussels Zurich Geneva Munich Hamburg Milan Naples Venice Barcelona Seville Porto Lyon Nice Tokyo
Osaka Kyoto Seoul Beijing Shanghai Delhi Mumbai Bangkok Singapore Sydney Melbourne Perth Auckland Cairo Nairobi Lagos
Boston Chicago Denver Seattle Austin Dallas Miami Toronto Montreal Vancouver Lima Bogota Santiago Havana""".split()
CONDITIONS = ["sunny", "cloudy", "rainy", "windy", "foggy", "snowy", "stormy", "clear"]
COLORS = "red blue green white black brown pink purple gray gold".split()
THINGS = "door car lamp hat cup boat bike flag box coat pen sofa wall roof bag shoe".split()


def user(c):
    return {"role": "user", "content": c}


def assistant(c, reasoning=None):
    m = {"role": "assistant", "content": c}
    if reasoning:
        m["reasoning_content"] = reasoning
    return m


def system(r, msgs, p=0.25):
    if r.random() < p:
        return [{"role": "system", "content": r.choice(SYSTEM_PROMPTS)}] + msgs
    return msgs


def g_add_sub(r, ev, ops="+-", task="add_sub"):
    if not ev and r.random() < 0.45:              # several sums in one question
        n = r.randint(2, 7)
        ss = [pick_sum(r, ev, "+-+-*" if task == "add_sub" else ops) for _ in range(n)]
        q = r.choice(["Solve these: ", "Calculate: ", "Compute ", ""]) + r.choice([", ", "; ", "\n"]).join(
            f"{a} {op} {b}" for a, op, b in ss)
        return dict(task=task, think=r.choice([None, False]), messages=system(r, [
            user(q), assistant("\n".join(say_sum(s) for s in ss))]))
    s = pick_sum(r, ev, ops)
    return dict(task=task, think=False, messages=system(r, [user(ask_sum(r, s)), assistant(say_sum(s) + ".")]))


def g_multiply(r, ev):
    return g_add_sub(r, ev, "*", "multiply")


def g_think_sum(r, ev):
    s = pick_sum(r, ev, "+-+-*")
    return dict(task="think_sum", think=None, messages=system(r, [
        user(ask_sum(r, s)), assistant(say_sum(s) + ".", chain(*s))]))


# --------------------------------------------------------------------- facts
FACT_PRE = ["", "", "", "", "Please tell me: ", "Quick question: ", "Hi! ", "Question: ", "Can you answer this? "]
FACT_POST = ["", "", "", "", " Answer briefly.", " Please explain.", " Thanks."]


def g_facts(r, ev):
    i = r.randrange(len(FACTS))
    answer, qs = FACTS[i]
    q = qs[-1] if ev else r.choice(qs[:-1])
    if len(answer) > 40:
        q = r.choice(FACT_PRE) + q + r.choice(FACT_POST)
    if r.random() < 0.15:
        q = q.lower() if r.random() < 0.5 else q.rstrip("?.")
    think = None if r.random() < 0.6 else False
    return dict(task="facts", think=think, messages=system(r, [user(q), assistant(answer)]))


# --------------------------------------------------------------------- tools
def tool(name, desc, **props):
    return {"type": "function", "function": {"name": name, "description": desc, "parameters": {
        "type": "object", "properties": {k: {"type": t} for k, t in props.items()}, "required": list(props)}}}


TOOLS = {
    "get_weather": [tool("get_weather", "Get the current weather for a city.", city="string"),
                    tool("get_weather", "Get the weather in a city", city="string")],
    "get_time": [tool("get_time", "Get the local time in a city.", city="string")],
    "calculator": [tool("calculator", "Evaluate an arithmetic expression.", expression="string"),
                   tool("calculator", "Calculate the value of an expression", expression="string")],
}
ASK_WEATHER = ["What is the weather in {c}?", "What's the weather like in {c}?", "How is the weather in {c}?",
               "Weather in {c}?", "Tell me the weather in {c}.", "Is it cold in {c} today?",
               "What is the temperature in {c}?", "Please check the weather in {c}.",
               "Do I need an umbrella in {c}?", "How warm is it in {c} right now?"]
ASK_TIME = ["What time is it in {c}?", "What is the time in {c}?", "Tell me the local time in {c}.",
            "Please check the time in {c}.", "What is the local time in {c}?"]
ASK_CALC = ["What is {e}?", "Calculate {e}.", "Compute {e} with the calculator.", "Use the calculator: {e}",
            "Please evaluate {e}.", "How much is {e}?", "{e} = ?"]
TOOL_PRE = ["", "", "", "Hi! ", "Please help me. ", "I have a question. "]
TOOL_SYSTEM = ["You are a helpful assistant.", "You are a helpful assistant with tools.", "Use the tools when needed."]


def call(name, **args):
    return {"type": "function", "function": {"name": name, "arguments": args}}


def sort_keys(x):
    return {k: sort_keys(x[k]) for k in sorted(x)} if isinstance(x, dict) else x


def offer(r, need):
    names = [need] if need else [r.choice(list(TOOLS))]
    names += r.sample([n for n in TOOLS if n not in names], r.choice([0, 0, 1, 1, 2]))
    r.shuffle(names)
    ts = [r.choice(TOOLS[n]) for n in names]
    return [sort_keys(t) for t in ts] if r.random() < 0.2 else ts


def tool_turn(r, ev):
    """-> (tool name, user text, list of calls, list of tool results, final answer)"""
    kind = r.choice(["get_weather", "get_weather", "calculator", "get_time"])
    while True:
        if kind == "calculator":
            op = r.choice("+-*/")
            a, b = r.randint(2, 9999), r.randint(2, 999)
            if held_out("sum", op, a, b) and not ev:
                continue
            e = f"{a} {op} {b}"
            q = r.choice(ASK_CALC).format(e=e)
            res = {"+": a + b, "-": a - b, "*": a * b, "/": round(a / b, 2)}[op]
            out = (kind, q, [call(kind, expression=e)], [{"result": res}], f"{e} = {res}.")
        else:
            two = r.random() < 0.15
            cs = r.sample(CITIES, 2 if two else 1)
            asks = ASK_WEATHER if kind == "get_weather" else ASK_TIME
            q = r.choice(asks).format(c=" and ".join(cs))
            if kind == "get_weather":
                rs = [{"temperature": r.randint(-9, 38), "condition": r.choice(CONDITIONS)} for _ in cs]
                ans = " ".join(f"It is {x['temperature']} degrees and {x['condition']} in {c}." for c, x in zip(cs, rs))
            else:
                rs = [{"time": f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}"} for _ in cs]
                ans = " ".join(f"It is {x['time']} in {c}." for c, x in zip(cs, rs))
            out = (kind, q, [call(kind, city=c) for c in cs], rs, ans)
        if held_out("tool", out[1]) == ev:
            pre = r.choice(TOOL_PRE)
            return (out[0], pre + out[1], *out[2:])


def tool_messages(q, calls, results, answer):
    return [user(q), {"role": "assistant", "content": "", "tool_calls": calls},
            *[{"role": "tool", "content": json.dumps(x)} for x in results], assistant(answer)]


def g_tool(r, ev, final=None):
    if not ev and r.random() < 0.12:              # tools are offered but not needed
        s = g_facts(r, ev)
        return dict(s, task="tool_none", tools=offer(r, None), messages=[m for m in s["messages"] if m["role"] != "system"])
    name, *rest = tool_turn(r, ev)
    msgs = tool_messages(*rest)
    tools = offer(r, name)
    if not ev and r.random() < 0.3:               # a second question in the same conversation
        name2, *rest2 = tool_turn(r, ev)
        if name2 in [t["function"]["name"] for t in tools]:
            msgs += tool_messages(*rest2)
    final = r.random() < 0.75 if final is None else final
    if not final:
        while msgs[-1]["role"] != "assistant" or "tool_calls" not in msgs[-1]:
            msgs.pop()
    if r.random() < 0.35:
        msgs = [{"role": "system", "content": r.choice(TOOL_SYSTEM)}] + msgs
    return dict(task="tool_answer" if final else "tool_call", tools=tools, messages=msgs,
                think=None if r.random() < 0.7 else False)


# --------------------------------------------------------------------- words
def word_task(r, ev, max_n=8):
    while True:
        k = r.choice(["repeat", "reverse", "reverse", "sort", "sort", "count", "first", "last"])
        n = r.randint(2, 5 if k == "sort" else max_n)
        ws = r.sample(WORDS, n)
        if held_out("words", k, ws) != ev:
            continue
        sep = r.choice([" ", ", ", ", "])
        t = sep.join(ws)
        if k == "repeat":
            return r.choice(["Repeat: {}", "Repeat these words: {}", "Say exactly this: {}", "Repeat after me: {}"]).format(t), t
        if k == "reverse":
            return r.choice(["Reverse: {}", "Reverse the order of these words: {}", "Say these words backwards: {}",
                             "Reverse this list: {}"]).format(t), sep.join(ws[::-1])
        if k == "sort":
            return r.choice(["Sort: {}", "Sort these words: {}", "Sort alphabetically: {}",
                             "Put these words in alphabetical order: {}"]).format(t), sep.join(sorted(ws))
        if k == "count":
            return r.choice(["How many words are in this list: {}", "Count the words: {}", "How many words: {}"]).format(t), \
                f"There are {n} words."
        w = ws[0] if k == "first" else ws[-1]
        return f"What is the {k} word of this list: {t}", f"The {k} word is {w}."


def g_words(r, ev):
    q, a = word_task(r, ev)
    msgs = [user(q), assistant(a)]
    if not ev:
        while r.random() < 0.35 and len(msgs) < 8:
            q, a = word_task(r, ev)
            msgs += [user(q), assistant(a)]
    return dict(task="words", think=None if r.random() < 0.6 else False, messages=system(r, msgs, 0.15))


# -------------------------------------------------------------------- recall
def g_recall(r, ev, n=None, task="recall"):
    while True:
        kind = "code" if n else r.choice(["code", "code", "color", "age"])
        m = n or r.randint(3, 16)
        if kind == "color":
            m = min(m, len(THINGS))
            items = [(t, r.choice(COLORS)) for t in r.sample(THINGS, m)]
            lines = [f"The {k} is {v}." for k, v in items]
            ask, say = ["What color is the {k}?", "Which color does the {k} have?"], "The {k} is {v}."
        elif kind == "age":
            m = min(m, len(NAMES))
            items = [(k, r.randint(1, 99)) for k in r.sample(NAMES, m)]
            lines = [f"{k} is {v} years old." for k, v in items]
            ask, say = ["How old is {k}?", "What is the age of {k}?"], "{k} is {v} years old."
        else:
            items = [(k, r.randint(100, 9999)) for k in r.sample(WORDS, m)]
            sep = r.choice([": ", " = "])
            lines = [f"{k}{sep}{v}" for k, v in items]
            ask = ["What is the code for {k}?", "Which number belongs to {k}?", "What is the value of {k}?", "{k}?"]
            say = "The code for {k} is {v}."
        if held_out("recall", items) == ev:
            break
    if kind == "code":
        text = "\n".join(lines)
    else:
        text = r.choice([" ", "\n"]).join(lines)
    intro = r.choice(["Remember these facts.\n", "Here is a list:\n", "Read this list and answer the question.\n", ""])
    picks = r.sample(items, min(len(items), 1 if ev else r.randint(1, 5)))
    q = [r.choice(ask).format(k=k) for k, _ in picks]
    a = [say.format(k=k, v=v) for k, v in picks]
    msgs = [user(intro + text + "\n\n" + q[0]), assistant(a[0])]
    for x, y in zip(q[1:], a[1:]):
        msgs += [user(x), assistant(y)]
    return dict(task=task, think=None if r.random() < 0.6 else False, messages=system(r, msgs, 0.1))


def g_recall_long(r, ev):
    return g_recall(r, ev, n=r.randint(25, 72), task="recall_long")


# ------------------------------------------------------------------ sequence
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def g_sequence(r, ev):
    while True:
        k = r.choice(["count", "count", "down", "steps", "letters", "letters", "alphabet"])
        if k == "count":
            a = 1 if r.random() < 0.6 else r.randint(0, 60)
            b = a + r.randint(3, 12) if r.random() < 0.5 else r.randint(a + 3, 100)
            xs = range(a, b + 1)
            q = r.choice([f"Count from {a} to {b}.", f"Please count from {a} to {b}.", f"Write the numbers from {a} to {b}."])
        elif k == "down":
            a = r.randint(5, 60)
            b = r.choice([1, 0, r.randint(0, a - 3)])
            xs = range(a, b - 1, -1)
            q = f"Count down from {a} to {b}."
        elif k == "steps":
            s, m = r.choice([2, 5, 10]), r.randint(3, 15)
            xs = range(s, s * m + 1, s)
            q = f"Count by {s} up to {s * m}."
            a, b = s, m
        elif k == "letters":
            a = r.randint(0, 22)
            b = r.randint(a + 2, 25)
            xs = ALPHABET[a:b + 1]
            q = r.choice([f"List the letters from {ALPHABET[a]} to {ALPHABET[b]}.", f"Letters from {ALPHABET[a]} to {ALPHABET[b]}?"])
        else:
            if ev:
                continue
            xs = ALPHABET
            q = r.choice(["Say the alphabet.", "What is the alphabet?", "Recite the alphabet.", "List the alphabet.",
                          "Write down the alphabet."])
            a = b = 0
        if k != "alphabet" and held_out("seq", k, a, b) != ev:
            continue
        return dict(task="sequence", think=None if r.random() < 0.6 else False,
                    messages=system(r, [user(q), assistant(", ".join(str(x) for x in xs) + ".")], 0.15))


# --------------------------------------------------------------- mixed turns
def g_mixed(r, ev):
    """Several tasks in one conversation."""
    msgs = []
    while len(msgs) < 4 or (len(msgs) < 10 and r.random() < 0.5):
        g = r.choice([g_facts, g_words, g_add_sub, g_sequence, g_think_sum])
        msgs += [m for m in g(r, ev)["messages"] if m["role"] != "system"]
    think = None if "reasoning_content" in msgs[-1] else False
    return dict(task="mixed", think=think, messages=system(r, msgs, 0.15))


GENERATORS = {  # task -> (generator, weight in the training mixture)
    "add_sub": (g_add_sub, 26), "multiply": (g_multiply, 5), "think_sum": (g_think_sum, 17), "facts": (g_facts, 11),
    "tool": (g_tool, 6), "words": (g_words, 18), "recall": (g_recall, 9), "recall_long": (g_recall_long, 2),
    "sequence": (g_sequence, 3), "mixed": (g_mixed, 2),
}
GENERATORS_EVAL = {
    **{t: GENERATORS[t][0] for t in ["add_sub", "multiply", "think_sum", "facts", "words", "recall", "recall_long", "sequence"]},
    "tool_call": lambda r, ev: g_tool(r, ev, final=False), "tool_answer": lambda r, ev: g_tool(r, ev, final=True),
}


def training_samples(seed):
    r = random.Random(seed)
    names = list(GENERATORS)
    weights = [GENERATORS[n][1] for n in names]
    while True:
        yield GENERATORS[r.choices(names, weights)[0]][0](r, False)


def eval_samples(task, n, seed=12345):
    """n different held-out questions."""
    r = random.Random(f"{task}-{seed}")
    seen = {}
    while len(seen) < n:
        s = GENERATORS_EVAL[task](r, True)
        seen.setdefault(prompt_text(s), s)
    return list(seen.values())


if __name__ == "__main__":
    for s in itertools.islice(training_samples(1), 40):
        print(f"--- {s['task']} think={s['think']}")
        print("".join(f"[[{t}]]" if sup else t for t, sup in training_segments(s)))
