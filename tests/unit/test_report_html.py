# ruff: noqa: E501 - tables of cases read better unbroken
"""The page: escaped, self-contained, complete, bounded, and accessible in its structure."""

from __future__ import annotations

import re
import subprocess  # noqa: TID251 - what a fresh interpreter imports can be seen in one only
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha import reports
from pytest_k8sha.errors import EnvironmentFailure
from pytest_k8sha.record.chain import Line, Record, RecordFile
from pytest_k8sha.reports.html import render, write
from pytest_k8sha.reports.merge import merge
from tests.thorough import examples

VOID = {"meta", "br", "hr", "input", "link", "img"}
FETCHING = {"src", "srcset", "action", "poster", "background", "cite", "formaction", "data"}


class Page(HTMLParser):
    """Checks the nesting, and collects tags, ids, links and the text outside of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


def sample_module() -> Any:
    """The generator of the sample record, which lies beside this file."""
    spec = spec_from_file_location("report_sample", Path(__file__).with_name("report_sample.py"))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the sample record."""
    folder = tmp_path_factory.mktemp("sample")
    sample_module().write(folder / "record.jsonl")
    return reports.make([folder / "record.jsonl"], folder / "out").read_text()


def page_of(*results: dict[str, Any], **start: Any) -> str:
    """A page from results in memory."""
    data: list[tuple[str, dict[str, Any]]] = [("run.start", {"run": "r", **start})]
    data += [("result", item) for item in results] + [("run.end", {"exitstatus": 0})]
    made = [
        Line(seq=n, time="2026-03-02T08:00:00+00:00", kind=kind, data=item, prev="", hash=str(n))
        for n, (kind, item) in enumerate(data)
    ]
    return render(merge([RecordFile(Path("r.jsonl"), made)]))


def result(n: int = 0, verdict: str = "failed", count: int = 1, **more: Any) -> dict[str, Any]:
    finding = {"subject": f"Pod a/{n}", "verdict": verdict, "seen": "x" * 60, "rule": "r", "remedy": "m"}
    return {
        "check": f"TEN-ACC-{n:03d}", "title": f"promise {n}", "suite": "tenancy", "severity": "high", "cluster": "east",
        "nodeid": f"t.py::t{n}", "verdict": verdict, "reason": "because", "duration": 0.1, "started": "",
        "findings": [finding] * count, "subjects": {}, "measures": {}, "why": "w" * 80, "remedy": "m" * 80, **more,
    }  # fmt: skip


def test_every_part_of_the_sample_is_there(sample: str) -> None:
    """Headline, advice, findings with rule and remedy, reasons, measures, facts, digest: all of it without a script."""
    text = Page(sample).text
    for part in (
        "15 checks failed on west, 4 of them critical; east passed.", "Every request of a tenant to its neighbour's objects is refused",
        "Secret green-shop/db", "expected 403 Forbidden by RBAC", "get is refused by RBAC", "Why it matters", "Grant secrets by name",
        "NIST-800-53r5:AC-3", "28 of 34 subjects broke the rule", "8 further subjects", "the scheduler has one member only",
        "requires nodes:real", "[14.9, 18.8]", "Left behind", "k8sha recover", "5b0c8a52-6a0e-4f7e-9a58-5d7f6f1f3c11",
        "5 capabilities", "Head (SHA-256)", "verified", "How to read this", "Repair the 4 critical failures first", "v1.36.3",
        "FailedScheduling",
    ):  # fmt: skip
        assert part in text, part


def test_nothing_is_loaded_and_no_other_script_can_run(sample: str) -> None:
    """No address, no attribute that fetches, and a policy that allows exactly the style and the script of the page."""
    page = Page(sample)
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", sample, re.DOTALL)
        assert len(bodies) == 1
        assert f"'sha256-{b64encode(sha256(bodies[0].encode()).digest()).decode()}'" in policy
    for tag, attributes in page.tags:
        assert tag not in {"img", "link", "iframe", "object", "embed", "base", "form"}
        assert not FETCHING & attributes.keys(), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"https?://|url\(|@import", sample)


def test_structure_for_readers_of_every_kind(sample: str) -> None:
    """Landmarks, one h1, headings without gaps, unique ids, links that lead somewhere, tables with headers."""
    page = Page(sample)
    assert [len(page.all(tag)) for tag in ("h1", "main", "nav", "title", "html")] == [1, 1, 1, 1, 1]
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.ids) == len(set(page.ids))
    ids = set(page.ids)
    for anchor in page.all("a") + page.all("use"):
        assert anchor["href"][1:] in ids, anchor
    for _, attributes in page.tags:
        for name in ("aria-labelledby", "for"):
            assert name not in attributes or attributes[name] in ids
    level = 0
    for tag, _ in page.tags:
        if re.fullmatch("h[1-6]", tag):
            assert int(tag[1]) <= level + 1, tag
            level = int(tag[1])
    assert all("scope" in header for header in page.all("th"))
    assert all("aria-label" in svg or svg.get("aria-hidden") == "true" for svg in page.all("svg"))


def test_verdicts_are_words_and_not_colours_alone(sample: str) -> None:
    """Every cell of the matrix holds the verdict as a word."""
    cells = re.findall(r'<td class="cell[^>]*>(.*?)</td>', sample, re.DOTALL)
    assert len(cells) == 82
    for cell in cells:
        assert re.search(r"passed|failed|inconclusive|not evaluated|no result", re.sub("<[^>]+>", "", cell))


NASTY = st.one_of(
    st.sampled_from(["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><b>", "{{ 7*7 }}", "&lt;b&gt;", "'"]),
    st.text(max_size=20),
)  # fmt: skip


@examples(25, 300)
@given(st.data())
def test_whatever_a_cluster_names_its_objects_stays_text(data: st.DataObject) -> None:
    """Every text of a record, keys included, shows as itself and makes no element."""
    draw = lambda: data.draw(NASTY)  # noqa: E731
    verdict = data.draw(st.sampled_from(["passed", "failed", "inconclusive", "not evaluated"]))
    item = result(
        verdict=verdict, check=draw(), title=draw(), suite=draw(), cluster=draw(), nodeid=draw(), reason=draw(), why=draw(),
        remedy=draw(), impact=draw(), controls=[draw()], started=draw(),
        findings=[{"subject": draw(), "verdict": verdict, "seen": draw(), "rule": draw(), "remedy": draw()}],
        measures={draw(): {"value": draw(), "unit": draw(), "lo": draw()}}, diagnostics={draw(): draw()},
    )  # fmt: skip
    page = Page(page_of(item, owner=draw(), argv=[draw()], clusters=[draw()]))
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "svg", "symbol", "circle", "path", "rect", "use", "a", "header", "div",
        "p", "b", "span", "h1", "h2", "h3", "h4", "h5", "code", "nav", "ul", "ol", "li", "details", "summary", "label", "input",
        "fieldset", "legend", "select", "option", "button", "output", "main", "section", "article", "small", "table", "thead",
        "tbody", "tr", "th", "td", "dl", "dt", "dd", "pre", "footer", "script", "br",
    }  # fmt: skip
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_a_script_in_a_pod_name_stays_text(sample: str) -> None:
    """The name is shown as it is."""
    assert "Endpoints blue-shop/<script>alert(1)</script>" in Page(sample).text
    assert "<script>alert" not in sample


def test_secrets_of_the_run_are_not_in_the_page(tmp_path: Path) -> None:
    """A token registered with the record is in neither the record nor the page, wherever a check put it."""
    token = "s3cr3t-t0ken-value"
    with Record(tmp_path / "r") as record:
        record.redactor.add(token)
        record.append("run.start", {"run": "r", "argv": ["--header", f"Bearer {token}"]})
        record.append("result", result(reason=token, diagnostics={token: [token]}, why=f"x{token}y", title=token))
        record.append("run.end", {})
    page = reports.make([tmp_path / "r"], tmp_path).read_text()
    assert token not in page
    assert "[redacted]" in page


def test_crash_interruption_and_damage_have_banners(tmp_path: Path) -> None:
    """Each state of a record is said at the top, in words."""
    path = tmp_path / "r"
    sample_module().write(path, ended=False)
    page = reports.make([path], tmp_path).read_text()
    assert "The record has no end." in page
    assert "was changed after it was written" not in page
    with path.open("ab") as file:
        file.write(b'{"data":{"check":"cut')
    assert "The record has no end." in reports.make([path], tmp_path).read_text()
    path.write_bytes(path.read_bytes().replace(b'"verdict":"failed"', b'"verdict":"passed"', 1))
    page = reports.make([path], tmp_path).read_text()
    assert "The record was changed after it was written." in page
    assert "broken" in page
    with Record(tmp_path / "c") as record:
        record.append("run.start", {})
        record.append("run.end", {"interrupted": True})
    assert "The run was interrupted." in reports.make([tmp_path / "c"], tmp_path).read_text()


def test_an_empty_record_proves_nothing(tmp_path: Path) -> None:
    """A run that died before its first line still gives a page, which claims nothing."""
    (tmp_path / "r").touch()
    text = Page(reports.make([tmp_path / "r"], tmp_path).read_text()).text
    assert "Nothing was checked." in text
    assert "No cluster was recorded." in text


def test_many_subjects_are_folded_and_counted() -> None:
    """The first 20 are shown, the next 200 folded, of the rest the number is said."""
    page = page_of(result(count=500, subjects={"failed": 512, "passed": 3}))
    text = Page(page).text
    assert "512 of 515 subjects broke the rule" in text
    assert "200 further subjects" in text
    assert "292 further subjects are in the record only." in text
    shown = page[page.index('<table class="findings">') : page.index("200 further subjects")]
    assert shown.count('<tr><th scope="row">') == 20


def test_shared_rule_and_remedy_are_said_once() -> None:
    """What all subjects share is not repeated for each of them."""
    text = Page(page_of(result(count=5))).text
    assert text.count("Rule broken r") == 1
    assert text.count("Remedy here m") == 1


@pytest.mark.parametrize(("checks", "clusters"), [(2000, 1), (100, 20)])
def test_a_page_of_failures_alone_stays_bounded(checks: int, clusters: int) -> None:
    """Whatever fails, the page has every check in it and stays small."""
    items = [result(n, count=30, cluster=f"c{m}") for n in range(checks) for m in range(clusters)]
    page = page_of(*items)
    assert len(page) < 8_000_000
    text = Page(page).text
    for n in (0, checks // 2, checks - 1):
        assert f"TEN-ACC-{n:03d}" in text


def test_the_page_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Writing leaves one file, readable by others, and says plainly when it cannot."""
    write("old", tmp_path)
    path = write("new", tmp_path)
    assert (path.name, path.read_text(), path.stat().st_mode & 0o777) == ("index.html", "new", 0o644)
    assert [item.name for item in tmp_path.iterdir()] == ["index.html"]
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        write("x", tmp_path / "file")


def test_importing_reports_is_cheap() -> None:
    """The package itself brings no template engine, no chain, no hashing of JSON."""
    code = "import sys, pytest_k8sha.reports; print([m for m in ('jinja2', 'rfc8785', 'markupsafe', 'kubernetes') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]"
