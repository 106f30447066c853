"""The report's page: as a file, and in a real browser (`make test-page`)."""

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pruneexp.engine.execute import execute
from pruneexp.engine.record import Plan, Planned
from pruneexp.report import report
from pruneexp.report.choice.choose import chooser_of
from pruneexp.report.output.page import Heading, Paragraph
from pruneexp.report.web.data import page_data
from pruneexp.report.web.render import html
from pruneexp.training import Training
from tests.conftest import Make, silent, tiny_gradual
from tests.results import Results, weights

HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>\x1b[31m'


def filled(results: Results) -> Results:
    """Dense and sparse models with files, times, histories and seeds."""
    for file, width, test in ((50, 0.25, 70.0), (150, 0.5, 80.0), (400, 1.0, 86.0)):
        for seed in range(3):
            one(results, file, test + 0.1 * seed, width, seed=seed)
    for file, sparsity, test in ((60, 0.9, 76.0), (160, 0.75, 82.0), (390, 0.5, 84.0)):
        for seed in range(3):
            one(results, file, test + 0.1 * seed, 1.0, sparsity, seed=seed)
    return results


def one(results: Results, file: int, test: float, *what: Any, **named: Any) -> None:
    steps = [{"step": 10 * n, "sparsity": 0.0, "valid_accuracy": test - 10 + n} for n in range(9)]
    results.finish(
        250 * file,
        test,
        *what,
        weighed=weights(250 * file, file=1000 * file, folded=990 * file),
        seconds=0.001 + file * 1e-6,
        history=steps,
        **named,
    )


class Elements(HTMLParser):
    """Names of elements, and the text of each script."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]


def elements(text: str) -> Elements:
    found = Elements()
    found.feed(text)
    return found


class TestFile:
    def test_it_holds_all_that_it_shows_and_fetches_nothing(self, results: Results) -> None:
        made = report(filled(results).store, results.plan)
        text = (made.folder / "report.html").read_text()
        found = elements(text)
        assert found.names.count("script") == 2 and found.names.count("main") == 1
        assert "link" not in found.names
        assert not re.search(r"(src|href)=.?(https?:)?//", text)
        assert 'scope="col"' in text and "<caption>" in text
        assert not [name for name in found.attributes if name.startswith("on")]

    def test_its_data_are_the_points_runs_and_answers(self, results: Results) -> None:
        found = filled(results).find()
        data = page_data(found, chooser_of(found))
        assert len(data["points"]) == 6 and len(data["runs"]) == 18
        assert data["values"] == ["fp32", "bf16", "int8"]
        assert [answer["from"] for answer in data["answers"]] == sorted(
            answer["from"] for answer in data["answers"]
        )
        best = data["points"][data["answers"][-1]["pick"]]
        assert (best["kind"], best["size"]) == ("dense", "×1")
        assert data["answers"][0]["pack"].startswith("pruneexp pack ")
        assert data["runs"][0]["history"][0] == [0.0, pytest.approx(60.0)]

    def test_text_from_elsewhere_is_text(self, results: Results) -> None:
        one(results, 50, 80.0, 0.5, training=Training(learning_rate=0.1))
        found = results.find()
        for point in found.points:
            point.label = point.size = HOSTILE
        data = page_data(found, None)
        data["series"] = [HOSTILE]
        text = html([Heading(text=HOSTILE, level=1), Paragraph(text=HOSTILE)], data)
        assert elements(text).names.count("script") == 2 and "img" not in elements(text).names
        assert "\x1b" not in text and "<img" not in text.lower()
        inside = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
        assert inside is not None
        assert "</script><script>" in json.loads(inside[1])["series"][0]

    @pytest.mark.slow
    def test_a_thousand_runs_stay_below_three_megabytes(self, results: Results) -> None:
        for level in range(200):
            for seed in range(5):
                results.finish(
                    10**5 - 100 * level,
                    80 - level / 10,
                    1.0,
                    round(0.3 + level / 300, 4),
                    seed=seed,
                    weighed=weights(1000, file=10**6 - 1000 * level),
                )
        made = report(results.store, results.plan)
        assert (made.folder / "report.html").stat().st_size < 3_000_000

    def test_without_runs_it_has_no_script(self, results: Results) -> None:
        results.ask(0.5)
        made = report(results.store, results.plan)
        assert "script" not in elements((made.folder / "report.html").read_text()).names


# --- in a browser -------------------------------------------------------------------------------


@pytest.fixture
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium; `make test-page` installs it")
    with sync.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield made
        made.close()


def opened(browser: Any, path: Path, **context: Any) -> tuple[Any, list[str]]:
    """The page, and what its console and its errors say."""
    page = browser.new_context(**context).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: said.append(r.url) if r.url.startswith("http") else None)
    page.goto(f"file://{path}")
    return page, said


@pytest.mark.page
class TestInABrowser:
    def test_the_budget_moves_the_verdict(self, results: Results, browser: Any) -> None:
        made = report(filled(results).store, results.plan)
        page, said = opened(browser, made.folder / "report.html")
        verdict = page.locator("#verdict")
        page.fill("#amount", "200kB")
        page.press("#amount", "Enter")
        assert "For 200kB: sparse 75 % from ×1" in verdict.inner_text()
        assert "pruneexp pack" in verdict.inner_text()
        page.fill("#amount", "60kB")
        page.press("#amount", "Enter")
        assert "sparse 90 % from ×1" in verdict.inner_text()
        page.fill("#amount", "10kB")
        page.press("#amount", "Enter")
        assert "Nothing fits 10.0kB" in verdict.inner_text()
        page.fill("#amount", "many")
        page.press("#amount", "Enter")
        assert "Takes an amount such as 200kB" in verdict.inner_text()
        page.focus("#budget")
        page.keyboard.press("End")
        assert "dense ×1" in verdict.inner_text()
        assert said == []

    def test_the_chosen_file_by_layer(self, tiny: Make, browser: Any) -> None:
        run = tiny(tiny_gradual())
        record = execute(run, say=silent)
        planned = Planned(fingerprint=record.fingerprint, name=record.name, run={})
        made = report(run.store, Plan(name="mine", title="", runs=[planned]))
        page, said = opened(browser, made.folder / "report.html")
        page.locator("#file summary").click()
        box = page.locator("#treemap [role=listitem]", has_text="classifier.weight").first
        words = "classifier.weight: 2,397 weights, 479 kept, 1,916 bytes of values, "
        assert words in (box.get_attribute("aria-label") or "")
        assert said == []

    def test_points_by_mouse_and_by_keyboard(self, results: Results, browser: Any) -> None:
        made = report(filled(results).store, results.plan)
        page, said = opened(browser, made.folder / "report.html")
        assert page.locator(".point[data-point]").count() == 6
        page.locator(".point[data-point]").nth(2).hover()
        assert "packed file" in page.locator("#details").inner_text()
        page.locator(".point[tabindex='0']").focus()
        first = page.locator("#details").inner_text()
        page.keyboard.press("ArrowRight")
        second = page.locator("#details").inner_text()
        page.keyboard.press("Enter")
        assert first != second and page.locator(".point.chosen").count() == 1
        assert page.locator("#details svg").count() == 3  # a history a seed
        assert said == []

    def test_axes_values_and_scales(self, results: Results, browser: Any) -> None:
        made = report(filled(results).store, results.plan)
        page, said = opened(browser, made.folder / "report.html")
        for axis in ("weights", "ms", "bytes"):
            page.select_option("#axis", axis)
            assert page.locator(".point[data-point]").count() == 6
        page.select_option("#values", "int8")
        assert page.locator(".point.guess").count() == 6
        assert "Hollow" in page.locator("#plotnote").inner_text()
        page.select_option("#norms", "kept")
        page.select_option("#scale", "linear")
        assert said == []

    def test_runs_are_filtered_and_sorted(self, results: Results, browser: Any) -> None:
        made = report(filled(results).store, results.plan)
        page, said = opened(browser, made.folder / "report.html")
        rows = page.locator("#table tbody tr")
        assert rows.count() == 18 and "86.2" in rows.first.inner_text()
        page.fill("#filter", "sparse seed1")
        assert rows.count() == 3 and "3 of 18" in page.locator("#count").inner_text()
        page.fill("#filter", "")
        page.select_option("#kind", "dense")
        assert rows.count() == 9
        page.locator("#table th button", has_text="weights").click()
        assert "12,500" in rows.first.inner_text()
        page.locator("#table th button", has_text="weights").click()
        assert "100,000" in rows.first.inner_text()
        head = page.locator("#table th", has_text="weights")
        assert head.get_attribute("aria-sort") == "descending"
        assert said == []

    @pytest.mark.parametrize("width", [400, 1200])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_fits_and_can_be_read(
        self, results: Results, browser: Any, width: int, scheme: str
    ) -> None:
        made = report(filled(results).store, results.plan)
        page, said = opened(
            browser,
            made.folder / "report.html",
            color_scheme=scheme,
            viewport={"width": width, "height": 800},
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper, text = (
            page.evaluate(f"getComputedStyle(document.body).{key}")
            for key in ("backgroundColor", "color")
        )
        assert contrast(paper, text) > 7
        assert said == []

    def test_hostile_text_runs_nothing(
        self, results: Results, browser: Any, tmp_path: Path
    ) -> None:
        found = filled(results).find()
        for point in found.points:
            point.label = point.size = HOSTILE
        data = page_data(found, chooser_of(found))
        data["series"] = [HOSTILE for _ in data["series"]]
        path = tmp_path / "hostile.html"
        path.write_text(html([Heading(text="title", level=1)], data))
        page, said = opened(browser, path)
        page.locator(".point[data-point]").first.hover()
        assert page.title() == "title" and page.locator("img").count() == 0
        assert said == []


def contrast(one: str, other: str) -> float:
    """The ratio of luminances of two colours, as WCAG counts it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
