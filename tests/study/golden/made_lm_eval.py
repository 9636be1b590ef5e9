"""A task as lm-eval makes them, without lm-eval; keys hold the digest of this file, so its bytes are pinned too."""

from dataclasses import dataclass, field
from typing import Any


def newest_first(rows):
    return rows[::-1]


@dataclass
class Config:
    task: str = "moods"
    test_split: str = "test"
    doc_to_text: str = "Text: {{text}}\nMood:"
    doc_to_choice: tuple[str, ...] = ("up", "down")
    num_fewshot: int | None = None
    repeats: int = 1
    temperature: float = 0.5
    process_docs: Any = newest_first
    generation_kwargs: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=lambda: {"version": 1.0, "config_source": "/a/path/of/no/key"})


@dataclass
class Request:
    doc_id: int
    idx: int
    doc: dict[str, str]
    args: tuple[str, str]
    request_type: str = "loglikelihood"


class Moods:
    """Asks for the mood of three texts, two of which are the same."""

    OUTPUT_TYPE = "multiple_choice"

    def __init__(self):
        self.config = Config()
        self.instances = []
        self._seed = 0

    def get_config(self, name):
        return getattr(self.config, name)

    def set_config(self, name, value):
        setattr(self.config, name, value)

    def set_fewshot_seed(self, seed):
        self._seed = seed

    def build_all_requests(self, *, limit):
        shown = "".join(f"Text: shown {self._seed + index}\nMood: up\n" for index in range(self.config.num_fewshot))
        texts = ("the sun is out", "the rain came in", "the sun is out", "a dog slept")[:limit]
        self.instances = [
            Request(number, index, {"text": text}, (f"{shown}Text: {text}\nMood:", f" {answer}"))
            for number, text in enumerate(texts)
            for index, answer in enumerate(self.config.doc_to_choice)
        ]
