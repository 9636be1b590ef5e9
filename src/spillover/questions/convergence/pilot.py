"""The key `pilot` of a study file: every variant once more on a few rows, to forecast from what it would come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field

from spillover.settings import Settings
from spillover.steps.derive import Derive
from spillover.steps.finetune import Finetune
from spillover.study.design import Designed, Part
from spillover.study.study import Study
from spillover.study.study_file import StudyFile, VariantEntry


class PilotKey(Settings):
    """What convergence adds to a study file."""

    pilot: int = Field(default=0, ge=0)
    """Training rows of a pilot of every variant that has more, trained alike; 0 trains none."""


@dataclass(frozen=True, kw_only=True)
class Pilot(Part):
    """What a pilot is there for."""

    of: str
    """The name of what it is the pilot of."""


def pilots(settings: StudyFile) -> Iterator[Designed]:
    """Yield the pilot of every variant, or point of a sweep, that trains on more rows."""
    assert isinstance(settings, PilotKey)
    for entry in settings.variants:
        if settings.pilot and isinstance(entry, VariantEntry) and max(entry.sizes) > settings.pilot:
            for point in entry.points(where="pilot"):
                changed = {"name": f"{point.name}.pilot", "sizes": (settings.pilot,), "asked": ()}
                yield Designed(entry=point.model_copy(update=changed), part=Pilot(of=point.name, is_control=True))


def pilots_of(study: Study) -> Mapping[str, str]:
    """Return the id of every variant that has a pilot of its own seed to the pilot's id."""
    trained = [model for model in study.models if isinstance(model, Finetune | Derive)]
    found = {}
    for model in trained:
        for other in trained:
            part = study.part_of(other)
            if isinstance(part, Pilot) and _is_pilot_of(other, part, model) and model.size > other.size:
                found[model.variant] = other.variant
    return found


def _is_pilot_of(pilot: Finetune | Derive, part: Pilot, model: Finetune | Derive) -> bool:
    trains_alike = (model.trained.name, model.data, model.seed) == (part.of, pilot.data, pilot.seed)
    changes = [step.change if isinstance(step, Derive) else None for step in (pilot, model)]
    return trains_alike and changes[0] == changes[1] and pilot.trained.rows.mixture == model.trained.rows.mixture
