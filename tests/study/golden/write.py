"""Writes the golden file after saying what it changes: python -m tests.study.golden.write."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.study.golden.pinned import FILE, described, differences, read, written
from tests.study.golden.steps import golden_steps


def main() -> None:
    with TemporaryDirectory() as folder:
        found = described(golden_steps(Path(folder)))
    for line in differences(read(), found) if FILE.exists() else []:
        print(line)
    FILE.write_text(written(found), encoding="utf-8")
    print(f"{FILE.name}: {len(found)} steps of {len({step['kind'] for step in found.values()})} kinds")


if __name__ == "__main__":
    sys.exit(main())
