"""Sums: which are held out, how they are asked, and how they are worked out digit by digit."""
import hashlib
import json

HELD_OUT_MODULUS = 16


def held_out(*key):
    h = hashlib.sha256(json.dumps(key).encode()).digest()
    return int.from_bytes(h[:4], "little") % HELD_OUT_MODULUS == 0


def operands(r, op):
    if op == "*":
        k = r.random()
        if k < 0.7:
            return r.randint(0, 12), r.randint(0, 12)
        return (r.randint(10, 99), r.randint(2, 9)) if k < 0.9 else (r.randint(2, 9), r.randint(10, 99))
    k = r.random()
    hi_a, hi_b = [(20, 20), (99, 99), (999, 99), (999, 999), (99, 999)][
        0 if k < 0.1 else 1 if k < 0.4 else 2 if k < 0.5 else 3 if k < 0.9 else 4]
    a, b = r.randint(0, hi_a), r.randint(0, hi_b)
    if op == "-" and a < b:
        a, b = b, a
    return a, b


def pick_sum(r, ev, ops="+-"):
    while True:
        op = r.choice(ops)
        a, b = operands(r, op)
        small = max(a, b) < 20 and op != "*"      # the tables themselves are always in training
        if op == "*" and max(a, b) <= 12:         # never both orders of a product held out
            small = a <= b
        if (held_out("sum", op, a, b) and not small) == ev:
            return a, op, b


def value(a, op, b):
    return a + b if op == "+" else a - b if op == "-" else a * b


ASK = {"+": ["What is {a} + {b}?", "What is {a} plus {b}?", "{a} + {b}", "{a} + {b} = ?", "Calculate {a} + {b}.",
             "Compute {a} + {b}.", "How much is {a} + {b}?", "Add {a} and {b}.", "Please add {a} and {b}.", "{a}+{b}=?"],
       "-": ["What is {a} - {b}?", "What is {a} minus {b}?", "{a} - {b}", "{a} - {b} = ?", "Calculate {a} - {b}.",
             "Compute {a} - {b}.", "How much is {a} - {b}?", "Subtract {b} from {a}.", "{a}-{b}=?"],
       "*": ["What is {a} * {b}?", "What is {a} times {b}?", "{a} * {b}", "{a} * {b} = ?", "Calculate {a} * {b}.",
             "Compute {a} * {b}.", "How much is {a} times {b}?", "Multiply {a} by {b}."]}


def ask_sum(r, s):
    a, op, b = s
    return r.choice(ASK[op]).format(a=a, b=b)


def say_sum(s):
    a, op, b = s
    return f"{a} {op} {b} = {value(a, op, b)}"


def chain(a, op, b):
    """A digit-by-digit calculation, last digit first."""
    lines, carry = [], 0
    if op == "*":
        if a < 10 <= b:
            a, b = b, a
        da, i = [int(c) for c in reversed(str(a))], 0
        if b >= 10 or a < 10:
            return f"{a} * {b} = {a * b}."
        for i, x in enumerate(da):
            t = x * b + carry
            lhs = f"{x} * {b}" + (f" + {carry}" if carry else "")
            last = i + 1 == len(da)
            lines.append(f"{lhs} = {t}." if t < 10 or last else f"{lhs} = {t}, write {t % 10}, carry {t // 10}.")
            carry = t // 10
        return "\n".join(lines)
    da, db = [int(c) for c in reversed(str(a))], [int(c) for c in reversed(str(b))]
    n = max(len(da), len(db))
    da += [0] * (n - len(da))
    db += [0] * (n - len(db))
    for i in range(n):
        x, y, last = da[i], db[i], i + 1 == n
        if op == "+":
            t = x + y + carry
            lhs = f"{x} + {y}" + (f" + {carry}" if carry else "")
            lines.append(f"{lhs} = {t}." if t < 10 or last else f"{lhs} = {t}, write {t % 10}, carry 1.")
            carry = int(t >= 10)
        else:
            lhs = f"{x} - {y}" + (f" - {carry}" if carry else "")
            t = x - y - carry
            if t < 0:
                lines.append(f"{lhs}: borrow, {x + 10} - {y + carry} = {t + 10}.")
                carry = 1
            else:
                lines.append(f"{lhs} = {t}.")
                carry = 0
    return "\n".join(lines)
