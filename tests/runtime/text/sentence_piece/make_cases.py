#!/usr/bin/env python3
"""Writes cases.json: a small vocabulary that the sentencepiece library trained, and the ids that it gives to texts.

    tests/runtime/text/sentence_piece/make_cases.py      (needs python3-sentencepiece)
"""
import io
import json
import random
from pathlib import Path

import sentencepiece

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]

TEXTS = [
    "Hello world", "hello", " leading", "  two spaces", "trailing ", "a", " ", "   ", "",
    "Requests are answered while a model loads.", "one\ntwo\n\nthree", "tab\tand\r\nreturn", "12345 + 678 = 13023",
    "naïve café", "日本語のテキスト", "emoji 🙂🙃 here", "mixed ünïcödé", "C++20 std::vector<int> x{1, 2};", "<s> [INST] text",
    "the the the the", "aaaaaaaaaaaaaaaaaaaaaaaa", "thequickbrownfox", "\u00a0nbsp", "e\u0301 combining", "\x00nul",
]


def main() -> None:
    corpus = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus.splitlines()), model_writer=model, model_type="bpe", vocab_size=700, byte_fallback=True,
        character_coverage=0.999, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True,
        split_digits=True, num_threads=1, minloglevel=2)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    types = [2 if processor.is_unknown(i) else 3 if processor.is_control(i) else 6 if processor.is_byte(i) else 1
             for i in range(processor.get_piece_size())]
    generator = random.Random(1)
    words = corpus.split()
    texts = TEXTS + ["".join(generator.choice([" ", "  ", ""]) + generator.choice(words) for _ in range(12)) for _ in range(40)]
    cases = {
        "pieces": [processor.id_to_piece(i) for i in range(len(types))],
        "scores": [processor.get_score(i) for i in range(len(types))],
        "types": types,
        # The library ends a text at a NUL that it is given as a C string; such texts are left out.
        "cases": [{"text": text, "ids": processor.encode(text)} for text in texts if "\0" not in text],
    }
    (HERE / "cases.json").write_text(json.dumps(cases, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
