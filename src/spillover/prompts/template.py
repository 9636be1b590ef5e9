"""Prompt text with named places for the fields of an example."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spillover.errors import UserError
from spillover.records import Example

_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt text in which ``{name}`` stands for a field; every other brace is plain text."""

    text: str

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields the text asks for, in the order of their first appearance."""
        return tuple(dict.fromkeys(_PLACE.findall(self.text)))

    def render(self, fields: Mapping[str, str]) -> str:
        """Put the fields into the text in one pass, so that braces inside a field stay as they are."""
        for name in self.fields:
            if name not in fields:
                raise UserError(
                    f"the prompt {self.text!r} asks for the field {name!r}, but the example has only: "
                    f"{', '.join(sorted(fields)) or 'none'}; add the field to the task's columns or change the prompt"
                )
        return _PLACE.sub(lambda place: fields[place.group(1)], self.text)

    def with_line(self, line: str) -> "Template":
        """Return the text with a line after its last field, before the words that ask for the answer."""
        end = max(place.end() for place in _PLACE.finditer(self.text))
        return Template(f"{self.text[:end]}\n{line}{self.text[end:]}")


SEPARATOR = "\n\n"
"""Between a demonstration's target and what follows it."""

CONTENT_FREE = ("N/A", "[MASK]", "")
"""What takes the place of every field in a content-free prompt (Zhao et al. 2021, section 5)."""


def content_free_prompts(
    template: Template, demonstrations: Sequence[Example], *, shown_as: Template | None = None
) -> tuple[str, ...]:
    """Build the cell's prompt with nothing in its fields, once for each text of `CONTENT_FREE`."""
    fields = [dict.fromkeys(template.fields, text) for text in CONTENT_FREE]
    return demonstrated_prompts(template, demonstrations, fields, shown_as=shown_as)


def premise(template: Template) -> str:
    """Return the words after the last field, as ``### Answer:``; empty when the template ends with a field."""
    return _PLACE.split(template.text)[-1].lstrip()


def demonstrated_prompt(template: Template, demonstrations: Sequence[Example], fields: Mapping[str, str]) -> str:
    """Build P(d1)+target1+separator+...+P(x): worked demonstrations, then the open question.

    A target follows its prompt directly, without a space (genpower sheet, 2.2 and 2.4).
    """
    return demonstrated_prompts(template, demonstrations, [fields])[0]


def demonstrated_prompts(
    template: Template,
    demonstrations: Sequence[Example],
    questions: Iterable[Mapping[str, str]],
    *,
    shown_as: Template | None = None,
) -> tuple[str, ...]:
    """Build the prompt of each question's fields behind the same demonstrations, which are rendered once.

    Args:
        shown_as: The template of demonstrations, where it is another one than the question's.
    """
    form = shown_as or template
    shown = "".join(f"{form.render(shot.fields)}{shot.target}{SEPARATOR}" for shot in demonstrations)
    return tuple(shown + template.render(fields) for fields in questions)
