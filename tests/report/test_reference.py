"""What is known of a source comes back with every citation; what comes from outside is text, and a link only to the web."""

import dataclasses
import json
import re

import click
import numpy as np
import pytest

from llmattr.core.attribution import Attribution
from llmattr.core.sources import Document
from llmattr.report.json import to_dict
from llmattr.report.reference import place, titled
from llmattr.report.text import ranking, terminal
from tests.report.test_html import DOCUMENTS, Page, make

URL = "https://example.org/a_b?x=1&y=2"
DEEP = {"a": [1, None]}
KNOWN = {
    "title": "On <b>cats</b>",
    "url": URL,
    "page": 3,
    "author": ["Ann", "Bo"],
    "date": "2024-05-01",
    "deep": DEEP,
}
CATS, DOGS = DOCUMENTS
RICH = make(documents=(dataclasses.replace(CATS, metadata=KNOWN), DOGS))
PAGES = ((0, {"page": 1}), (10, {"page": 2}))


def reference_of(**known):
    return titled(Document("It is.", "an-id", metadata=known))


@pytest.mark.parametrize(
    ("known", "name", "page", "url"),
    [
        ({"title": "T", "source": "a.pdf", "page": 3}, "T", "3", None),
        ({"source": "a.pdf", "page": 0, "page_label": "iv"}, "a.pdf", "iv", None),
        ({"file_name": "a.pdf", "page_number": 3.0}, "a.pdf", "3", None),
        ({"source": URL}, URL, None, URL),
        ({"title": "T", "link": URL.upper()}, "T", None, URL.upper()),
        ({"title": ["no", {"text": 1}], "page": float("nan")}, "no", None, None),
        ({"title": {"en": "T"}, "page": True, "url": 5}, "an-id", None, None),
        ({"title": "a\n\tb ", "page": ""}, "a b", None, None),
        ({"url": "javascript:alert(1)"}, "an-id", None, None),
        ({"url": "JavaScript:alert(1)//https://example.org"}, "an-id", None, None),
        ({"url": "data:text/html,x", "source": "file:///etc/passwd"}, "file:///etc/passwd", None, None),
        ({"url": 'https://example.org/"><script>'}, "an-id", None, None),
        ({"url": "https://example.org/a)b](c"}, "an-id", None, "https://example.org/a)b](c"),
        ({"url": "https:// example.org"}, "an-id", None, None),
    ],
)
def test_names_pages_and_links(known, name, page, url):
    found = reference_of(**known)
    assert (found.name, found.page, found.url) == (name, page, url)


def test_nothing_is_known_of_a_plain_text():
    assert titled(DOGS) is None
    assert place(RICH.sources, 2) == "dogs, line 1, characters 0-10"
    assert place(RICH.sources, 0) == f"On cats, p. 3, Ann, Bo, 2024-05-01, {URL}"


def test_documents_of_one_name_are_told_apart_where_no_page_does():
    one = Document("Cats purr a lot. Cats sleep.", "Guide", "Guide", metadata={"year": 2024})
    a = make(documents=(one, dataclasses.replace(one, text=DOGS.text)))
    assert place(a.sources, 0) == "Guide (document 1), line 1, characters 0-16"
    assert place(a.sources, 2) == "Guide (document 2), line 1, characters 0-10"


def test_json_has_it_and_reads_it_back(tmp_path):
    a = make(
        documents=(
            dataclasses.replace(CATS, metadata=KNOWN, format="pdf", language="en", places=PAGES, blocks=((0, 4, "heading"),)),
            DOGS,
        )
    )
    blocks, quotable = ["heading", "paragraph", "row", "code"], np.array([False, True, True, True])
    a = dataclasses.replace(a, sources=dataclasses.replace(a.sources, blocks=blocks, quotable=quotable))
    path = a.save(tmp_path / "a.json")
    saved = json.loads(path.read_text())
    assert saved["sources"][0]["metadata"] == {**KNOWN, "page": 1}
    assert saved["sources"][1]["metadata"] == {**KNOWN, "page": 2}
    assert "metadata" not in saved["sources"][2]
    assert [source["block"] for source in saved["sources"]] == blocks
    assert [source["quotable"] for source in saved["sources"]] == quotable.tolist()
    loaded = Attribution.load(path)
    assert loaded.sources.documents == a.sources.documents
    assert loaded.sources.blocks == blocks
    assert loaded.sources.quotable.tolist() == quotable.tolist()
    assert loaded.html() == a.html()
    assert loaded.save(tmp_path / "b.json").read_text() == path.read_text()


def test_json_of_plain_texts_is_as_it_was():
    saved = to_dict(make())
    assert [list(document) for document in saved["documents"]] == [["text", "id", "title"]] * 2
    assert {tuple(source) for source in saved["sources"]} == {("id", "text", "start", "end", "document", "group")}


def test_the_terminal_and_markdown_name_title_and_page():
    shown = click.unstyle(terminal(RICH))
    assert f"] On cats, p. 3, Ann, Bo, 2024-05-01, {URL}\n" in shown
    assert f"[On cats](<{URL}>), p. 3, Ann, Bo, 2024-05-01)" in RICH.markdown()
    odd = make(documents=(Document(CATS.text, "c", metadata={"title": "\x1b[31mred](x) <i>", "page": "1|2"}), DOGS))
    assert "\x1b" not in click.unstyle(terminal(odd))
    assert r"\]" in odd.markdown()
    assert "\\<i\\>, p. 1\\|2" in odd.markdown()


def test_the_frame_has_a_column_for_each_name():
    frame = RICH.to_frame()
    assert list(make().to_frame()) == [name for name in frame if not name.startswith("metadata.")]
    assert set(frame[frame["document"] == "cats"]["metadata.page"]) == {3}
    assert frame[frame["document"] == "dogs"]["metadata.url"].isna().all()
    assert frame[frame["document"] == "cats"]["metadata.deep"].iloc[0] == DEEP


def test_documents_scores_have_it_too(tmp_path):
    documents = RICH.by_document()
    assert documents.sources.metadata(0) == KNOWN
    assert set(documents.to_frame()["metadata.page"].dropna()) == {3}
    assert f"On cats, p. 3, Ann, Bo, 2024-05-01, {URL}" in click.unstyle(terminal(documents))
    assert "cats" in ranking(documents)
    loaded = Attribution.load(documents.save(tmp_path / "a.json"))
    assert loaded.sources.metadata(0) == KNOWN
    assert loaded.html() == documents.html()


def test_the_page_links_the_title_and_says_the_page():
    html = RICH.html()
    assert f'<a href="{URL.replace("&", "&amp;")}" target="_blank" rel="noopener noreferrer">On cats</a>, p. 3, Ann, Bo' in html
    assert re.search(r"<h3 [^>]*><a [^>]*>On cats</a> <small>cats</small> <small>p. 3, Ann, Bo, 2024-05-01</small>", html)
    assert "noopener" not in make().html()


def test_nothing_of_it_is_more_than_text():
    bad = {
        "title": "<script>alert(1)</script>",
        "url": "javascript:alert(1)",
        "source": "https://example.org/\" onmouseover='alert(1)'",
        "page": "<img src=x>",
        "author": "<b>Ann</b>",
    }
    html = make(documents=(Document(CATS.text, "c", metadata=bad), DOGS)).html()
    shown = Page(html)
    assert {tag for tag, _ in shown.tags}.isdisjoint({"script", "img", "b"})
    assert all(attrs.get("href", "#").startswith("#") for tag, attrs in shown.tags if tag == "a")
    assert "<script>alert(1)</script>, p. <img src=x>, <b>Ann</b>" in "".join(shown.text)
