"""The report of a made store of 500 cells: CPU seconds to write it, bytes of the page, seconds to open it.

Run: python benchmarks/report.py [--items 250] [--store FOLDER] [--json FILE]
A cell here is a model, a task and a shot count: (base + 9 variants) x 10 tasks x 5 shot counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import made_store

OPENINGS = 5


def render(study: Path, store: Path, report: Path) -> dict[str, float]:
    """Run ``spillover report`` in a process of its own and return what it cost."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "spillover.cli", "report", str(study), "--store", str(store)]
    subprocess.run([*command, "--report", str(report)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"render_cpu_seconds": cpu, "render_wall_seconds": time.monotonic() - started}


def open_seconds(page: Path) -> float | None:
    """Return the median seconds until the document is ready and painted; None without Chromium or playwright."""
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not found:
        return None
    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox", "--disable-gpu"])
        for _ in range(OPENINGS):
            tab = browser.new_page(
                viewport={"width": 1280, "height": 900}, bypass_csp=True
            )  # or nothing can be awaited
            tab.goto(page.as_uri(), wait_until="load")
            tab.wait_for_function("performance.getEntriesByType('paint').length > 0")
            paint, ready = tab.evaluate(
                "[performance.getEntriesByType('paint')[0].startTime,"
                " performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd]"
            )
            seconds.append(max(paint, ready) / 1000)
            tab.close()
        browser.close()
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=250, help="items of each cell")
    parser.add_argument("--store", type=Path, help="keep the made study and its report in this folder")
    parser.add_argument("--json", type=Path, help="write the outcome here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        folder = options.store or Path(aside)
        study = folder / "study.yaml"
        if not study.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            made_store.make_store(folder, item_count=options.items)
        outcome: dict[str, object] = {
            "cell_count": (made_store.VARIANTS + 1) * len(made_store.TASKS) * len(made_store.SHOTS),
            "item_count": options.items,
            **render(study, folder / "store", folder / "report"),
        }
        page = folder / "report" / "index.html"
        outcome |= {"page_bytes": page.stat().st_size, "page_open_seconds": open_seconds(page)}
    print(json.dumps(outcome, indent=1))
    if options.json:
        options.json.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
