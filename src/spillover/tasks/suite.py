"""A suite: a YAML file of tasks whose families share defaults."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field

from spillover.artifacts.files import own_path
from spillover.errors import UserError, unknown_name
from spillover.prompts.template import Template
from spillover.settings import Settings, load_yaml, parse_settings
from spillover.tasks.source import Places, release_file, source_digests
from spillover.tasks.task import Prompt, Task

_NOT_ROWS = {
    "digest",
    "licence",
    "metrics",
    "primary_metric",
    "shots",
    "fticl_shots",
    "generation",
    "prompts",
    "length_normalised",
    "kind",
    "closed_book",
}
"""Settings of a task that change no row; everything else is in its identity."""


class SuiteFile(Settings):
    """What a suite's file says."""

    about: str = ""
    include: tuple[str, ...] = ()
    """Built-in suites whose families and tasks are added."""
    base_url: str | None = None
    training: dict[str, object] = Field(default_factory=dict)
    families: dict[str, dict[str, object]] = Field(default_factory=dict)
    tasks: dict[str, dict[str, object]] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Suite:
    """Tasks by name, and where their files are."""

    name: str
    path: Path
    tasks: Mapping[str, Task]
    folder: Path | None = None
    """What the user named: the release's folder, or one of already downloaded archives."""
    base_url: str | None = None
    """Where a release is downloaded from when no folder is named."""
    training_defaults: Mapping[str, object] = field(default_factory=dict)
    """Settings of training that suit this suite's data, such as ``learning_rate``."""
    about: str = ""

    def task(self, name: str) -> Task:
        """Return a task; an unknown name raises UserError with the nearest ones."""
        if name not in self.tasks:
            raise unknown_name(f"task of suite {self.name!r}", name, self.tasks)
        return self.tasks[name]

    def places(self, cache: Path, *, notice: Callable[[str], None] | None = None) -> Places:
        """Return where this suite's files are looked for."""
        return Places(self.path.parent, cache, self.folder, self.base_url, notice)

    def template(self, task: Task, form: int, *, cache: Path) -> Template:
        """Return a task's prompt in one form, read from the release where the suite only refers to it."""
        prompt = self._prompt(task, form)
        if prompt.sha256 is None:
            return Template(prompt.text)
        try:
            value: Any = json.loads(release_file(prompt.folder, prompt.sha256, self.places(cache)))
        except ValueError as error:
            raise UserError(f"{prompt.folder}: is not JSON ({error}); prompt {form} is read from it") from None
        for key in prompt.at:
            try:
                value = value[key]
            except (LookupError, TypeError):
                raise UserError(
                    f"{prompt.folder}: has no {key!r}, which prompt {form} of {task.name!r} asks for"
                ) from None
        template = Template(str(value))
        if unknown := set(template.fields) - set(task.columns):
            raise UserError(
                f"{prompt.folder}: prompt {form} of {task.name!r} asks for unknown fields {sorted(unknown)}"
            )
        return template

    def identity(self, task: Task, *, cache: Path) -> dict[str, object]:
        """Return, as plain data, everything that can change the task's prepared rows."""
        settings = task.identity(exclude=_NOT_ROWS | {"sources"})
        sources = {
            part: [source.identity() for source in getattr(task.sources, part)]
            for part in type(task.sources).model_fields
        }
        return {**settings, "sources": sources, "digests": source_digests(task.sources.all, self.places(cache))}

    def _prompt(self, task: Task, form: int) -> Prompt:
        if form not in task.prompts:
            raise unknown_name(f"prompt form of task {task.name!r}", str(form), map(str, task.prompts))
        return task.prompts[form]


def builtin_suites() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(Path(entry.name).stem for entry in _SUITES.iterdir() if entry.name.endswith(".yaml"))


def load_suite(name_or_path: str | Path, *, folder: Path | None = None) -> Suite:
    """Read a built-in suite by name or a user's by path; every mistake in it raises UserError.

    ``folder`` holds the files of the suite's release, or already downloaded archives.
    """
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder}: is no folder; give the folder that holds the suite's files")
    path = _suite_path(name_or_path)
    file = parse_settings(SuiteFile, load_yaml(path), where=str(path))
    for name, defaults in file.families.items():
        for key in defaults:
            if key not in Task.model_fields:
                message = unknown_name("setting", key, Task.model_fields)
                raise UserError(f"{path}: families.{name}: {message}")
    tasks: dict[str, Task] = {}
    for name in file.include:
        if name not in builtin_suites():
            raise UserError(f"{path}: include: {unknown_name('suite', name, builtin_suites())}")
        included = load_suite(name)
        if included.base_url:
            raise UserError(f"{path}: include: suite {name!r} has a release of its own; copy the tasks you need")
        tasks.update(included.tasks)
    tasks.update((name, _task(name, settings, file, path)) for name, settings in file.tasks.items())
    return Suite(path.stem, path, tasks, folder, file.base_url, file.training, file.about)


_SUITES = resources.files("spillover.tasks").joinpath("suites")


def _suite_path(name_or_path: str | Path) -> Path:
    if str(name_or_path) in builtin_suites():
        return Path(str(_SUITES.joinpath(f"{name_or_path}.yaml")))
    path = own_path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    raise UserError(f"{unknown_name('suite', str(name_or_path), builtin_suites())} (or give the path of a .yaml file)")


def _task(name: str, settings: dict[str, object], file: SuiteFile, path: Path) -> Task:
    where = f"{path}: task {name!r}"
    family = settings.get("family")
    if not isinstance(family, str):
        raise UserError(f"{where}: family is missing; add it, known: {', '.join(file.families) or 'none'}")
    if family not in file.families:
        raise UserError(f"{where}: {unknown_name('family', family, file.families)}")
    return parse_settings(Task, {"domain": name, **file.families[family], **settings, "name": name}, where=where)
