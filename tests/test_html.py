"""The page of a citation result: everything is there, nothing from the user is more than text, nothing comes from outside."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from llmattr.report.html import frame, open_page, page
from llmattr.report.marks import citation_numbers, sentence_rows
from llmattr.types import Attribution, Document, Sources, Targets

RESPONSE = "Cats purr.\n\n  Dogs bark. Fish are silent."
DOCUMENTS = (Document("Cats purr a lot. Cats sleep.", "cats", "On cats"), Document("Dogs bark. Rain falls.\n", "dogs"))
VALUES = [[3.0, 0.0, 2.0, -1.0], [4.0, 1.0, 0.0, -2.0], [0.0, 0.9, 5.0, 0.0], [0.0, 0.05, 0.0, 0.0]]
VOID = {"meta", "input", "base", "link", "br", "img", "hr"}


def spans_of(text: str, parts: list[str]) -> np.ndarray:
    return np.array([(text.index(part), text.index(part) + len(part)) for part in parts])


def make(response: str | None = RESPONSE, documents: tuple[Document, ...] = DOCUMENTS, **changes) -> Attribution:
    """Four sources in two documents; a whole answer and three sentences, the last one without a cited source."""
    cut = [[part.strip() for part in re.findall(r"[^.]+\.?", d.text) if part.strip()] for d in documents]
    said = [part.strip() for part in re.findall(r"[^.]+\.?", response or RESPONSE)]
    said = [(response or RESPONSE).strip(), *said]
    texts = [text for parts in cut for text in parts]
    attribution = Attribution(
        values=np.array(VALUES),
        sources=Sources(
            kind="sentences",
            ids=[f"source-{i}" for i in range(len(texts))],
            texts=texts,
            spans=np.concatenate([spans_of(d.text, parts) for d, parts in zip(documents, cut, strict=True)]),
            groups=np.repeat(np.arange(len(documents)), [len(parts) for parts in cut]),
            documents=documents,
        ),
        targets=Targets(said, None if response is None else spans_of(response, said)),
        unit="nats of log-odds",
        method={"name": "context-cite", "n_ablations": 64, "alpha": 0.01},
        run={"model": "a/model", "dtype": "float32", "forward_passes": 64, "seconds": {"load": 1.0, "attribute": 2.0}},
        stderr=np.full((4, 4), 0.5),
        response=response,
    )
    return dataclasses.replace(attribution, **changes)


class Page(HTMLParser):
    """Elements by id, all start tags, the text of labels and the whole text; complains about tags that do not match."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.text, self.labels, self._open = [], {}, "", [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag not in VOID:
            self._open.append((tag, attrs.get("id")))
        if "id" in attrs:
            assert attrs["id"] not in self.ids
            self.ids[attrs["id"]] = ""
        if tag == "label":
            self.labels.append("")

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if any(tag == "style" for tag, _ in self._open):
            return
        self.text += data
        for _, name in self._open:
            if name:
                self.ids[name] += data
        if any(tag == "label" for tag, _ in self._open):
            self.labels[-1] += data

    def of(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def rules(html: str, target: int) -> dict[int, str]:
    """The lit sources of a target, with the declarations of their rules."""
    found = re.findall(rf":root:has\(#t{target}:checked\) #s(\d+) {{ (.*?) }}", html)
    return {int(source): declared for source, declared in found}


def test_every_source_and_target_is_there_once_as_it_is():
    attribution = make()
    parsed = Page(page(attribution))
    for i, text in enumerate(attribution.sources.texts):
        assert parsed.ids[f"s{i}"] == text
    for document in DOCUMENTS:  # nothing between the sources is lost
        assert document.text.strip() in re.sub(r"\[\d+\]", "", parsed.text)
    assert RESPONSE in re.sub(r"\[\d+\]", "", parsed.text)
    assert parsed.labels == ["Whole answer", "Cats purr.", "Dogs bark.", "Fish are silent."]
    assert "On cats" in parsed.text
    for said in ("a/model", "context-cite", "n_ablations = 64, alpha = 0.01", "nats of log-odds", "4 sentences", "3.0 s"):
        assert said in parsed.text


def test_the_first_sentence_is_chosen_at_first():
    radios = Page(page(make())).of("input")
    assert [radio["id"] for radio in radios] == ["t0", "t1", "t2", "t3"]
    assert [radio["id"] for radio in radios if "checked" in radio] == ["t1"]
    alone = Page(page(make()[0]))
    assert [radio["id"] for radio in alone.of("input") if "checked" in radio] == ["t0"]
    assert alone.labels == [RESPONSE]


def test_a_chosen_sentence_lights_its_sources_by_score():
    html = page(make())
    assert rules(html, 1) == {
        0: "--hue: var(--for); --fill: 100%;",
        3: "--hue: var(--against); --fill: 60%;",
        1: "--hue: var(--for); --fill: 2%; --edge: underline dotted var(--for-line);",
    }
    assert set(rules(html, 2)) == {1, 2}


def test_the_numbers_follow_the_sentences():
    attribution = make(stderr=None)  # now 0.9 is clear of its error
    assert sentence_rows(attribution) == range(1, 4)
    assert citation_numbers(attribution) == {0: 1, 1: 2, 2: 3}
    parsed = Page(page(attribution))
    assert "Cats purr.[1][2]\n\n  Dogs bark.[3][2] Fish are silent." in parsed.text
    links = [link["href"] for link in parsed.of("a")]
    assert links[:4] == ["#s0", "#s1", "#s2", "#s1"]
    assert {link[1:] for link in links} <= set(parsed.ids)
    assert "+4.00" in parsed.ids["p1"]
    assert "±" not in parsed.text


def test_scores_are_shown_with_their_error_best_first_and_the_worst_last():
    panel = " ".join(Page(page(make())).ids["p1"].split())
    assert re.findall(r"[+−][\d.]+ ± [\d.]+", panel) == ["+4.00 ± 0.50", "+1.00 ± 0.50", "−2.00 ± 0.50"]
    assert "No source stands clear" not in panel


def test_a_sentence_without_a_cited_source_says_so():
    html = page(make())
    assert "No source stands clear of its error." in Page(html).ids["p3"]
    assert all("dotted" in rule for rule in rules(html, 3).values())


EVIL = "<script>window.hacked=1</script></style></title>\"'><img src=x onerror=alert(1)>{{ 7*7 }} &amp;"


def test_what_the_user_gives_is_text_and_nothing_else():
    documents = tuple(Document(f"{EVIL} {i}. second {i}.", EVIL, EVIL) for i in range(2))
    evil = make(f"{EVIL} 1. {EVIL} 2. {EVIL} 3.", documents)
    evil = dataclasses.replace(
        evil,
        targets=Targets(evil.targets.texts[:4], evil.targets.spans[:4]),
        sources=dataclasses.replace(evil.sources, kind=EVIL, ids=[EVIL] * len(evil.sources)),
        values=np.ones((4, len(evil.sources))),
        stderr=None,
        unit=EVIL,
        method={"name": EVIL, EVIL: EVIL},
        run={"model": EVIL, "dtype": EVIL},
    )
    html = page(evil)
    parsed = Page(html)
    assert not re.search("<(script|img)", html, re.IGNORECASE)
    assert html.count("</style>") == html.count("</title>") == 1
    assert (
        parsed.text.count("<script>window.hacked=1</script></style></title>\"'><img src=x onerror=alert(1)>{{ 7*7 }} &amp;") > 6
    )
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert Page(frame(evil)).of("iframe")[0]["srcdoc"].replace('<base href="about:srcdoc">\n', "") == html


def test_nothing_comes_from_outside_and_nothing_runs():
    parsed = Page(page(make()))
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert "http:" not in page(make())
    assert "https:" not in page(make())
    assert "url(" not in page(make())
    policies = [meta["content"] for meta in parsed.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert parsed.of("html") == [{"lang": "en"}]


def test_a_notebook_frame_cannot_run_scripts_and_keeps_its_links():
    [attrs] = Page(frame(make())).of("iframe")
    assert attrs["sandbox"] is None
    assert '<base href="about:srcdoc">' in attrs["srcdoc"]


def test_columns_that_name_their_sources():
    indexed = make(values=np.array([[2.0], [3.0], [4.0], [1.5]]), index=np.array([[3], [3], [1], [0]]), stderr=None)
    assert citation_numbers(indexed) == {3: 1, 1: 2, 0: 3}
    assert [list(rules(page(indexed), t)) for t in range(4)] == [[3], [3], [1], [0]]


@pytest.mark.parametrize("response", [RESPONSE, None])
def test_sources_and_targets_without_a_place_are_listed(response):
    attribution = make(response)
    places = {"spans": None, "groups": None, "documents": ()}
    listed = dataclasses.replace(
        attribution,
        sources=dataclasses.replace(attribution.sources, **places),
        targets=Targets(["out 1", "out 2", "out 3", "out 4"], measure="value"),
        unit="the function's own unit",
        run={},
    )
    parsed = Page(page(listed))
    assert parsed.labels == ["out 1", "out 2", "out 3", "out 4"]
    assert [parsed.ids[f"s{i}"] for i in range(4)] == list(attribution.sources.texts)
    assert "raised the target" in parsed.text
    assert "checked" in parsed.of("input")[0]


def test_spans_that_overlap_or_are_out_of_order_are_all_choices():
    spans = np.array([[12, 24], [0, 10], [5, 20]])
    targets = Targets([RESPONSE[a:b] for a, b in spans], spans)
    parsed = Page(page(make(targets=targets, values=np.ones((3, 4)), stderr=None)))
    assert parsed.labels == ["Cats purr.", RESPONSE[12:24], RESPONSE[5:20]]
    assert "checked" in next(radio for radio in parsed.of("input") if radio["id"] == "t0")
    assert RESPONSE in re.sub(r"\[\d+\]", "", parsed.text)


def test_one_target_of_a_response_is_its_own_sentence():
    attribution = make()[2]
    assert sentence_rows(attribution) == range(1)
    parsed = Page(page(attribution))
    assert parsed.labels == ["Dogs bark."]
    assert RESPONSE in re.sub(r"\[\d+\]", "", parsed.text)


def test_a_page_of_many_sources_and_sentences_stays_small():
    n, t = 1000, 20
    said = [f"Sentence {i:02d}." for i in range(t)]
    parts = [f"Source number {i:04d}." for i in range(n)]
    text, response = " ".join(parts), " ".join(said)
    sources = Sources("sentences", parts, parts, spans_of(text, parts), np.zeros(n, dtype=int), (Document(text, "d"),))
    rng = np.random.default_rng(0)
    many = make(
        response,
        sources=sources,
        targets=Targets(said, spans_of(response, said)),
        values=rng.normal(size=(t, n)),
        stderr=np.full((t, n), 0.2),
    )
    html = page(many)
    assert len(html) < 400_000
    assert all(len(rules(html, i)) == 60 for i in range(t))
    assert "more cited" in Page(html).ids["p0"]


def test_open_page_writes_a_file_and_shows_it(monkeypatch):
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    path = open_page(make())
    assert path.read_text(encoding="utf-8") == page(make())
    assert shown == [path.as_uri()]
    path.unlink()


def test_the_methods_of_an_attribution_give_the_page():
    assert make().html() == page(make())
    assert make()._repr_html_() == frame(make())
