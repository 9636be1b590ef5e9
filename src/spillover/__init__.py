"""What fine-tuning an LLM does to everything it was not fine-tuned on: the names a notebook starts from."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spillover.api import Comparison, Results, load_results, load_study, run
    from spillover.errors import SpilloverError, UserError

__all__ = [
    "Comparison",
    "Results",
    "SpilloverError",
    "UserError",
    "load_results",
    "load_study",
    "run",
]
__version__ = "0.1.0"

_HOMES = {"SpilloverError": "spillover.errors", "UserError": "spillover.errors"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that `import spillover` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "spillover.api")), name)


def __dir__() -> list[str]:
    """List the public names before they are imported."""
    return [*__all__, "__version__"]
