"""The report page: everything is on it, nothing on it is executed or loaded that is not its own."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from lossconform.reports import score
from lossconform.reports.html import page
from lossconform.reports.model import ExpectationInfo, FunctionInfo, TargetRun, Verdict
from lossconform.reports.runfile import RunFileError
from tests import run_factory as make

VOID = {"meta", "link", "br", "wbr", "input"}


class Page(HTMLParser):
    """A page taken apart: its elements, its text by section, and whether each element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.section = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self.section = str(dict(attrs)["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.section, []).append(data)

    def text(self, section: str) -> str:
        return " ".join("".join(self.texts[section]).split())

    def attributes(self, tag: str, name: str) -> list[str]:
        return [str(found[name]) for element, found in self.elements if element == tag and name in found]

    @property
    def ids(self) -> list[str]:
        return [str(found["id"]) for _, found in self.elements if "id" in found]


@pytest.fixture(scope="module")
def html() -> str:
    return page.render(make.realistic())


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def test_every_link_within_the_page_leads_somewhere(parsed: Page) -> None:
    assert len(parsed.ids) == len(set(parsed.ids))
    inner = {href[1:] for href in parsed.attributes("a", "href") if href.startswith("#")}
    assert inner <= set(parsed.ids)
    labels = {word for element in parsed.elements for word in (element[1].get("aria-labelledby") or "").split()}
    assert labels <= set(parsed.ids)


def test_nothing_is_loaded(html: str, parsed: Page) -> None:
    for tag, found in parsed.elements:
        assert "src" not in found, tag
        assert "srcset" not in found, tag
        assert tag not in {"iframe", "object", "embed", "img", "base"}
        assert not [name for name in found if name.startswith("on")]
    assert parsed.attributes("link", "href") == ["data:,"]
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(", html)


def test_what_a_run_says_is_never_markup(html: str, parsed: Page) -> None:
    assert make.NASTY not in html
    assert html.count("<script>") == 1
    assert html.count("</script>") == 1
    assert " ".join(make.NASTY.split()) in parsed.text("deviations")
    assert " ".join(make.NASTY.split()) in parsed.text("records")


def test_every_field_is_escaped() -> None:
    nasty = make.NASTY
    record = make.record(
        loss_function=nasty,
        check=nasty,
        dtype=nasty,
        mode=nasty,
        verdict=Verdict.KNOWN,
        message=nasty,
        expectation=nasty,
        witness=make.witness(nasty, case={nasty: nasty}, answer=nasty, expected=nasty, where=nasty, got=nasty),
    )
    info = FunctionInfo(id=nasty, loss=nasty, source=nasty, url=f"javascript:{nasty}", clauses=[])
    expectation = ExpectationInfo(
        id=nasty, loss_functions=[nasty], check=nasty, versions=nasty, reason=nasty, link=f"javascript:{nasty}"
    )
    target = make.target(
        nasty, versions={nasty: nasty}, modes={nasty: nasty}, functions=[info], expectations=[expectation],
        records=[record], detail=nasty,
    )  # fmt: skip
    html = page.render(make.run(target, command=nasty, environment={nasty: nasty}, profile=nasty))
    assert html.count("<script>") == 1
    assert "<b>&amp; " not in html
    assert not [href for href in Page(html).attributes("a", "href") if href.startswith("javascript:")]


def test_every_deviation_has_its_account(parsed: Page) -> None:
    run = make.realistic()
    ids = set(parsed.ids)
    text = parsed.text("deviations")
    listed = [record for target in run.targets for record in target.records]
    deviating = {Verdict.FAIL, Verdict.HAZARD, Verdict.KNOWN, Verdict.CRASHED}
    accounts = [record for record in listed if record.verdict in deviating]
    assert sum(1 for name in ids if re.fullmatch(r"d\d+", name)) == len(accounts)
    assert sum(1 for name in ids if re.fullmatch(r"r\d+", name)) == len(listed)
    for record in accounts:
        assert " ".join(record.message.split()) in text
        if record.witness is not None:
            assert " ".join(record.witness.snippet.split()) in text
    assert text.count("The ignored row is multiplied by 0, and 0 · NaN is NaN.") == 1
    assert "https://tracker.example.org/1234" in parsed.attributes("a", "href")


def test_a_witness_is_in_decimal_and_in_hex(parsed: Page) -> None:
    text = parsed.text("deviations")
    assert "gotnan" in text
    assert "wanted0.6914 0x1.62p-1" in text
    assert "wanted0.69140625 0x1.62p-1" in text
    assert "float16, shape (2, 2)" in text
    assert "[[3.0, -inf], [-0.0, 0.0996]]" in text
    assert "[[0x1.8p+1, -inf], [-0x0p+0, 0x1.98p-4]]" in text
    assert "∞ ULP" in text
    assert "4 ULP (shift-stable)" in text


def test_denominators(parsed: Page) -> None:
    run = make.realistic()
    text = parsed.text("summary")
    for name, tally in [*score.by_target(run).items(), ("all", score.total(run))]:
        counts = " ".join(str(tally[verdict]) for verdict in Verdict)
        numbers = "".join(str(n) for n in (tally.expected, tally.executed)) + counts.replace(" ", "")
        assert f"{numbers}{tally.missing}" in text.replace(" ", ""), name
    assert score.conclusion(run) in text
    assert f"{score.total(run).recorded} of {score.total(run).expected} expected records" in parsed.text("records")
    matrix = parsed.text("matrix")
    for tally in score.by_function(run).values():
        assert f"{tally[Verdict.PASS]}/{tally.expected}" in matrix


def test_how_to_reproduce(parsed: Page) -> None:
    run = make.realistic()
    text = parsed.text("summary")
    assert all(word in text for word in (run.command, str(run.seed), run.profile, "lossconform0.1.0"))
    assert all(f"{name} 1.2.3" in text for name in make.FUNCTIONS)


def test_policies_are_marked(parsed: Page) -> None:
    text = parsed.text("policies")
    for mark in ("✓ as documented", "≠ differs", "? undocumented", "✗ no known policy"):
        assert text.count(mark) > 1, mark
    assert "nothing (assumed as_given)" in text
    assert "the mean divides by" in text
    assert any(href.endswith("#notes") for href in parsed.attributes("a", "href"))


def test_missing_records_are_named_and_not_blank(parsed: Page) -> None:
    missing = make.realistic().targets[-1].missing
    assert f"{len(missing)} records of jax are missing" in parsed.text("records")
    assert all(question.id in parsed.text("records") for question in missing)
    assert "missing, 8 of 8" in parsed.attributes("a", "title")


def test_every_table_is_named_and_every_header_scoped(parsed: Page) -> None:
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("table") == tags.count("caption")
    assert all("scope" in found for tag, found in parsed.elements if tag == "th")
    assert tags.count("h1") == tags.count("main") == tags.count("header") == tags.count("footer") == 1
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h\d", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_without_the_script_everything_is_there(parsed: Page) -> None:
    hidden = [found.get("id") for _, found in parsed.elements if "hidden" in found]
    assert hidden == ["filters"]


def test_a_page_is_small() -> None:
    run = make.realistic(repeat=2)
    records = score.total(run).recorded
    assert records > 900
    assert len(page.render(run).encode()) < 500 * records


def test_the_same_run_gives_the_same_page(html: str) -> None:
    assert page.render(make.realistic()) == html


@pytest.mark.parametrize("targets", [[], [make.target(records=[], functions=[])], [make.target()]])
def test_a_run_with_little_in_it_is_a_page_too(targets: list[TargetRun]) -> None:
    parsed = Page(page.render(make.run(targets=targets)))
    assert "No check failed" in parsed.text("deviations")
    assert "No record of this run identifies a policy." in parsed.text("policies")


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    page.write(make.run(), path)
    assert path.read_text(encoding="utf-8") == page.render(make.run())
    with pytest.raises(RunFileError, match="cannot be written"):
        page.write(make.run(), tmp_path / "missing" / "report.html")
    assert list(tmp_path.iterdir()) == [path]


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _themes() -> list[dict[str, str]]:
    style = (page.FOLDER / "style.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", root)) for root in roots]


def _pairs() -> list[tuple[str, str]]:
    own = [(name.removesuffix("-bg"), name) for name in _themes()[0] if name.endswith("-bg")]
    inks = [("ink", "bg"), ("ink", "panel"), ("soft", "bg"), ("soft", "panel"), ("link", "bg"), ("link", "panel")]
    return own + inks + [(name, "bg") for name in ("pass", "known", "fail", "hazard", "idle", "none")]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), _pairs())
def test_contrast(theme: int, ink: str, ground: str) -> None:
    colours = _themes()[theme]
    light, dark = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
