"""The one door to a terminal: nothing from data steers it, hides in it or gives away a password."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from spillover.errors import shown


class SafeConsole(Console):
    """A console whose texts pass `shown`, in tables and progress bars as well; colours are added behind it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the pieces of a renderable, each one shown as text."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(shown(piece.text), piece.style)
