"""A whole study in miniature: a tiny model and tokenizer on disk, a suite of made rows, and a study file."""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ["good", "bad", "dog", "cat", "sun", "rain", "big", "small", "blue", "red", "runs", "sits", "what", "who"]


def make_model(folder: Path, *, seed: int = 0) -> Path:
    """Save a tiny random Llama with a word-level tokenizer."""
    import torch

    alphabet = sorted({chr(code) for code in range(32, 127)} | {"\n"})
    vocabulary = {token: index for index, token in enumerate(["<end>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=0,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _sentence(draw: random.Random) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(5))


def make_rows(folder: Path, name: str, count: int, *, labels: bool) -> None:
    """Write a CSV-like JSONL of made rows."""
    draw = random.Random(name)
    lines = []
    for index in range(count):
        text = f"{_sentence(draw)} {index}"
        target = ("up" if "good" in text or "sun" in text else "down") if labels else text.split()[0]
        lines.append(json.dumps({"text": text, "answer": target}))
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


SUITE = """
families:
  mood:
    prompts: {1: "Text:{text}\\nMood:"}
    answers: [up, down]
    shots: [0, 2]
  echo:
    prompts: {1: "Text:{text}\\nWord:"}
    shots: [0, 1]
    generation: {max_new_tokens: 5}
tasks:
"""
TASK = """
  {name}:
    family: {family}
    sources: {{pool: {name}.jsonl}}
    columns: {{text: text}}
    target: answer
    split: {{demonstrations: 4, test: 12}}
"""
STUDY = """
base: ./model
suite: ./made.yaml
variants:
  - {{name: sft, train_on: [first, words], sizes: [16]}}
  - {{name: fticl, train_on: first, sizes: [16], recipe: {{demonstrations: 2}}}}
shots: [0, 2]
test_limit: 10
training: {{epochs: 1, batch_size: 4, learning_rate: 0.01}}
precision: float32
{more}
"""


def make_study(folder: Path, *, more: str = "") -> Path:
    """Write everything a study needs and return its file: three tasks of two families, three variants."""
    folder.mkdir(parents=True, exist_ok=True)
    make_model(folder / "model")
    tasks = ""
    for name, family, labels in (("first", "mood", True), ("second", "mood", True), ("words", "echo", False)):
        make_rows(folder, name, 60, labels=labels)
        tasks += TASK.format(name=name, family=family)
    (folder / "made.yaml").write_text(SUITE + tasks, encoding="utf-8")
    path = folder / "study.yaml"
    path.write_text(STUDY.format(more=more), encoding="utf-8")
    return path
