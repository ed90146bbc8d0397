"""The Qwen3 and Qwen3-MoE models as trained here: parameters, forward and backward passes, and their optimizer.

Matrix products run in bfloat16 (fast with AVX512-BF16/AMX), the rest in float32 by train_kernels.cpp.
Hidden matrices are updated by Muon, everything else by AdamW.
"""
import ctypes
import os
import subprocess
import tempfile

import torch
import torch.nn.functional as F

VOCAB = 1536
ROWS = 64                  # row granularity of matrix products

CONFIGS = {
    "moe": dict(hidden=256, layers=4, heads=8, kv_heads=2, head_dim=64, experts=8, top_k=2, inter=256,
                theta=1e6, eps=1e-6, tied=False, context=1024),
    "draft": dict(hidden=256, layers=2, heads=4, kv_heads=1, head_dim=64, experts=0, top_k=0, inter=256,
                  theta=1e4, eps=1e-6, tied=True, context=1024),
}


# ------------------------------------------------------------------- kernels
def load_kernels():
    """Compile and load train_kernels.cpp."""
    src = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_kernels.cpp")
    so = os.path.join(tempfile.mkdtemp(prefix="tiny-"), "k.so")
    subprocess.run(["g++", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC", "-o", so, src], check=True)
    return ctypes.CDLL(so)


KERNELS = None


def kernel(name, *args):
    """Call a kernel; tensors are passed as pointers (None as null)."""
    global KERNELS
    KERNELS = KERNELS or load_kernels()
    conv = []
    for a in args:
        if isinstance(a, torch.Tensor):
            assert a.is_contiguous()
            conv.append(ctypes.c_void_p(a.data_ptr()))
        else:
            conv.append(ctypes.c_void_p(None) if a is None else ctypes.c_float(a) if isinstance(a, float) else ctypes.c_long(a))
    getattr(KERNELS, name)(*conv)


# --------------------------------------------------------------------- model
BF = torch.bfloat16


class AddRMSNorm(torch.autograd.Function):
    """x + d (float32 + bfloat16) and its RMS norm (bfloat16)."""

    @staticmethod
    def forward(ctx, x, d, w, eps):
        n, h = x.shape
        xn, y, r = torch.empty_like(x), torch.empty(n, h, dtype=BF), torch.empty(n)
        kernel("add_rms_fwd", x, d, w.detach(), eps, n, h, xn, y, r)
        ctx.save_for_backward(xn, w, r)
        ctx.has_d = d is not None
        return xn, y

    @staticmethod
    def backward(ctx, gx, gy):
        xn, w, r = ctx.saved_tensors
        n, h = xn.shape
        dx, dw = torch.empty_like(xn), torch.zeros_like(w)
        dd = torch.empty(n, h, dtype=BF) if ctx.has_d else None
        kernel("add_rms_bwd", None if gx is None else gx.contiguous(), gy.contiguous(), xn, w, r, n, h, dx, dd, dw)
        return dx, dd, dw, None


class Attention(torch.autograd.Function):
    """Causal grouped-query attention on a fused projection [B*T, (nh+2nk)*D] with per-head q/k norm and RoPE."""

    @staticmethod
    def forward(ctx, qkv, qn, kn, cos, sin, c, B, T):
        nh, nk, D = c["heads"], c["kv_heads"], c["head_dim"]
        dims = (B, T, nh, nk, D)
        q, k, v = (torch.empty(B * nk, n * T, D, dtype=BF) for n in (nh // nk, 1, 1))
        r = torch.empty(B * T, nh + nk)
        kernel("qk_rope_fwd", qkv, qn.detach(), kn.detach(), cos, sin, c["eps"], D ** -0.5, *dims, q, k, v, r)
        p = torch.bmm(q, k.transpose(1, 2))
        kernel("softmax_fwd", p, B * nh * T, T)
        ctx.save_for_backward(qkv, qn, kn, cos, sin, r, q, k, v, p)
        ctx.dims = dims
        return torch.bmm(p, v).view(B, nh, T, D).transpose(1, 2).reshape(B * T, nh * D)

    @staticmethod
    def backward(ctx, g):
        qkv, qn, kn, cos, sin, r, q, k, v, p = ctx.saved_tensors
        B, T, nh, nk, D = ctx.dims
        g = g.view(B, T, nh, D).transpose(1, 2).reshape(B * nk, nh // nk * T, D)
        dv = torch.bmm(p.transpose(1, 2), g)
        ds = torch.bmm(g, v.transpose(1, 2))
        kernel("softmax_bwd", p, ds, B * nh * T, T)
        dq, dk = torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q)
        dqkv, dqn, dkn = torch.empty_like(qkv), torch.zeros_like(qn), torch.zeros_like(kn)
        kernel("qk_rope_bwd", dq, dk, dv, qkv, qn, kn, cos, sin, r, D ** -0.5, *ctx.dims, dqkv, dqn, dkn)
        return dqkv, dqn, dkn, None, None, None, None, None


class Experts(torch.autograd.Function):
    """sum_k w[n, k] * expert[sel[n, k]](x[n]) with SwiGLU experts; all tensors but w are bfloat16."""

    @staticmethod
    def forward(ctx, x, w, sel, wgu, wd):
        n, h = x.shape
        K, E, I = sel.shape[1], wgu.shape[0], wd.shape[2]
        flat = sel.reshape(-1)
        order = flat.argsort(stable=True)
        counts = torch.bincount(flat, minlength=E)
        # pad every expert's rows to a multiple of ROWS: oneDNN compiles a kernel per shape
        padded = (counts + ROWS - 1) // ROWS * ROWS
        shift = (padded.cumsum(0) - padded) - (counts.cumsum(0) - counts)
        dest = torch.empty(n * K, dtype=torch.long)
        dest[order] = torch.arange(n * K) + shift.repeat_interleave(counts)
        P = int(padded.sum())
        spans, o = [], 0
        for e, m in enumerate(padded.tolist()):
            if m:
                spans.append((e, slice(o, o + m)))
            o += m
        xs = torch.zeros(P, h, dtype=BF)
        kernel("moe_scatter", x, dest, n, K, h, xs)
        gu, a, y = (torch.empty(P, m, dtype=BF) for m in (2 * I, I, h))
        for e, s in spans:
            torch.mm(xs[s], wgu[e].t(), out=gu[s])
        kernel("swiglu_fwd", gu, P, I, a)
        for e, s in spans:
            torch.mm(a[s], wd[e].t(), out=y[s])
        out = torch.empty(n, h, dtype=BF)
        w = w.detach().contiguous()
        kernel("moe_combine", y, w, dest, n, K, h, out)
        ctx.save_for_backward(xs, w, dest, wgu, wd, gu, a, y)
        ctx.spans = spans
        ctx.mark_non_differentiable(counts)
        return out, counts

    @staticmethod
    def backward(ctx, g, _):
        xs, w, dest, wgu, wd, gu, a, y = ctx.saved_tensors
        (n, K), h, I = w.shape, xs.shape[1], wd.shape[2]
        dy, dw = torch.zeros_like(y), torch.empty_like(w)
        kernel("moe_combine_bwd", g.contiguous(), y, w, dest, n, K, h, dy, dw)
        da, dgu, dxs = torch.empty_like(a), torch.empty_like(gu), torch.empty_like(xs)
        dwgu, dwd = torch.zeros_like(wgu), torch.zeros_like(wd)
        for e, s in ctx.spans:
            torch.mm(dy[s], wd[e], out=da[s])
            torch.mm(dy[s].t(), a[s], out=dwd[e])
        kernel("swiglu_bwd", gu, da, gu.shape[0], I, dgu)
        for e, s in ctx.spans:
            torch.mm(dgu[s], wgu[e], out=dxs[s])
            torch.mm(dgu[s].t(), xs[s], out=dwgu[e])
        dx = torch.empty(n, h, dtype=BF)
        kernel("moe_combine", dxs, torch.ones_like(w), dest, n, K, h, dx)
        return dx, dw, None, dwgu, dwd


def init_params(c):
    g = torch.Generator().manual_seed(1)

    def mat(*shape, std):
        return torch.empty(*shape).normal_(0, std, generator=g)

    h, d, e, i = c["hidden"], c["head_dim"], c["experts"], c["inter"]
    std = h ** -0.5
    p = {"embed": mat(VOCAB, h, std=0.5 if not c["tied"] else 0.06)}
    if not c["tied"]:
        p["lm_head"] = torch.zeros(VOCAB, h)
    p["norm"] = torch.ones(h)
    for n in range(c["layers"]):
        b = f"{n}."
        p[b + "ln1"], p[b + "ln2"] = torch.ones(h), torch.ones(h)
        p[b + "qn"], p[b + "kn"] = torch.ones(d), torch.ones(d)
        p[b + "wq"] = mat(c["heads"] * d, h, std=std)
        p[b + "wk"] = mat(c["kv_heads"] * d, h, std=std)
        p[b + "wv"] = mat(c["kv_heads"] * d, h, std=std)
        p[b + "wo"] = mat(h, c["heads"] * d, std=0.02)
        if e:
            p[b + "router"] = mat(e, h, std=0.02)
        p[b + "wg"] = mat(max(e, 1), i, h, std=std)
        p[b + "wu"] = mat(max(e, 1), i, h, std=std)
        p[b + "wd"] = mat(max(e, 1), h, i, std=0.02)
    return {k: v.requires_grad_() for k, v in p.items()}


def rope_tables(c, n):
    inv = c["theta"] ** (-torch.arange(0, c["head_dim"], 2).float() / c["head_dim"])
    f = torch.outer(torch.arange(n).float(), inv)
    return f.cos().contiguous(), f.sin().contiguous()


class Model:
    def __init__(self, c, params=None):
        self.c = c
        self.p = params or init_params(c)
        self.cos, self.sin = rope_tables(c, c["context"])
        self.load = None

    def hidden(self, ids):
        """ids [B, T] -> (final normed states [B*T, H] bfloat16, load-balancing loss)"""
        c, p = self.c, self.p
        B, T = ids.shape
        E, K = c["experts"], c["top_k"]
        x, d = F.embedding(ids.reshape(-1), p["embed"]), None
        aux, loads = 0.0, []
        for n in range(c["layers"]):
            b = f"{n}."
            x, y = AddRMSNorm.apply(x, d, p[b + "ln1"], c["eps"])
            qkv = y @ torch.cat([p[b + "wq"], p[b + "wk"], p[b + "wv"]]).to(BF).t()
            a = Attention.apply(qkv, p[b + "qn"], p[b + "kn"], self.cos, self.sin, c, B, T)
            x, y = AddRMSNorm.apply(x, a @ p[b + "wo"].to(BF).t(), p[b + "ln2"], c["eps"])
            wgu = torch.cat([p[b + "wg"], p[b + "wu"]], 1).to(BF)
            wd = p[b + "wd"].to(BF)
            if E:
                probs = torch.softmax(y.float() @ p[b + "router"].t(), -1)
                w, sel = probs.topk(K, -1)
                d, counts = Experts.apply(y, w / w.sum(-1, keepdim=True), sel, wgu, wd)
                frac = counts.float() / sel.numel()
                aux = aux + E * (frac * probs.mean(0)).sum()
                loads.append(frac)
            else:
                one = torch.ones(B * T, 1)
                d, _ = Experts.apply(y, one, one.long() * 0, wgu, wd)
        self.load = torch.stack(loads) if loads else None
        return AddRMSNorm.apply(x, d, p["norm"], c["eps"])[1], aux / c["layers"]

    def logits(self, states):
        return (states @ self.p["embed" if self.c["tied"] else "lm_head"].bfloat16().t()).float()


# ----------------------------------------------------------------- optimizer
def orthogonalize(g, steps=5):
    """Newton-Schulz iteration of Muon on a batch of matrices [b, m, n]."""
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.transpose(-1, -2)
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).bfloat16()
    for _ in range(steps):
        a = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.transpose(-1, -2) if tall else x).float()


class Optimizer:
    def __init__(self, params, muon_lr=0.02, adam_lr=3e-3, wd=0.02):
        self.p, self.wd = params, wd
        self.lr = {}
        self.s = {}
        for k, v in params.items():
            base = k.split(".")[-1]
            if base in ("wq", "wk", "wv", "wo", "wg", "wu", "wd"):
                self.lr[k] = muon_lr
                self.s[k] = [torch.zeros_like(v)]
            else:
                self.lr[k] = {"embed": 2 * adam_lr, "lm_head": adam_lr, "router": adam_lr}.get(base, adam_lr)
                self.s[k] = [torch.zeros_like(v), torch.zeros_like(v)]
        self.t = 0

    @torch.no_grad()
    def step(self, scale):
        self.t += 1
        groups = {}
        for k, v in self.p.items():
            g = v.grad
            s = self.s[k]
            if len(s) == 1:
                s[0].lerp_(g, 0.05)
                u = torch.lerp(g, s[0], 0.95)
                groups.setdefault(v.shape[-2:], []).append((k, v, u if u.dim() == 3 else u[None]))
            else:
                lr = self.lr[k] * scale
                s[0].lerp_(g, 0.1)
                s[1].lerp_(g * g, 0.02)
                m, n = s[0] / (1 - 0.9 ** self.t), s[1] / (1 - 0.98 ** self.t)
                v.sub_(m / (n.sqrt() + 1e-10), alpha=lr)
            v.grad = None
        for (rows, cols), items in groups.items():
            u = orthogonalize(torch.cat([i[2] for i in items]))
            o = 0
            for k, v, g in items:
                lr = self.lr[k] * scale
                upd = u[o:o + g.shape[0]].view_as(v)
                o += g.shape[0]
                v.mul_(1 - lr * self.wd).sub_(upd, alpha=lr * max(1, rows / cols) ** 0.5)
