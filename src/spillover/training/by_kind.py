"""Lets a slot of a recipe be chosen by its kind: a mapping with `kind`, or the bare word."""

from collections.abc import Mapping
from typing import Literal, Union

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from spillover.errors import unknown_name
from spillover.settings import Settings


def by_kind(slot: str, *choices: type[Settings]) -> BeforeValidator:
    """Return the validator of a slot: it expands the bare word and refuses an unknown kind with the nearest ones.

    Args:
        slot: The slot's name, for the message.
        choices: Settings whose field ``kind`` has the word as its default.
    """
    kinds = [str(choice.model_fields["kind"].default) for choice in choices]

    def chosen(value: object) -> object:
        if isinstance(value, str):
            value = {"kind": value}
        if isinstance(value, Mapping):
            if "kind" not in value:
                raise PydanticCustomError(
                    "no_kind", "{message}", {"message": f"kind is missing; add one of: {', '.join(kinds)}"}
                )
            if value["kind"] not in kinds:
                message = str(unknown_name(f"kind of {slot}", str(value["kind"]), kinds))
                raise PydanticCustomError("unknown_kind", "{message}", {"message": message})
        return value

    return BeforeValidator(chosen, json_schema_input_type=Union[Literal[tuple(kinds)], *choices])
