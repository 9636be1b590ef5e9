"""Writes the map of files in docs/architecture.md: python -m tests.file_map."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "spillover"
PAGE = ROOT / "docs" / "architecture.md"


def file_map() -> str:
    """Return the map as a Markdown table: every module and its first line."""
    lines = ["| file in `src/spillover` | what it is for |", "| --- | --- |"]
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: (len(path.relative_to(PACKAGE).parts), str(path))):
        name = str(path.relative_to(PACKAGE))
        if path.name != "__init__.py" or name == "__init__.py":
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            lines.append(f"| `{name}` | {docstring.splitlines()[0].replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def with_map(page: str) -> str:
    """Return the page with its map up to date."""
    return page.split("## Files\n")[0] + f"## Files\n\n{file_map()}\n"


if __name__ == "__main__":
    PAGE.write_text(with_map(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
