import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spillover.analysis.generalization import analyse
from spillover.report.write import write_report
from tests.report.made_results import made_results

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    sync_api = pytest.importorskip("playwright.sync_api")
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("no system Chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.mark.parametrize("hostile", ["", "<script>alert(1)</script><img src=x onerror=alert(2)>" + "x" * 10_000])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_the_page_opens_without_a_complaint(
    browser: "Browser", tmp_path: Path, hostile: str, width: int, scheme: str
) -> None:
    results = made_results(hostile)
    write_report(results, analyse(results, resample_count=50), tmp_path)
    complaints: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "index.html").as_uri())
    assert complaints == []
    assert requests == [(tmp_path / "index.html").as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The policy would silently refuse a style whose hash is wrong; 32px is the size of an unstyled heading.
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") != "32px"
    page.close()
