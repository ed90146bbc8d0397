#!/usr/bin/env python3
"""Train the demo Qwen3-MoE model (or, with --dense, its Qwen3 draft model) on the CPU.

    train.py tokenizer DIR              train the BPE tokenizer, write DIR/tokenizer.json
    train.py encode DIR N SEED          write N tokenized training samples to DIR/data-SEED.npz
    train.py run DIR [--dense] [--minutes M] [--resume]    train, checkpoint to DIR/{moe,draft}.pt
    train.py eval DIR [--dense]         held-out accuracy per task (teacher-forced exact match,
                                        which equals greedy exact match)

The learning rate decays linearly over the wall-clock budget.
"""
import argparse
import glob
import json
import os
import random
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

import bpe
import chat
import data
from model import CONFIGS, ROWS, VOCAB, Model, Optimizer

N_MERGES = 1244            # 256 bytes + 1244 merges + 9 added tokens = 1509, padded to VOCAB


def encode(tok, sample):
    ids, sup = [], []
    for t, s in chat.training_segments(sample):
        e = tok.encode(t)
        ids += e
        sup += [s] * len(e)
    return ids, sup


def cmd_tokenizer(args):
    texts, it, r = [], data.training_samples(7), random.Random(7)
    for _ in range(12000):
        s = next(it)
        if s["task"].startswith("tool") and r.random() < 0.5:
            s = dict(s, tools=None)
        texts.append("".join(t for t, _ in chat.training_segments(s)))
    merges = bpe.train(_plain(texts), N_MERGES)
    tok = bpe.Tokenizer(merges)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_template.jinja"), encoding="utf-8") as f:
        tok.save(args.dir, f.read(), CONFIGS["moe"]["context"])
    n = sum(len(tok.encode(t)) for t in texts)
    print(f"{len(merges)} merges, {len(tok)} tokens; {sum(map(len, texts)) / n:.2f} characters per token, "
          f"{n / len(texts):.1f} tokens per sample")


def _plain(texts):
    t0 = bpe.Tokenizer([])
    for t in texts:
        for part in t0._added_re.split(t):
            if part and part not in t0.added:
                yield part


def cmd_encode(args):
    tok = bpe.Tokenizer.load(args.dir)
    it = data.training_samples(args.seed)
    ids, sup, lens = [], [], []
    while len(lens) < args.n:
        i, s = encode(tok, next(it))
        if len(i) <= CONFIGS["moe"]["context"] - 64:
            ids += i
            sup += s
            lens.append(len(i))
    np.savez(os.path.join(args.dir, f"data-{args.seed}.npz"), ids=np.array(ids, np.uint16), sup=np.array(sup, bool),
             lens=np.array(lens, np.int32))
    print(f"{len(lens)} samples, {len(ids)} tokens, {sum(sup)} supervised")


class Batches:
    """Micro-batches of equal padded length; a step takes several of them."""

    def __init__(self, directory, tokens, seed=0):
        self.directory = directory
        self.r = random.Random(seed)
        self.tokens = tokens
        self.order = []
        self.epoch = 1
        self.done = set()

    def refill(self):
        files = sorted(glob.glob(os.path.join(self.directory, "data-*.npz")))
        if not set(files) - self.done:
            self.done = set()
            self.epoch += 1
        name = min(set(files) - self.done)
        self.done.add(name)
        z = np.load(name)
        self.ids, self.sup, lens = z["ids"], z["sup"], z["lens"]
        start = np.concatenate([[0], np.cumsum(lens)])
        idx = list(range(len(lens)))
        self.r.shuffle(idx)
        self.order = []
        for s in range(0, len(idx), 3000):                 # sort by length within pools
            pool = sorted(idx[s:s + 3000], key=lambda i: -lens[i])
            batches = []
            while pool:                                    # few distinct shapes, see ROWS
                T = self.padded(lens[pool[0]])
                b = max(1, self.tokens // T)
                batches.append((T, [(start[i], lens[i]) for i in pool[:b]]))
                pool = pool[b:]
            if len(batches[-1][1]) < max(1, self.tokens // batches[-1][0]):
                batches.pop()
            self.r.shuffle(batches)
            self.order += batches

    @staticmethod
    def padded(n):
        m = 16 if n <= 128 else 32 if n <= 256 else 64
        return int(-(-n // m) * m)

    def next(self):
        if not self.order:
            self.refill()
        T, rows = self.order.pop()
        x = np.zeros((len(rows), T), np.int64)
        y = np.full((len(rows), T), -1, np.int64)
        for j, (o, n) in enumerate(rows):
            x[j, :n] = self.ids[o:o + n]
            t = np.where(self.sup[o + 1:o + n], self.ids[o + 1:o + n].astype(np.int64), -1)
            y[j, :n - 1] = t
        return torch.from_numpy(x), torch.from_numpy(y)


# ---------------------------------------------------------------------- eval
@torch.no_grad()
def evaluate(model, tok, per_task=100, tasks=None, tokens=6000):
    acc = {}
    for task in tasks or data.GENERATORS_EVAL:
        rows = []
        for s in data.eval_samples(task, per_task):
            p = tok.encode(chat.prompt_text(s))
            t = tok.encode(chat.target_text(s["messages"][-1]) + "<|im_end|>")
            rows.append((p + t, len(p)))
        rows.sort(key=lambda r: len(r[0]))
        good, i = 0, 0
        while i < len(rows):
            n = max(1, tokens // len(rows[min(i + 16, len(rows) - 1)][0]))
            part = rows[i:i + n]
            i += n
            T = max(len(r[0]) for r in part)
            x = torch.zeros(len(part), T, dtype=torch.long)
            for j, (r, _) in enumerate(part):
                x[j, :len(r)] = torch.tensor(r)
            st, _ = model.hidden(x)
            pred = model.logits(st).argmax(-1).view(len(part), T)
            for j, (r, n0) in enumerate(part):
                good += bool((pred[j, n0 - 1:len(r) - 1] == x[j, n0:len(r)]).all())
        acc[task] = round(good / len(rows), 3)
    return acc


def checkpoint_path(args):
    return os.path.join(args.dir, ("draft" if args.dense else "moe") + ".pt")


def load_model(path):
    z = torch.load(path)
    return Model(z["config"], {k: v.float() for k, v in z["params"].items()}), z


def cmd_run(args):
    torch.set_num_threads(args.threads)
    c = CONFIGS["draft" if args.dense else "moe"]
    tok = bpe.Tokenizer.load(args.dir)
    assert len(tok) <= VOCAB
    path = checkpoint_path(args)
    model = Model(c)
    if args.resume:
        _, z = load_model(path)
        with torch.no_grad():
            for k, v in z["params"].items():
                model.p[k].copy_(v)
    n = sum(v.numel() for v in model.p.values())
    print(f"{n / 1e6:.2f} M parameters", flush=True)
    opt = Optimizer(model.p, muon_lr=args.muon_lr, adam_lr=args.adam_lr)
    batches = Batches(args.dir, args.micro, seed=len(glob.glob(path)))
    start = saved = time.time()
    step = seen = supervised = 0
    run_loss, load = 0.0, 0.0
    while True:
        progress = (time.time() - start) / (60 * args.minutes)
        if progress >= 1:
            break
        micro = [batches.next() for _ in range(args.accumulate)]
        total = sum(int((y >= 0).sum()) for _, y in micro)
        loss_sum = 0.0
        for x, y in micro:
            st, aux = model.hidden(x)
            y = y.reshape(-1)
            pos = (y >= 0).nonzero().squeeze(1)
            target = F.pad(y[pos], (0, -len(pos) % ROWS), value=-100)
            pos = F.pad(pos, (0, -len(pos) % ROWS))
            loss = F.cross_entropy(model.logits(st.index_select(0, pos)), target, reduction="sum") / total
            (loss + args.aux * aux / len(micro)).backward()
            loss_sum += loss.item()
            seen += x.numel()
            if model.load is not None:
                load = 0.98 * load + 0.02 * model.load
        supervised += total
        opt.step(min(1.0, (step + 1) / 40) * min(1.0, 1.05 - progress) * args.scale)
        step += 1
        run_loss += (loss_sum - run_loss) * max(0.02, 1 / step)
        if step % 25 == 0:
            el = time.time() - start
            extra = f" load {load.min():.3f}..{load.max():.3f}" if c["experts"] else ""
            print(f"step {step} {el / 60:.1f} min loss {run_loss:.4f} {seen / 1e6:.2f} M tokens "
                  f"({supervised / 1e6:.2f} M supervised) {seen / el:.0f} tok/s epoch {batches.epoch}{extra}", flush=True)
        if time.time() - saved > 60 * args.every or step == 30:
            saved = time.time()
            save(path, c, model, step)
        if step % 500 == 0:
            print("eval", json.dumps(evaluate(model, tok, 40)), flush=True)
    save(path, c, model, step)
    print("final", json.dumps(evaluate(model, tok, 200)), flush=True)


def save(path, c, model, step):
    torch.save({"config": c, "params": {k: v.detach() for k, v in model.p.items()}, "step": step}, path + ".tmp")
    os.replace(path + ".tmp", path)


def cmd_eval(args):
    torch.set_num_threads(args.threads)
    model, z = load_model(checkpoint_path(args))
    print("step", z["step"], json.dumps(evaluate(model, bpe.Tokenizer.load(args.dir), 200)))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="cmd", required=True)
    for name in ("tokenizer", "encode", "run", "eval"):
        s = sub.add_parser(name)
        s.add_argument("dir")
        if name == "encode":
            s.add_argument("n", type=int)
            s.add_argument("seed", type=int)
        if name in ("run", "eval"):
            s.add_argument("--dense", action="store_true", help="the dense draft model")
            s.add_argument("--threads", type=int, default=2)
        if name == "run":
            s.add_argument("--minutes", type=float, default=60)
            s.add_argument("--every", type=float, default=4, help="minutes between checkpoints")
            s.add_argument("--micro", type=int, default=3000, help="tokens per micro-batch")
            s.add_argument("--accumulate", type=int, default=3, help="micro-batches per step")
            s.add_argument("--muon-lr", type=float, default=0.02)
            s.add_argument("--adam-lr", type=float, default=3e-3)
            s.add_argument("--aux", type=float, default=0.01, help="weight of the load-balancing loss")
            s.add_argument("--scale", type=float, default=1.0, help="learning rate multiplier")
            s.add_argument("--resume", action="store_true")
    args = ap.parse_args()
    return {"tokenizer": cmd_tokenizer, "encode": cmd_encode, "run": cmd_run, "eval": cmd_eval}[args.cmd](args)


if __name__ == "__main__":
    sys.exit(main())
