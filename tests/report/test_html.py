"""The page of a result: everything is there, nothing from the user is more than text, nothing comes from outside."""

import dataclasses
import html as html_module
import re
from html.parser import HTMLParser

import click
import numpy as np
import pytest

from llmattr.core.attribution import Attribution, sentence_rows
from llmattr.core.evidence import Evidence, Rival, TargetEvidence
from llmattr.core.sources import Document, Sources, Targets
from llmattr.report.html import frame, open_page, page
from llmattr.report.marks import citation_numbers
from llmattr.report.text import ranking
from llmattr.report.trace import Query, query_of
from llmattr.report.words import passage, shared, strengths

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
    fields = {
        "values": np.array(VALUES),
        "sources": Sources(
            kind="sentences",
            ids=[f"source-{i}" for i in range(len(texts))],
            texts=texts,
            spans=np.concatenate([spans_of(d.text, parts) for d, parts in zip(documents, cut, strict=True)]),
            groups=np.repeat(np.arange(len(documents)), [len(parts) for parts in cut]),
            documents=documents,
        ),
        "targets": Targets(said, None if response is None else spans_of(response, said)),
        "unit": "nats of log-odds",
        "method": {"name": "context-cite", "n_ablations": 64, "alpha": 0.01},
        "run": {"model": "a/model", "dtype": "float32", "forward_passes": 64, "seconds": {"load": 1.0, "attribute": 2.0}},
        "stderr": np.full((4, 4), 0.5),
        "response": response,
    }
    return Attribution(**fields | changes)


class Page(HTMLParser):
    """Elements by id, all start tags, the text of choices and the whole text; complains about tags that do not match.

    `running`: the text without what stands beside the answer.
    """

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.text, self.running, self.labels, self._open = [], {}, "", "", [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag not in VOID:
            self._open.append((tag, attrs.get("id"), is_choice(tag, attrs)))
        if "id" in attrs:
            assert attrs["id"] not in self.ids
            self.ids[attrs["id"]] = ""
        if is_choice(tag, attrs):
            self.labels.append("")

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if any(tag == "style" for tag, _, _ in self._open):
            return
        self.text += data
        self.running += data * all(tag != "aside" for tag, _, _ in self._open)
        for _, name, _ in self._open:
            if name:
                self.ids[name] += data
        if any(chooses for _, _, chooses in self._open):
            self.labels[-1] += data

    def of(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def is_choice(tag: str, attrs: dict) -> bool:
    return tag == "label" or (tag == "a" and attrs.get("class", "").startswith("choice"))


def rules(html: str, target: int) -> dict[int, str]:
    """The lit sources of a target, with the declarations of their rules."""
    found = re.findall(rf"^:root\S*:has\(\.c{target}:target\).* #s(\d+) {{ (.*?) }}", html, re.MULTILINE)
    return {int(source): declared for source, declared in found}


def test_every_source_and_target_is_there_once_as_it_is():
    attribution = make()
    parsed = Page(page(attribution))
    for i, text in enumerate(attribution.sources.texts):
        assert parsed.ids[f"s{i}"] == text
    for document in DOCUMENTS:  # nothing between the sources is lost
        assert document.text.strip() in re.sub(r"\[\d+\]", "", parsed.running)
    assert RESPONSE in re.sub(r"\[\d+\]", "", parsed.running)
    assert parsed.labels == ["Whole answer", "Cats purr.", "Dogs bark.", "Fish are silent."]
    assert "On cats" in parsed.text
    for said in ("a/model", "context-cite", "n_ablations = 64, alpha = 0.01", "nats of log-odds", "4 sentences", "3.0 s"):
        assert said in parsed.text


def test_the_first_sentence_is_chosen_at_first():
    html = page(make())
    assert [t for t in range(4) if f":has(.c{t}:target), :not(:has(.at:target))) #p{t}" in html] == [1]
    assert [link["href"] for link in Page(html).of("a") if link.get("id", "").startswith("t")] == [
        "#c0s0",
        "#c1s0",
        "#c2s2",
        "#a3",
    ]
    alone = Page(page(make()[0]))
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
    assert "Cats purr.[1][2]\n\n  Dogs bark.[3] Fish are silent." in parsed.running  # 0.9 is no fifth of 5.0
    marks = [link["href"] for link in parsed.of("a") if link.get("class") == "mark"]
    assert marks == ["#c1s0", "#c1s1", "#c2s2", "#a1", "#a1", "#a2"]  # and from the documents back to the answer
    assert {link["href"][1:] for link in parsed.of("a")} <= set(parsed.ids)
    assert "+4.00" in parsed.ids["p1"]
    assert "±" not in parsed.text


def test_scores_are_shown_with_their_error_best_first_and_the_worst_last():
    panel = " ".join(Page(page(make())).ids["p1"].split())
    assert re.findall(r"[+−][\d.]+ ± [\d.]+", panel) == ["+4.00 ± 0.50", "−2.00 ± 0.50", "+1.00 ± 0.50"]
    assert panel.index("−2.00") < panel.index("1 more") < panel.index("+1.00")  # what is not cited stands behind "more"
    assert "No source is cited" not in panel


def test_a_sentence_without_a_cited_source_says_so():
    html = page(make())
    assert "No source is cited." in Page(html).ids["p3"]
    assert all("dotted" in rule for rule in rules(html, 3).values())


EVIL = "<script>window.hacked=1</script></style></title>\"'><img src=x onerror=alert(1)>{{ 7*7 }} &amp;"


def test_what_the_user_gives_is_text_and_nothing_else():
    documents = tuple(Document(f"{EVIL} {i}. second {i}.", EVIL, EVIL) for i in range(2))
    evil = make(f"{EVIL} 1. {EVIL} 2. {EVIL} 3.", documents, values=np.ones((7, 6)), stderr=None)
    evil = dataclasses.replace(
        evil,
        targets=Targets(evil.targets.texts[:4], evil.targets.spans[:4]),
        sources=dataclasses.replace(evil.sources, kind=EVIL, ids=[EVIL] * len(evil.sources)),
        values=evil.values[:4],
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
    assert ":has(.c0:target), :not(:has(.at:target))) #p0" in page(listed)


def test_spans_that_overlap_or_are_out_of_order_are_all_choices():
    spans = np.array([[12, 24], [0, 10], [5, 20]])
    targets = Targets([RESPONSE[a:b] for a, b in spans], spans)
    html = page(make(targets=targets, values=np.ones((3, 4)), stderr=None))
    parsed = Page(html)
    assert parsed.labels == ["Cats purr.", RESPONSE[12:24], RESPONSE[5:20]]
    assert ":has(.c0:target), :not(:has(.at:target))) #p0" in html
    assert RESPONSE in re.sub(r"\[\d+\]", "", parsed.running)


def test_one_target_of_a_response_is_its_own_sentence():
    attribution = make()[2]
    assert sentence_rows(attribution) == range(1)
    parsed = Page(page(attribution))
    assert parsed.labels == ["Dogs bark."]
    assert RESPONSE in re.sub(r"\[\d+\]", "", parsed.running)


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


def test_what_nothing_leads_to_is_folded_in_long_documents_alone():
    parts = [f"Source number {i:04d}." for i in range(60)]
    text, response = " ".join(parts), "One. Two."
    sources = Sources("sentences", parts, parts, spans_of(text, parts), np.zeros(60, dtype=int), (Document(text, "d"),))
    values = np.zeros((2, 60))
    values[0, 20] = values[1, 22] = 3.0
    said = ["One.", "Two."]
    many = make(response, sources=sources, targets=Targets(said, spans_of(response, said)), values=values, stderr=None)
    html = page(many)
    folded = re.findall(r'<span class="fold">(.*?</span>)\s*</span>', html, re.DOTALL)
    shown = {i for i in range(60) if not any(f'id="s{i}"' in part for part in folded)}
    assert shown == {19, 20, 21, 22, 23}
    assert "⋯ 19 sentences ⋯" in html
    assert "⋯ 36 sentences ⋯" in html
    assert Page(html).text.count("Source number 0059.") == 1  # folded, not left out
    assert "fold" not in Page(page(make())).text
    assert 'id="all"' not in page(make())


def test_what_stands_in_no_source_is_marked_and_an_unsupported_sentence_says_so():
    attribution = make()
    spans = attribution.targets.spans
    verdicts = ["context", "context", "unsupported", "refusal"]
    missing = [(), (), ((int(spans[2, 0]), int(spans[2, 0]) + 4),), ()]
    found = [TargetEvidence(5.0, 1.0, v, missing=m) for v, m in zip(verdicts, missing, strict=True)]
    tokens = np.array([[0, len(RESPONSE)]])
    html = page(dataclasses.replace(attribution, evidence=Evidence(tuple(found), tokens, np.zeros(1), np.zeros(1))))
    assert "<mark>Dogs</mark> bark." in html
    assert re.findall(r'class="flag">(.*?)<', html) == ["not supported"]
    assert "'Dogs' stands nowhere in what the model was given" in html_unescaped(html)
    assert "[3]" not in Page(html).running  # nothing is cited for it


def test_a_name_with_a_rival_is_marked():
    attribution = make()
    start = int(attribution.targets.spans[2, 0])
    rival = Rival(start, start + 4, "Cats", 9.0)
    found = [TargetEvidence(5.0, 1.0, "context") for _ in range(4)]
    found[2] = TargetEvidence(5.0, 1.0, "unsupported", missing=((start + 2, start + 4),), rival=rival)  # they may overlap
    tokens = np.array([[0, len(RESPONSE)]])
    html = page(dataclasses.replace(attribution, evidence=Evidence(tuple(found), tokens, np.zeros(1), np.zeros(1))))
    assert "<mark>Do</mark><mark>gs</mark> bark." in html
    assert "Check 'Dogs': the model finds 'Cats' likelier there" in html_unescaped(html)


def html_unescaped(text: str) -> str:
    return html_module.unescape(text)


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


QUERY = {"prompt": "The capital of France is ", "completion": "Paris."}
ROWS = [
    "PARIS is the Capital of France.",
    "A Parisian café in France",
    "Q: Which city is it?\n\n  A: Paris",
    "The capital of Peru is Lima.",
    "Grass is green.",
]


def make_trace(queries: list[dict] | None = None, rows: list[str] | None = None, **changes) -> Attribution:
    """A trace whose first half of rows is for and whose second half is against each query, in their order."""
    queries, rows = queries or [QUERY], rows or ROWS
    values = np.linspace(2, -1.9, len(rows)) if len(rows) > 1 else np.ones(1)
    trace = Attribution(
        values=np.tile(values, (len(queries), 1)),
        sources=Sources("training rows", [str(17 * i) for i in range(len(rows))], rows),
        targets=Targets([query["completion"] for query in queries], measure="loss"),
        unit="inner products of projected gradients",
        method={"name": "logra", "damping": 0.1},
        run={"model": "a/model", "n": 12345},
        asked=queries,
        traced=True,
    )
    return dataclasses.replace(trace, **changes)


def make_tokens(prompt: str = "Trees are", tokens: tuple[str, ...] = (" green", ".", "\n", " Yes", "\n")) -> Attribution:
    """A trace of each token of a response."""
    ends = np.cumsum([len(token) for token in tokens])
    spans = np.stack([ends - [len(token) for token in tokens], ends], axis=1)
    query = {"prompt": prompt, "completion": "".join(tokens)}
    trace = make_trace([query] * len(tokens))
    return dataclasses.replace(trace, targets=Targets(tokens, spans, "loss"), response=query["completion"])


def marked(html: str, kind: str) -> list[str]:
    """The texts marked in the lists of rows."""
    return re.findall(rf'<mark class="{kind}">(.*?)</mark>', html.partition('<div class="sides">')[2])


def test_a_trace_shows_the_prompt_before_the_completion():
    html = page(make_trace())
    assert '<span class="before">The capital of France is </span><span class="said">Paris.</span>' in html
    assert "<title>The capital of France is Paris. | llmattr</title>" in html
    assert "5 of 12,345" in html
    assert "Scores do not come from the marks" in " ".join(html.split())


def test_a_trace_without_its_queries_shows_the_targets():
    html = page(make_trace(asked=None))
    assert '<span class="before">' not in html
    assert '<span class="said">Paris.</span>' in html
    assert "<title>Paris. | llmattr</title>" in html


def test_a_slice_of_a_trace_keeps_its_prompt():
    lima = {"prompt": "Peru: ", "completion": "Lima"}
    trace = make_trace([QUERY, lima, {"prompt": "The best bean: ", "completion": "Lima"}])
    assert query_of(trace, 1).before == "Peru: "
    assert query_of(trace[0], 0).text == "The capital of France is Paris."
    assert query_of(trace[1], 0).text == "Peru: Lima"
    assert query_of(trace[1:][1], 0).before == "The best bean: "


def test_tokens_of_several_queries_stand_in_their_text():
    asked = [QUERY] * 3 + [{"prompt": "Grass is", "completion": " green"}] * 2
    pieces = ["Par", "is", ".", " gr", "een"]
    trace = make_trace(asked, targets=Targets(pieces, measure="loss"))
    found = [query_of(trace, t) for t in range(5)]
    assert [query.text for query in found] == ["The capital of France is Paris."] * 3 + ["Grass is green"] * 2
    assert [query.said for query in found] == pieces
    assert found[1].before == "The capital of France is Par"
    assert "5 tokens" in Page(page(trace)).text
    assert marked(page(trace[:3]), "strong")[:2] == ["PARIS", "Paris"]
    assert marked(page(trace), "strong")[:2] == ["PARIS", "Paris"]


def test_a_response_without_the_first_token_of_its_text_is_shown_after_it():
    trace = make_tokens("", (" oak", " tree"))
    text = [{"prompt": "", "completion": "An oak tree"}]
    assert query_of(dataclasses.replace(trace, asked=text), 1) == Query("An oak", " tree")
    other = [{"prompt": "user: hi", "completion": "assistant: something else"}]
    assert query_of(dataclasses.replace(trace, asked=other), 0) == Query("user: hi", " oak", " tree")


def test_similarities_are_no_causes_and_without_a_query_nothing_is_marked():
    alike = Page(page(make_trace(unit="similarities", targets=Targets(["Paris."], measure="similarity"))))
    assert "Most alike" in alike.text
    assert "likely" not in alike.text
    own = page(make_trace([{"prompt": "", "completion": "the row itself"}], ["a row itself", "b"], asked=None))
    assert "<mark" not in own
    assert '<p class="legend">' not in own
    assert '<span class="said">the row itself</span>' in own


def test_words_of_the_completion_are_marked_more_than_words_of_the_prompt():
    html = page(make_trace())
    assert marked(html, "strong") == ["PARIS", "Paris"]  # neither "Parisian" nor the words is, the, of
    assert marked(html, "weak") == ["Capital", "France", "France", "capital"]


@pytest.mark.parametrize(
    ("query", "row", "found"),
    [
        ("Столица - Париж", "ПАРИЖ и парижане", ["ПАРИЖ"]),
        ("العاصمة باريس", "باريس مدينة", ["باريس"]),
        ("भारत की राजधानी", "नई राजधानी", ["राजधानी"]),
        ("首都是巴黎", "巴黎是法国的首都", ["巴黎", "首都"]),  # without spaces every pair of neighbours is a word
        ("パリは首都", "首都のパリ、x都", ["首都", "パリ"]),
        ("Caf\u00e9 in STRASSE 1889", "cafe\u0301, Straße, 18890, 1889", ["cafe\u0301", "Straße", "1889"]),
    ],
)
def test_words_of_other_scripts(query, row, found):
    shown = passage(row, shared(row, strengths(query, (0, len(query)), frozenset())))
    assert [text for text, kind in shown.shown if kind == "strong"] == found
    assert "".join(text for text, _ in shown.shown) == row


def test_words_that_most_rows_have_are_not_marked():
    rows = [f"user: Wo liegt {city}?\nassistant: {land}" for city, land in zip("ABCDEFGH", "KLMNOPQR", strict=True)]
    asked = [{"prompt": "", "completion": "user: Wo liegt C?\nassistant: M"}]
    assert marked(page(make_trace(asked, rows)), "strong") == ["C", "M"]
    few = page(make_trace(asked, rows[:4]))  # too few to tell
    assert marked(few, "strong")[:4] == ["user", "Wo", "liegt", "assistant"]


def test_a_long_row_is_shown_around_the_words_it_shares():
    filler = "Lorem ipsum dolor sit amet. " * 80
    long = f"France. {filler}\nThe capital, Paris.\n\n\n  It is in France. {filler}"
    parsed = Page(page(make_trace(rows=[long, "b"])))
    excerpt, whole = (text.strip() for text in re.split(r"Show all 4,\d+ charactersShow less", parsed.ids["p0"]))
    assert "…" in excerpt
    assert "amet. \nThe capital, Paris.\n  It is in France. Lorem" in excerpt
    assert len(excerpt) < 700
    assert long.strip() in whole
    assert len(parsed.of("details")) == 1
    assert "Show all" not in Page(page(make_trace(rows=["a\nb" * 5]))).text


def test_a_huge_row_is_not_all_on_the_page():
    html = page(make_trace(rows=["Paris " * 30_000]))
    assert len(html) < 150_000
    assert "Show all 180,000 characters" not in html
    assert "Show 10,000 of 180,000 characters" in html


@pytest.mark.parametrize("hard", ["\n" * 600, "a" * 5000, "a " * 5000, "巴黎" * 3000, " " * 600, "", "x\n\n" * 400])
def test_no_character_of_a_row_is_lost(hard):
    shown = passage(hard, shared(hard, {"a": "strong", "巴黎": "weak"}))
    assert "".join(text for text, _ in shown.whole or shown.shown) == hard[:10_000]
    assert len("".join(text for text, _ in shown.shown)) < 500
    assert shown.length == len(hard)


def test_each_side_of_a_trace_has_its_ranks_rows_and_scores():
    rows = [f"fact {i}" for i in range(25)]
    parsed = Page(page(make_trace(rows=rows)))
    said = " ".join(parsed.ids["p0"].split())
    assert re.findall(r"(\d+) ([+−][\d.]+) row (\d+) (fact \d+)", said)[:2] == [
        ("1", "+2.00", "0", "fact 0"),
        ("2", "+1.84", "17", "fact 1"),
    ]
    assert ("1", "−1.90", "408", "fact 24") in re.findall(r"(\d+) ([+−][\d.]+) row (\d+) (fact \d+)", said)
    assert "and 3 more, with" in said
    assert "and 2 more, with" in said
    assert "No row has a negative score." in page(make_trace(rows=["one"]))


def test_many_queries_are_choices_and_one_is_none():
    parsed = Page(page(make_trace([{"prompt": f"{'Long ' * 200}{i} is ", "completion": "Paris."} for i in range(50)])))
    assert [label.split()[0] for label in parsed.labels] == [str(i) for i in range(1, 51)]
    assert all(label.endswith(" is Paris.") and len(label) < 80 for label in parsed.labels)
    assert "hidden" in next(attrs for attrs in Page(page(make_trace())).of("section"))


def test_tokens_are_choices_whose_white_space_is_seen():
    parsed = Page(page(make_tokens()))
    assert parsed.labels == ["green", ".", "⏎", "Yes", "⏎"]
    assert "Trees are green.⏎\n Yes⏎\n" in parsed.text
    assert "Trees are green.\n Yes" in " ".join(parsed.ids["p0"].split("  "))
    assert marked(page(make_tokens()), "strong") == ["green"]  # of the first token, not of the others
    assert Page(page(make_tokens(tokens=("a", " ", "\t ", "b")))).labels == ["a", "␣", "⇥␣", "b"]
    whole = make_tokens(tokens=("It is green", "It", " is", " green"))
    spans = np.array([[0, 11], [0, 2], [2, 5], [5, 11]])
    whole = dataclasses.replace(whole, response="It is green", targets=Targets(whole.targets.texts, spans, "loss"))
    assert Page(page(whole)).labels == ["Whole completion", "It", "is", "green"]


def test_what_a_trace_is_given_is_text_and_nothing_else():
    evil = make_trace([{"prompt": EVIL, "completion": EVIL}] * 2, [EVIL, EVIL + " hacked " * 99, "x"], unit=EVIL)
    evil = dataclasses.replace(evil, method={"name": EVIL, EVIL: EVIL}, run={**evil.run, "model": EVIL})
    evil = dataclasses.replace(evil, sources=dataclasses.replace(evil.sources, ids=[EVIL] * 3))
    tokens = make_tokens(EVIL, (EVIL, f" {EVIL}"))
    for html in (page(evil), page(tokens)):
        parsed = Page(html)
        assert not re.search("<(script|img|link|iframe)", html, re.IGNORECASE)
        assert html.count("</style>") == html.count("</title>") == 1
        assert parsed.text.count(EVIL) > 2
        assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
        assert [meta["content"] for meta in parsed.of("meta") if meta.get("http-equiv")] == [
            "default-src 'none'; style-src 'unsafe-inline'"
        ]
        assert "url(" not in html


def test_the_ranking_in_the_terminal_has_the_prompt_before_the_completion():
    long = {"prompt": "Once upon a time. " * 30 + "It is\n\n", "completion": "Paris, \x1b[31mtruly."}
    lines = click.unstyle(ranking(make_trace([QUERY, long]), 1)).splitlines()
    assert lines[0] == "The capital of France is Paris."
    second = next(line for line in lines if "truly" in line)
    assert re.fullmatch(r"… .{30,60} It is Paris, \ufffd\[31mtruly\.", second)
    assert click.unstyle(ranking(make_trace(asked=None))).splitlines()[0] == "Paris."


def test_each_tokens_share_of_the_loss_stands_below_the_query():
    losses = [[["The", 1.0], [" mum", 2.5], [" ", 0.5]], [["Lima", 3.0]]]
    trace = make_trace([QUERY, {"prompt": "Peru: ", "completion": "Lima"}], details={"loss": losses})
    said = " ".join(Page(page(trace)).text.split())
    assert "Its loss, token by token (percent of the whole): The25 mum62␣12" in said  # 62.5 is rounded to even
    assert said.count("token by token") == 1  # a single token has all of its loss


def test_a_span_stands_in_its_completion():
    query = {"prompt": "Who? ", "completion": "Her mum is Mary Lee.", "span": " Mary Lee"}
    trace = make_trace([query, QUERY], targets=Targets([" Mary Lee", "Paris."], measure="loss"))
    assert query_of(trace, 0) == Query("Who? Her mum is", " Mary Lee", ".")
    tokens = make_trace([query] * 2 + [QUERY], targets=Targets([" Mary", " Lee", "Paris."], measure="loss"))
    assert [query_of(tokens, t) for t in (0, 1)] == [
        Query("Who? Her mum is", " Mary", " Lee."),
        Query("Who? Her mum is Mary", " Lee", "."),
    ]
    response = make_tokens("", (" Mary", " Lee"))
    alone = dataclasses.replace(response, asked=[query])
    assert query_of(alone, 1) == Query("Who? Her mum is Mary", " Lee", ".")
