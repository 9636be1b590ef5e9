import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spillover.questions import answered
from spillover.report.formats import Format
from spillover.report.write import write_report
from tests.report.made_results import made_results, repeated

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'\u202e عربى 😀\n\ud800" + "x" * 10_000
MANY = "many variants"
CELLS = "500 cells"
Open = Callable[..., "Page"]


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


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of the same made study without and with hostile text, and with every variant several times."""
    written = {}
    for name, results in (
        ("", made_results()),
        (HOSTILE, made_results(HOSTILE)),
        (MANY, repeated(made_results(), 5)),
        (CELLS, repeated(made_results(), 17)),
    ):
        written[name] = tmp_path_factory.mktemp("report")
        write_report(results, answered(results, resample_count=20), written[name], formats=[Format.HTML])
    return written


@pytest.fixture
def opened(browser: "Browser", folders: dict[str, Path]) -> Iterator[Open]:
    """Open a report; when the test ends, the page must have complained of nothing and asked for nothing else."""
    complaints: list[str] = []
    requests: list[str] = []
    pages = []

    def open_page(hostile: str = "", *, width: int = 1280, **options: object) -> "Page":
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((folders[hostile] / "index.html").as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
    assert [url for url in requests if not url.endswith("/index.html")] == []


@pytest.mark.parametrize("hostile", ["", HOSTILE])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_the_page_opens_without_a_complaint(opened: Open, hostile: str, width: int, scheme: str) -> None:
    page = opened(hostile, width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The policy would silently refuse a style whose hash is wrong; 32px is the size of an unstyled heading.
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") != "32px"
    assert not page.locator("#explorer").is_visible()
    unfold(page)
    assert page.locator("#explorer").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def unfold(page: "Page") -> None:
    page.click("#open-all")


def wider_than_shown(page: "Page") -> list[str]:
    """Return the labels of the regions that hold more than their width shows."""
    regions = page.locator(".scroll:visible").all()
    return [
        str(region.get_attribute("aria-label"))
        for region in regions
        if region.evaluate("region => region.scrollWidth > region.clientWidth + 1")
    ]


def test_on_a_desktop_nothing_has_to_be_scrolled_sideways(opened: Open) -> None:
    page = opened(width=1280)
    unfold(page)
    assert wider_than_shown(page) == []
    for light in page.locator(".light").all():
        height = light.evaluate(
            "light => { const words = document.createRange(); words.selectNodeContents(light);"
            " return words.getBoundingClientRect().height }"
        )
        assert height < 36  # symbol and word on one line


def test_on_a_phone_the_outcome_of_a_claim_is_in_view_and_a_shade_says_where_more_is(opened: Open) -> None:
    page = opened(width=390)
    unfold(page)
    outcome = page.locator("table.claims td strong").first.bounding_box()
    assert outcome["x"] + outcome["width"] < 390
    assert "The paper's claims" in wider_than_shown(page)
    kinds = (
        page.locator(".claims").locator("xpath=..").evaluate("region => getComputedStyle(region).backgroundAttachment")
    )
    assert kinds == "local, local, scroll, scroll"
    chart = page.locator("#shots .chart svg").first.bounding_box()
    assert chart["width"] > 300


def test_no_control_lies_on_another(opened: Open) -> None:
    page = opened()
    unfold(page)
    boxes = [control.bounding_box() for control in page.locator(".filters :is(select, input, button)").all()]
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            assert beside or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]


def test_filters_choose_the_items_they_name(opened: Open) -> None:
    page = opened()
    unfold(page)
    results = made_results()
    page.select_option("#by-direction", "-1")
    page.select_option("#by-model", label="sft/amazon/128/0")
    page.select_option("#by-task", label="snli")
    page.select_option("#by-shots", label="2")
    (row,) = (
        row
        for row in results.changes
        if (row.variant, row.cell.tested_on, row.cell.shots) == ("sft/amazon/128/0", "snli", 2)
    )
    summaries = page.locator("#found-items summary").all_inner_texts()
    assert len(summaries) == len(row.regressions)
    assert all(change.item.example_id in text for change, text in zip(row.regressions, summaries, strict=True))
    omitted = row.regression_count - len(row.regressions)
    assert f"{row.regression_count} items changed in the chosen cells, {omitted} " in page.inner_text("#found")
    label = row.regressions[0].item.target
    page.select_option("#by-label", label=label)
    wanted = [change.item.example_id for change in row.regressions if change.item.target == label]
    assert len(page.locator("#found-items summary").all()) == len(wanted)
    page.fill("#by-shortest", "100000")
    assert page.locator("#found-items summary").count() == 0
    page.click("#filter-none")
    page.fill("#by-text", "13 WHISTLED")
    found = page.locator("#found-items summary").all_inner_texts()
    assert found
    assert all("-13 " in text for text in found)


def test_an_opened_item_shows_reference_answers_prompt_and_token_ids(opened: Open) -> None:
    page = opened()
    unfold(page)
    page.select_option("#by-task", label="siqa")
    page.locator("#found-items summary").first.click()
    item = page.locator("#found-items li").first
    for part in ("reference", "base, scores", "variant, scores", "the prompt's own part"):
        assert part in item.inner_text()
    item.locator("summary", has_text="token ids").click()
    ids = item.locator("p.ids").inner_text().split()
    assert len([token for token in ids if token.isdigit()]) == 40


def test_hostile_items_are_shown_as_text(opened: Open) -> None:
    page = opened(HOSTILE)
    unfold(page)
    page.select_option("#by-task", index=1)
    page.locator("#found-items summary").first.click()
    page.locator(
        "#found-items li pre"
    ).first.wait_for()  # written when the item is opened, which is told a moment later
    shown = page.locator("#found-items li").first.inner_text()
    assert "</script><script>alert(1)</script><img src=x onerror=alert(2)>" in shown
    assert "‹U+202E›" in shown
    assert "عربى 😀" in shown
    assert "characters not shown" in shown
    assert page.locator("img").count() == 0


def test_the_matrix_is_walked_with_arrows_and_enter_opens_a_cells_items(opened: Open) -> None:
    page = opened()
    page.locator("table.matrix td.c").first.focus()
    first = page.locator("#tip").inner_text()
    assert "of the base on" in first
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text() != first
    page.keyboard.press("Enter")
    chosen = [page.locator(f"#by-{name} option:checked").inner_text() for name in ("model", "task", "shots")]
    assert chosen == ["fticl/siqa/128/0", "siqa", "2"]
    assert page.locator("#explorer").is_visible()  # its section was folded
    assert page.evaluate("document.activeElement.id") == "by-direction"


def test_what_is_told_of_a_cell_follows_it_when_a_step_moves_the_page(opened: Open) -> None:
    page = opened()
    page.set_viewport_size({"width": 1280, "height": 300})
    page.locator("table.matrix td.c").first.focus()
    for _ in range(8):
        page.keyboard.press("ArrowDown")
    page.wait_for_timeout(1000)  # the page glides
    tip, cell = page.locator("#tip"), page.locator("td.c:focus").bounding_box()
    assert tip.is_visible()
    box = tip.bounding_box()
    assert box["y"] + box["height"] <= cell["y"] or cell["y"] + cell["height"] <= box["y"]
    assert min(abs(cell["y"] - box["y"] - box["height"]), abs(box["y"] - cell["y"] - cell["height"])) < 8


def test_without_its_script_the_page_shows_items_and_what_a_link_asks_for(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("table.worse").is_visible()
    page.locator("summary", has_text="Item by item").click()
    assert page.locator("#examples").is_visible()
    assert not page.locator("#explorer").is_visible()
    assert not page.locator("#open-all").is_visible()


@pytest.mark.parametrize("target", ["drift", ":~:text=Effective%20rank%3A%20over%20how%20many"])
def test_a_link_and_a_search_open_what_is_folded(opened: Open, target: str) -> None:
    page = opened()
    assert not page.locator("#drift table").first.is_visible()
    page.goto(f"{page.url}#{target}")
    page.locator("#drift table").first.wait_for(state="visible", timeout=3000)
    summary = page.locator("summary", has_text="How far the model moved").bounding_box()
    assert summary["height"] < 60
    if target == "drift":  # the page glides there
        page.wait_for_timeout(1500)
        assert abs(page.locator("#drift").bounding_box()["y"]) < 300


def test_the_first_layer_is_two_screens_and_four_of_a_phone_and_nothing_of_it_is_cut_off(opened: Open) -> None:
    for width, height, screens in ((1400, 900, 3.5), (390, 844, 6.5)):  # of more variants and tasks than the demo has
        page = opened(width=width)
        assert page.evaluate("document.querySelector('#more').getBoundingClientRect().top + scrollY") < screens * height
        charts = page.locator("#relations .chart svg, #frontier .chart svg").all()
        visible = [box for chart in charts if chart.is_visible() and (box := chart.bounding_box())]
        assert len(visible) > 5
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in visible)
    row = page.locator("table.matrix tbody tr").first
    assert all(
        cell.bounding_box()["x"] + cell.bounding_box()["width"] <= 390 for cell in row.locator("th, td").all()[:4]
    )


def test_everything_that_is_worked_or_read_aloud_has_a_name(opened: Open) -> None:
    page = opened()
    unfold(page)
    tree = page.locator("body").aria_snapshot()
    assert 'heading "Verdicts"' in tree
    assert 'heading "How far the model moved"' in tree
    for role in ("region", "searchbox", "combobox", "button", "link", "spinbutton"):
        assert not re.search(rf"(?m)^\s*- {role}(?:$|:)", tree), role


def test_500_cells_open_at_once_and_are_searched(opened: Open) -> None:
    page = opened(CELLS)
    took = []
    for _ in range(3):  # the quickest, for other processes may have the machine
        took.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        page.reload()
    assert 0 < min(took) < 2000
    assert page.evaluate("document.querySelector('#more').getBoundingClientRect().top") < 6000
    page.locator(".find input").first.fill("fticl/siqa/128/0-3")
    assert page.locator("#verdicts .verdicts li:visible h3").all_inner_texts() == ["fticl/siqa/128/0-3"]
    region = page.locator(".searched", has=page.locator("table.matrix")).first
    unfold(page)
    region.locator("input").fill("fticl/siqa/128/0-3")
    left = [row.inner_text().split("\t")[0].strip() for row in region.locator("tbody tr:visible").all()]
    assert "fticl/siqa/128/0-3" in left
    assert set(left) <= {"base", "fticl3", "fticl/siqa/128/0-3"}  # no heading of a group without a match stays
    region.locator("input").fill("nothing is called so")
    assert region.locator("output").inner_text().strip().startswith("0 of ")


def test_a_printed_page_is_short_and_has_all_sections_on_request(opened: Open) -> None:
    page = opened()
    page.emulate_media(media="print")
    assert page.locator("table.worse").is_visible()
    assert not page.locator("nav").is_visible()
    assert not page.locator("summary", has_text="Provenance").is_visible()
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))) <= 3
    page.emulate_media(media="screen")
    unfold(page)
    page.emulate_media(media="print")
    assert page.locator("#provenance table").is_visible()
    assert not page.locator("#explorer").is_visible()
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))) > 3


@pytest.mark.parametrize("study", ["", MANY])
def test_on_paper_nothing_is_cut_off(opened: Open, study: str) -> None:
    width = round((210 - 2 * 12) / 25.4 * 96)  # A4 within the margins that the style asks for
    page = opened(study, width=width)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert wider_than_shown(page) == []
