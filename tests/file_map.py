"""Writes the README's file map: python -m tests.file_map."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "spillover"


def file_map() -> str:
    """Return the map as a Markdown table: every module and its first line."""
    lines = ["| file in `src/spillover` | what it is for |", "| --- | --- |"]
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: (len(path.relative_to(PACKAGE).parts), str(path))):
        name = str(path.relative_to(PACKAGE))
        if path.name != "__init__.py" or name == "__init__.py":
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            lines.append(f"| `{name}` | {docstring.splitlines()[0].replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def with_map(readme: str) -> str:
    """Return the README with its map up to date."""
    return re.sub(r"(## File map\n\n).*?(\n\nApache)", lambda m: m[1] + file_map() + m[2], readme, flags=re.S)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_map(path.read_text(encoding="utf-8")), encoding="utf-8")
