"""Which mixture is chosen on validation rows, never on test rows, beside the one that was fixed beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.questions.mixing.arms import CONTROLS
from spillover.questions.mixing.gains import ArmResult


@dataclass(frozen=True, slots=True)
class Choice:
    """What validation rows say of one target and size."""

    chosen: ArmResult
    """Of the compared mixtures the one with the lowest validation loss."""
    full: ArmResult | None
    """The mixture of all tasks, fixed beforehand; None where the study has none."""
    alone_loss: float | None
    """Validation loss of the target alone, nats per target token."""
    compared_count: int
    """Mixtures with a validation loss."""
    unmeasured_count: int
    """Mixtures without one, which could not be chosen."""

    @property
    def is_worth_adding(self) -> bool | None:
        """Whether the chosen mixture has a lower validation loss than the target alone; None where that has none."""
        loss = self.chosen.arm.validation_loss
        return None if self.alone_loss is None or loss is None else loss < self.alone_loss


def settings_of(results: Sequence[ArmResult]) -> tuple[tuple[ArmResult, ...], ...]:
    """Return the mixtures that compete for each target and size: those with a gain, told right."""
    found: dict[tuple[object, ...], list[ArmResult]] = {}
    for result in results:
        if result.gain is not None and result.arm.kind not in CONTROLS and not result.arm.false_share:
            found.setdefault(result.arm.setting, []).append(result)
    return tuple(candidates(own) for own in found.values())


def candidates(results: Sequence[ArmResult]) -> tuple[ArmResult, ...]:
    """Return every mixture once: in its additive form where it has one, and not under two names."""
    additive = {item.arm.content for item in results if item.arm.budget != "matched"}
    own = [item for item in results if item.arm.budget != "matched" or item.arm.content not in additive]
    return tuple({(item.arm.label, item.arm.general_rows): item for item in reversed(own)}.values())[::-1]


def choices(results: Sequence[ArmResult]) -> tuple[Choice, ...]:
    """Return the choice for each target and size where at least two mixtures have a validation loss."""
    return tuple(choice for own in settings_of(results) if (choice := chosen(own, results)))


def chosen(own: Sequence[ArmResult], results: Sequence[ArmResult]) -> Choice | None:
    """Return the choice among the mixtures of one target and size, given the results of all arms."""
    measured = [(item.arm.validation_loss, item) for item in own if item.arm.validation_loss is not None]
    if len(measured) < 2:
        return None
    _, best = min(measured, key=lambda pair: pair[0])
    same = [item for item in results if item.arm.setting == best.arm.setting]
    full = [item for item in same if item.arm.kind == "all"]
    losses = [item.arm.validation_loss for item in same if item.arm.kind == "alone"]
    unmeasured = len(own) - len(measured)
    return Choice(best, full[0] if full else None, losses[0] if losses else None, len(measured), unmeasured)
