"""The command `schema`: what study and suite files may say, as JSON schema for editors."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from spillover.commands.terminal import terminal

commands = typer.Typer()

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Kind(StrEnum):
    """Which file."""

    STUDY = "study"
    SUITE = "suite"


@commands.command()
def schema(
    kind: Annotated[Kind, typer.Argument(help="The kind of file.", show_default=True)] = Kind.STUDY,
) -> None:
    """Print the JSON schema of study or suite files, with which an editor completes and checks them."""
    terminal.json(study_schema() if kind is Kind.STUDY else suite_schema())


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file."""
    from spillover.questions import QUESTIONS
    from spillover.study.study_file import study_file
    from spillover.training.optimization import TrainingSettings

    made = study_file(QUESTIONS).model_json_schema()
    training = _with_definitions(made, TrainingSettings.model_json_schema())
    for owner in (made, made["$defs"]["VariantEntry"]):
        owner["properties"]["training"] |= training
    return {"$schema": DIALECT, **made}


def suite_schema() -> dict[str, Any]:
    """Return the JSON schema of a suite file: a family's settings are defaults of its tasks', so none is required."""
    from spillover.tasks.suite import SuiteFile
    from spillover.tasks.task import Task
    from spillover.training.optimization import TrainingSettings

    made = SuiteFile.model_json_schema()
    task = _with_definitions(made, Task.model_json_schema())
    for part in ("required", "description"):
        task.pop(part, None)
    made["properties"]["families"]["additionalProperties"] = task
    made["properties"]["tasks"]["additionalProperties"] = {**task, "required": ["family"]}
    made["properties"]["training"] |= _with_definitions(made, TrainingSettings.model_json_schema())
    return {"$schema": DIALECT, **made}


def _with_definitions(owner: dict[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a schema after moving what it refers to to its owner."""
    owner.setdefault("$defs", {}).update(part.get("$defs", {}))
    return {name: value for name, value in part.items() if name != "$defs"}
