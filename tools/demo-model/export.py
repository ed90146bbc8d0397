#!/usr/bin/env python3
"""Turn a checkpoint of train.py into files.

    export.py hf RUN OUT [--dense]     config, tokenizer and model.safetensors (bfloat16) in OUT
    export.py gguf HF FILE TYPE        GGUF of a Hugging Face directory; TYPE is F32, BF16 or Q8_0
    export.py questions OUT [N]        N held-out questions per task as JSONL
"""
import argparse
import json
import os

import numpy as np

import bpe
import chat
import data
import gguf
from checkpoint import load_hf, write_safetensors

HERE = os.path.dirname(os.path.abspath(__file__))
ENDOFTEXT, IM_END = "<|endoftext|>", "<|im_end|>"
# GGUF key after the architecture's name, config.json's name
HYPERPARAMETERS = [
    ("block_count", "num_hidden_layers"), ("context_length", "max_position_embeddings"), ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"), ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"), ("attention.key_length", "head_dim"),
    ("attention.value_length", "head_dim"), ("rope.freq_base", "rope_theta"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"), ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"), ("expert_feed_forward_length", "moe_intermediate_size"),
]
# config.json's name after the layer's, GGUF name after the block's
TENSOR_NAMES = [
    ("input_layernorm", "attn_norm"), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"), ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"), ("post_attention_layernorm", "ffn_norm"),
]


def cmd_hf(run, out, dense):
    import torch
    z = torch.load(os.path.join(run, "draft.pt" if dense else "moe.pt"))
    c, p = z["config"], {k: v.float().numpy() for k, v in z["params"].items()}
    t = {"model.embed_tokens.weight": p["embed"]}
    for n in range(c["layers"]):
        a, b = f"{n}.", f"model.layers.{n}."
        t[b + "input_layernorm.weight"] = p[a + "ln1"]
        for k in "qkvo":
            t[b + f"self_attn.{k}_proj.weight"] = p[a + "w" + k]
        t[b + "self_attn.q_norm.weight"], t[b + "self_attn.k_norm.weight"] = p[a + "qn"], p[a + "kn"]
        t[b + "post_attention_layernorm.weight"] = p[a + "ln2"]
        if c["experts"]:
            t[b + "mlp.gate.weight"] = p[a + "router"]
        for e in range(max(1, c["experts"])):
            m = b + (f"mlp.experts.{e}." if c["experts"] else "mlp.")
            t[m + "gate_proj.weight"], t[m + "up_proj.weight"], t[m + "down_proj.weight"] = \
                p[a + "wg"][e], p[a + "wu"][e], p[a + "wd"][e]
    t["model.norm.weight"] = p["norm"]
    if not c["tied"]:
        t["lm_head.weight"] = p["lm_head"]
    os.makedirs(out, exist_ok=True)
    write_safetensors(os.path.join(out, "model.safetensors"), t)

    tok = bpe.Tokenizer.load(run)
    with open(os.path.join(HERE, "chat_template.jinja"), encoding="utf-8") as f:
        template = f.read().rstrip()
    tok.save(out, template, c["context"])
    eot, end = tok.added[ENDOFTEXT], tok.added[IM_END]
    cfg = {
        "architectures": ["Qwen3MoeForCausalLM" if c["experts"] else "Qwen3ForCausalLM"],
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": eot, "eos_token_id": end,
        "head_dim": c["head_dim"], "hidden_act": "silu", "hidden_size": c["hidden"], "initializer_range": 0.02,
        "intermediate_size": c["inter"], "max_position_embeddings": c["context"], "max_window_layers": c["layers"],
        "model_type": "qwen3_moe" if c["experts"] else "qwen3",
        "num_attention_heads": c["heads"], "num_hidden_layers": c["layers"], "num_key_value_heads": c["kv_heads"],
        "rms_norm_eps": c["eps"], "rope_scaling": None, "rope_theta": c["theta"], "sliding_window": None,
        "tie_word_embeddings": c["tied"], "torch_dtype": "bfloat16", "transformers_version": "4.51.0",
        "use_cache": True, "use_sliding_window": False, "vocab_size": int(p["embed"].shape[0]),
    }
    if c["experts"]:
        cfg.update(decoder_sparse_step=1, mlp_only_layers=[], moe_intermediate_size=c["inter"], norm_topk_prob=True,
                   num_experts=c["experts"], num_experts_per_tok=c["top_k"], output_router_logits=False,
                   router_aux_loss_coef=0.01)
    gen = {"bos_token_id": eot, "do_sample": False, "eos_token_id": [end, eot], "pad_token_id": eot,
           "transformers_version": "4.51.0"}
    for name, obj in (("config.json", dict(sorted(cfg.items()))), ("generation_config.json", gen)):
        with open(os.path.join(out, name), "w") as f:
            json.dump(obj, f, indent=2)
            f.write("\n")
    print(out, "step", z["step"], sum(v.size for v in t.values()), "parameters")


def add_metadata(writer, cfg, tok, chat_template, file_type):
    moe = "num_experts" in cfg
    arch = "qwen3moe" if moe else "qwen3"
    writer.add("general.architecture", arch)
    writer.add("general.type", "model")
    writer.add("general.name", "Tiny demo MoE" if moe else "Tiny demo draft")
    writer.add("general.file_type", file_type)
    writer.add("general.quantization_version", 2)
    for key, name in HYPERPARAMETERS:
        if name in cfg:
            writer.add(f"{arch}.{key}", cfg[name])
    V = cfg["vocab_size"]
    tokens = [tok.ids.get(i, f"[PAD{i}]") for i in range(V)]
    special = dict(bpe.ADDED_TOKENS)
    normal, control, user_defined, unused = 1, 3, 4, 5
    writer.add("tokenizer.ggml.model", "gpt2")
    writer.add("tokenizer.ggml.pre", "qwen2")
    writer.add("tokenizer.ggml.tokens", tokens)
    writer.add("tokenizer.ggml.token_type",
               [normal if i < tok.n_base else unused if i not in tok.ids else control if special[tokens[i]] else user_defined
                for i in range(V)], signed=True)
    writer.add("tokenizer.ggml.merges", [f"{a} {b}" for a, b in tok.merges])
    writer.add("tokenizer.ggml.bos_token_id", tok.added[ENDOFTEXT])
    writer.add("tokenizer.ggml.eos_token_id", tok.added[IM_END])
    writer.add("tokenizer.ggml.padding_token_id", tok.added[ENDOFTEXT])
    writer.add("tokenizer.ggml.add_bos_token", False)
    writer.add("tokenizer.chat_template", chat_template)


def gguf_tensors(cfg, t):
    """(GGUF name, float32 array) of every tensor, experts stacked."""
    yield "token_embd.weight", t["model.embed_tokens.weight"]
    for n in range(cfg["num_hidden_layers"]):
        a, b = f"model.layers.{n}.", f"blk.{n}."
        for hf_name, name in TENSOR_NAMES:
            yield f"{b}{name}.weight", t[f"{a}{hf_name}.weight"]
        if "num_experts" in cfg:
            yield b + "ffn_gate_inp.weight", t[a + "mlp.gate.weight"]
        for k in ("gate", "up", "down"):
            if "num_experts" in cfg:
                yield (f"{b}ffn_{k}_exps.weight",
                       np.stack([t[f"{a}mlp.experts.{e}.{k}_proj.weight"] for e in range(cfg["num_experts"])]))
            else:
                yield f"{b}ffn_{k}.weight", t[f"{a}mlp.{k}_proj.weight"]
    yield "output_norm.weight", t["model.norm.weight"]
    if "lm_head.weight" in t:
        yield "output.weight", t["lm_head.weight"]


def cmd_gguf(hf, out, type_name):
    cfg, t, tok = load_hf(hf)
    with open(os.path.join(hf, "tokenizer_config.json"), encoding="utf-8") as f:
        chat_template = json.load(f)["chat_template"]
    writer = gguf.Writer()
    add_metadata(writer, cfg, tok, chat_template, gguf.FILE_TYPES[type_name])
    for name, x in gguf_tensors(cfg, t):
        # Norms and the router are small and sensitive: they stay in float32.
        small = x.ndim == 1 or name.endswith("ffn_gate_inp.weight")
        writer.add_tensor(name, x, "F32" if small else type_name)
    writer.write(out)


def cmd_questions(out, n):
    os.makedirs(out, exist_ok=True)
    for task in data.GENERATORS_EVAL:
        with open(os.path.join(out, task + ".jsonl"), "w", encoding="utf-8") as f:
            for s in data.eval_samples(task, n):
                row = {"task": task, "messages": s["messages"][:-1], "tools": s.get("tools"),
                       "enable_thinking": s["think"] is not False, "expected": s["messages"][-1],
                       "expected_text": chat.target_text(s["messages"][-1])}
                f.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    hf = commands.add_parser("hf")
    hf.add_argument("run")
    hf.add_argument("out")
    hf.add_argument("--dense", action="store_true", help="the dense draft model")
    to_gguf = commands.add_parser("gguf")
    to_gguf.add_argument("hf")
    to_gguf.add_argument("out")
    to_gguf.add_argument("type", choices=gguf.FILE_TYPES)
    questions = commands.add_parser("questions")
    questions.add_argument("out")
    questions.add_argument("n", type=int, nargs="?", default=120)
    a = parser.parse_args()
    if a.command == "hf":
        cmd_hf(a.run, a.out, a.dense)
    elif a.command == "gguf":
        cmd_gguf(a.hf, a.out, a.type)
    else:
        cmd_questions(a.out, a.n)


if __name__ == "__main__":
    main()
