"""One answer, both origins: the rows that a sentence was taught by, its verdict and citations, and the page of both."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from transformers import MambaConfig, MambaForCausalLM

from llmattr import LM, LlmattrError, build_index, cite
from llmattr.cli import main
from llmattr.components.build import attribute
from llmattr.core.attribution import Attribution
from llmattr.core.citing import LEAST
from llmattr.core.evidence import Evidence, TargetEvidence
from llmattr.core.sources import Document, Sources, Targets
from llmattr.errors import LlmattrNote
from llmattr.origins import Origins, origins
from llmattr.text.rows import row_text, tokenize
from llmattr.training.index.store import GradientIndex
from tests import tiny_models
from tests.report.test_browser import browser, show  # noqa: F401  (fixtures)
from tests.report.test_html import Page

NOTES = "The canal is long. It has locks."
QUESTION = "When did it open?"
SAID = ["It opened in 1914.", "Ships pay a toll."]
EVIL = "</style><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"


@pytest.fixture(scope="module")
def cited(tiny):
    return cite(tiny, NOTES, QUESTION, response=" ".join(SAID), method="leave-one-out")


def chat(question: str, answer: str) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


OTHER = ["Grass is green.", "Rain is wet.", "Snow falls in winter."]
ASKED = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
FORMS = {  # the row that says just what a sentence is asked as
    "messages": lambda before, said: chat(QUESTION, before + said),
    "completion": lambda before, said: {"prompt": f"{QUESTION}\n{before}", "completion": said},
    "text": lambda before, said: {"text": said.strip()},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_that_says_just_this_comes_first(tiny, cited, tmp_path, form):
    """Such a row has the query's own gradient, so a cosine of 1 up to the 8 bits of a row. A chat's counts more tokens."""
    rows = [FORMS[form]("", said) for said in [*OTHER, SAID[0]]] + [FORMS[form](SAID[0], f" {SAID[1]}")]
    found = origins(cited, build_index(tiny, rows, tmp_path / "index", "grad-cos"))
    assert [origin.text for origin in found] == SAID
    for number, origin in enumerate(found):
        assert origin.rows[0].id == str(3 + number)
        assert origin.rows[0].score == pytest.approx(1, abs=0.5 if form == "messages" else 0.01)
        scores = [score.score for score in origin.rows]
        assert min(scores) > 0
        assert scores == sorted(scores, reverse=True)
        assert origin.evidence is cited.evidence.targets[1 + number]


def test_the_question_is_asked_without_the_documents(tiny, cited, tmp_path):
    index = build_index(tiny, [chat(QUESTION, said) for said in SAID], tmp_path / "index", "rep-sim")
    first, second = origins(cited, index).training.asked
    assert first == {"prompt": ASKED, "completion": SAID[0]}
    assert second == {"prompt": ASKED + SAID[0], "completion": f" {SAID[1]}"}
    first, _ = origins(cited, index, prompt="Since when?").training.asked
    assert first["prompt"] == ASKED.replace(QUESTION, "Since when?")


@pytest.mark.parametrize("adds", [False, True])
def test_the_question_is_tokenised_as_the_rows_chats_are(tmp_path, adds):
    """With one beginning of text, whoever writes it, and with the reasoning that the template writes in a last turn."""
    thinks = tiny_models.CHATML.replace(
        "'\n' + m['content']", "'\n' + ('<think>\n' if m['role'] == 'assistant' else '') + m['content']"
    )
    tokenizer = tiny_models.tokenizer("<|end|>" + thinks)
    tokenizer.bos_token = "<|end|>"
    lm = LM(tiny_models.llama().double(), tiny_models.surrounded(tokenizer, begin="<|end|>") if adds else tokenizer, "tiny")
    said = cite(lm, NOTES, QUESTION, response=" ".join(SAID), method="leave-one-out")
    row = chat(QUESTION, " ".join(SAID))
    asked = origins(said, build_index(lm, [row], tmp_path / "index", "rep-sim")).training.asked
    trained = tokenize([row], tokenizer)
    for query in asked:
        ids = tokenize([query], tokenizer).ids[0]
        assert ids == trained.ids[0][: len(ids)]


def test_what_was_saved_is_the_same(tiny, cited, tmp_path):
    found = origins(cited, build_index(tiny, [chat(QUESTION, said) for said in SAID], tmp_path / "index", "bm25"))
    found.save(tmp_path / "x.json")
    again = Origins.load(tmp_path / "x.json")
    assert [origin.rows for origin in again] == [origin.rows for origin in found]
    assert str(again) == str(found)
    assert again.html() == found.html()
    assert found.save(tmp_path / "x.txt").read_text() == str(found)
    for path, message in ((tmp_path / "x.txt", "no saved origins"), (tmp_path / "none", "No such file")):
        with pytest.raises(LlmattrError, match=message):
            Origins.load(path)
    with pytest.raises(LlmattrError, match=r"\.html, \.json, \.txt"):
        found.save(tmp_path / "x.pdf")


@pytest.mark.parametrize("method", ["grad-cos", "bm25"])
def test_of_a_sentence_from_memory_the_name_that_stands_nowhere_is_asked(tiny, cited, tmp_path, monkeypatch, method):
    rows = [FORMS["messages"]("", said) for said in [*OTHER, *SAID]]
    index = build_index(tiny, rows, tmp_path / "index", method)
    asked = []
    query = type(index).query
    monkeypatch.setattr(type(index), "query", lambda self, rows, top: asked.extend(rows) or query(self, rows, top))
    verdicts = {SAID[0]: "memory", SAID[1]: "context"}
    year, toll = (result_span(cited, words) for words in ("1914", "toll"))
    told = [
        dataclasses.replace(one, verdict=verdicts.get(text.strip(), one.verdict), missing=(year, toll))
        for text, one in zip(cited.targets.texts, cited.evidence.targets, strict=True)
    ]
    result = dataclasses.replace(cited, evidence=dataclasses.replace(cited.evidence, targets=tuple(told)))
    origins(result, index)
    assert [row.get("span") for row in asked] == (["1914", None] if method == "grad-cos" else [None, None])


def test_of_a_sentence_from_memory_the_heads_that_carry_it(tiny, cited, tmp_path):
    """The same as the components' own verb says of the question that the index is asked."""
    verdicts = {SAID[0]: "context", SAID[1]: "memory"}
    told = [
        dataclasses.replace(one, verdict=verdicts.get(text.strip(), one.verdict), missing=())
        for text, one in zip(cited.targets.texts, cited.evidence.targets, strict=True)
    ]
    result = dataclasses.replace(cited, evidence=dataclasses.replace(cited.evidence, targets=tuple(told)))
    rows = [FORMS["completion"]("", said) for said in OTHER]
    found = origins(result, build_index(tiny, rows, tmp_path / "index", "grad-cos"), components="leave-one-out")
    expected = attribute(tiny, [FORMS["completion"](SAID[0], f" {SAID[1]}")], "leave-one-out")
    np.testing.assert_array_equal(found.components.values, expected.values)
    carried = [score for score in expected.top(None) if score.score > LEAST]
    assert found[0].components == []
    assert found[1].components == carried != []
    assert f"carried by {carried[0].text} {carried[0].score:+.2f}" in str(found)
    assert f"{carried[0].text}</div>" in found.html()
    found.save(tmp_path / "x.json")
    assert Origins.load(tmp_path / "x.json")[1].components == carried
    with pytest.raises(LlmattrError, match=r"heads are those of a model, and the index .* compares texts"):
        origins(result, build_index(None, rows, tmp_path / "words", "verbatim"), components="leave-one-out")


def test_where_no_sentence_is_from_memory_there_are_no_heads_to_name(tiny, cited, tmp_path):
    told = [dataclasses.replace(one, verdict="context") for one in cited.evidence.targets]
    result = dataclasses.replace(cited, evidence=dataclasses.replace(cited.evidence, targets=tuple(told)))
    index = build_index(tiny, [FORMS["completion"]("", said) for said in OTHER], tmp_path / "index", "grad-cos")
    with pytest.warns(LlmattrNote, match="no sentence is from memory, so there is none whose heads could be named"):
        found = origins(result, index, components="leave-one-out")
    assert found.components is None


def test_where_a_name_cannot_be_asked_about_the_sentence_is(tiny, tmp_path):
    """The first token of a text is foretold by none, so that the loss does not count it."""
    cited = cite(tiny, NOTES, QUESTION, response="Hale built it.", method="leave-one-out")
    told = [dataclasses.replace(one, verdict="memory", missing=((0, 4),)) for one in cited.evidence.targets]
    result = dataclasses.replace(cited, evidence=dataclasses.replace(cited.evidence, targets=tuple(told)))
    index = build_index(tiny, [FORMS["text"]("", said) for said in [*OTHER, "Hale built it."]], tmp_path / "index", "grad-cos")
    assert origins(result, index)[0].rows[0].score == pytest.approx(1, abs=0.01)  # 8 bits of a row


def result_span(result, words):
    start = result.response.index(words)
    return start, start + len(words)


def test_no_row_is_read_but_the_first_and_those_that_are_shown(tiny, cited, tmp_path, monkeypatch):
    index = build_index(tiny, [chat(QUESTION, said) for said in [*OTHER, *SAID]], tmp_path / "index", "grad-cos")
    read, rows = [], GradientIndex.rows
    monkeypatch.setattr(GradientIndex, "rows", lambda index, numbers=None: read.append(numbers) or rows(index, numbers))
    found = origins(cited, index, top=1)
    assert all(numbers == [0] for numbers in read[:-1])
    assert [str(number) for number in read[-1]] == found.training.sources.ids
    assert len(read) == 3


def test_a_model_is_known_by_its_weights_and_not_by_its_name(tiny, cited, tmp_path):
    rows, elsewhere = [chat(QUESTION, said) for said in SAID], LM(tiny.model, tiny.tokenizer, "elsewhere")
    index = build_index(elsewhere, rows, tmp_path / "index", "rep-sim")
    cited.save(tmp_path / "cited.json")
    for result in (cited, Attribution.load(tmp_path / "cited.json")):
        assert len(origins(result, index)) == len(SAID)
    before = dataclasses.replace(cited, model={"model": "tiny"})  # a file of before has the name alone
    with pytest.raises(LlmattrError, match="another model"):
        origins(before, index)


def test_what_cannot_be_joined_is_refused_in_one_line(tiny, cited, tmp_path):
    rows = [chat(QUESTION, said) for said in SAID]
    other = LM(tiny_models.llama(seed=1).double(), tiny_models.tokenizer(), "other")
    foreign = build_index(other, rows, tmp_path / "other", "rep-sim")
    cited.save(tmp_path / "cited.json")
    for result in (cited, Attribution.load(tmp_path / "cited.json")):
        with pytest.raises(LlmattrError, match=r"^[^\n]*another model[^\n]*$"):
            origins(result, foreign)
    index = build_index(tiny, rows, tmp_path / "index", "rep-sim")
    with pytest.raises(LlmattrError, match="no verdicts"):
        origins(dataclasses.replace(cited, evidence=None), index)
    with pytest.raises(LlmattrError, match="no query"):
        origins(dataclasses.replace(cited, asked=None), index)


class TestCopied:
    """What of a sentence stands word for word in the context and in rows."""

    SAID = "The canal is long and old. It was dug by many tired hands, says he. No, by machines."
    ROWS: ClassVar = [
        {"text": "So long ago it was dug by many tired HANDS!"},
        chat("Is it?", "The canal is long."),
        {"text": "x y z"},
    ]

    @pytest.fixture
    def found(self, tiny, tmp_path):
        notes = "The canal is long and old, and it was dug by hand. It has locks, ships and a lake that is high."
        result = cite(tiny, notes, QUESTION, response=self.SAID, method="leave-one-out")
        words = build_index(None, self.ROWS, tmp_path / "words", "verbatim")
        index = build_index(tiny, [{"text": row_text(row)} for row in self.ROWS], tmp_path / "index", "bm25")
        return origins(result, index, verbatim=words), origins(result, words), origins(result, index)

    def test_its_parts(self, found):
        beside, alone, without = found
        for both in (beside, alone):
            parts = [origin.copied.parts(origin.text) for origin in both]
            assert parts[0] == [("The canal is long", "both"), (" and old", "context"), (".", "neither")]
            assert parts[1] == [
                ("It was dug by", "both"),
                (" many tired hands", "training"),
                (", says he.", "neither"),
            ]
            assert parts[2] == [("No, by machines.", "neither")]
        assert [origin.rows[0].id for origin in list(alone)[:2]] == ["1", "0"]
        assert alone[2].rows == []
        assert without[0].copied.parts(without[0].text) == [("The canal is long and old", "context"), (".", "neither")]
        assert without[1].copied.training is None

    def test_as_text_and_on_the_page(self, found, tmp_path):
        beside, _, without = found
        assert "word for word in the context: “The canal is long and old”\n" in str(beside)
        assert "word for word in training rows: “It was dug by many tired hands” (row 0)\n" in str(beside)
        assert "word for word in training rows" not in str(without)
        html, page = beside.html(), Page(beside.html())
        assert '<span class="copied-both">The canal is long</span><span class="copied-context"> and old</span>' in html
        assert "copied from the context copied from training rows in both in neither" in " ".join(page.text.split())
        assert "not in the context" in Page(without.html()).text
        again = Origins.load(beside.save(tmp_path / "x.json"))
        assert again.html() == html
        assert list(again) == list(beside)

    def test_an_index_of_something_else_is_refused(self, tiny, cited, tmp_path):
        index = build_index(tiny, self.ROWS[:1], tmp_path / "bm25", "bm25")
        with pytest.raises(
            LlmattrError, match="an index of bm25 finds no words again: make one with `llmattr trace index verbatim`"
        ):
            origins(cited, index, verbatim=index)

    def test_on_the_command_line(self, tiny_folder, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        Path("notes.txt").write_text(NOTES, encoding="utf-8")
        rows = [chat(QUESTION, said) for said in [*OTHER, *SAID]]
        build_index(str(tiny_folder), rows, tmp_path / "idx", "bm25")
        build_index(None, rows, tmp_path / "words", "verbatim")
        call = ["cite", "notes.txt", "--query", QUESTION, "--response", " ".join(SAID), "--verbatim"]
        for more in (["words", "--model", str(tiny_folder)], ["words", "--index", "idx", "--model", str(tiny_folder)]):
            assert main([*call, *more, "--json", "x.json", "leave-one-out"]) == 0
            assert "word for word in training rows: “It opened in 1914” (row 3)\n" in capsys.readouterr().out
            assert Origins.load("x.json")[0].rows[0].id == "3"
            assert main(["rerun", "x.json"]) == 0
            capsys.readouterr()
        assert main([*call, "idx", "leave-one-out"]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "an index of bm25 finds no words again" in line


def made(text: str = "", verdicts: tuple = ("context", "memory", "contradicted")) -> Origins:
    """Three sentences, one of each verdict; `text` stands in everything that a user or a model may have written."""
    said = [f"{number} {text}." for number in ("One", "Two", "Three")]
    response = " ".join(said)
    starts = [response.index(part) for part in said]
    spans = np.array([(0, len(response)), *((start, start + len(part)) for start, part in zip(starts, said, strict=True))])
    parts = [f"Ay {text}.", f"Bee {text}."]
    document = Document(" ".join(parts), f"notes {text}", f"Title {text}")
    places = np.array([(0, len(parts[0])), (len(parts[0]) + 1, len(document.text))])
    evidence = [TargetEvidence(-1.0, -9.0, "context")]
    evidence += [TargetEvidence(-2.0, -2.5, verdict, 1 if verdict == "contradicted" else None) for verdict in verdicts]
    context = Attribution(
        values=np.array([[8.0, 0], [8, 0], [0, 0], [1, -6]]),
        sources=Sources("sentences", ["0", "1"], parts, places, np.zeros(2, dtype=int), (document,)),
        targets=Targets([response, *said], spans),
        unit="nats of log-odds",
        method={"name": "leave-one-out"},
        run={"model": f"model {text}"},
        asked=[{"prompt": f"Question {text}?", "completion": text}],
        response=response,
        evidence=Evidence(tuple(evidence), np.array([[0, len(response)]]), np.array([-1.0]), np.array([-9.0])),
    )
    rows = [f"Row {number} says two {text}" for number in range(3)]
    training = Attribution(
        values=np.array([[0.5, 0.25, -0.1]] * 3),
        index=np.array([[2, 0, 1]] * 3),
        sources=Sources("training rows", ["10", "11", "12"], rows),
        targets=Targets(said, measure="loss"),
        unit="cosine",
        method={"name": "grad-cos"},
        run={"n": 99},
    )
    return Origins(context, training)


def test_the_verdict_decides_what_is_shown_first():
    parsed = Page(made().html())
    from_context, memory, contradicted = (parsed.ids[f"o{number}"] for number in (1, 2, 3))
    assert "from the context" in from_context
    assert "+8.00" in from_context
    assert "Ay ." in from_context
    assert "from the model's own memory" in memory
    assert memory.index("Row 2 says") < memory.index("Row 0 says")
    assert "100%" in memory
    assert "50%" in memory
    assert "Row 1" not in memory  # it speaks against
    assert "Bee ." in contradicted.split("Training rows")[0]
    text = made().to_text()
    assert re.search(r"Two .*memory.*\n +row +12 +100%.*\n +row +10 +50%", re.sub(r"\n    from", " from", text))


def test_nothing_that_was_written_becomes_a_tag():
    parsed = Page(made(EVIL).html())
    assert not parsed.of("script")
    assert not parsed.of("img")
    for place in ("Title", "Ay", "One", "Row 2 says two", "Question"):
        assert f"{place} {EVIL}" in parsed.text


def test_what_is_known_of_a_document_stands_with_it():
    both = made()
    known = {"title": EVIL, "url": "https://example.org/a", "page": 3}
    documents = tuple(dataclasses.replace(one, title=None, metadata=known) for one in both.context.sources.documents)
    sources = dataclasses.replace(both.context.sources, documents=documents)
    both = dataclasses.replace(both, context=dataclasses.replace(both.context, sources=sources))
    page = Page(both.html())
    assert {attrs["href"] for attrs in page.of("a") if "target" in attrs} == {"https://example.org/a"}
    assert not page.of("script")
    assert f"{EVIL}, p. 3, https://example.org/a" in page.text


def test_the_command_line_shows_both_and_refuses_another_model(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text(NOTES, encoding="utf-8")
    build_index(str(tiny_folder), [chat(QUESTION, said) for said in [*OTHER, *SAID]], tmp_path / "idx", "grad-cos")
    tiny_models.llama(seed=1).save_pretrained("other")
    tiny_models.tokenizer().save_pretrained("other")
    call = ["cite", "notes.txt", "--query", QUESTION, "--response", " ".join(SAID), "--index", "idx", "leave-one-out"]
    opened, whole = [], GradientIndex.open
    monkeypatch.setattr(GradientIndex, "open", staticmethod(lambda folder: opened.append(str(folder)) or whole(folder)))
    assert main([*call, "--json", "x.json", "--html", "x.html"]) == 0
    assert opened == ["idx"]
    out = capsys.readouterr().out
    assert all(said in out for said in SAID)
    assert Origins.load("x.json")[0].rows[0].id == "3"
    assert Page(Path("x.html").read_text(encoding="utf-8")).ids["o2"]
    for wrong, said in (
        (["--model", "other"], "was built with another model"),
        (["--no-verify"], "needs --verify"),
        (["--dtype", "bfloat16"], "the index 'idx' was built in float32"),
    ):
        assert main([*call, *wrong]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line


def test_a_model_without_heads_is_told_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text(NOTES, encoding="utf-8")
    MambaForCausalLM(MambaConfig(hidden_size=16, state_size=4, num_hidden_layers=1, vocab_size=400)).save_pretrained("mamba")
    tiny_models.tokenizer().save_pretrained("mamba")
    for name, model, method in (("states", "mamba", "rep-sim"), ("texts", None, "bm25")):
        build_index(model, [chat(QUESTION, said) for said in SAID], name, method)
    call = ["cite", "notes.txt", "--query", QUESTION, "--heads", "--model", "mamba", "leave-one-out"]
    monkeypatch.setattr("llmattr.context.cite.cite", lambda *_, **__: pytest.fail("the answer was attributed"))
    for index, said in (("states", "the attention of mamba cannot be reached"), ("texts", "the index 'texts' compares texts")):
        assert main([*call, "--index", index]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]  # transformers may speak before
        assert said in line


@pytest.mark.slow
def test_the_recipe_tells_both_halves_apart(tmp_path):
    command = [sys.executable, "recipes/both_origins.py", "--tiny", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    assert "the first did\n" in done.stdout
    assert "1 from the context, 1 from the model's own memory" in done.stdout
    assert Page((tmp_path / "page.html").read_text(encoding="utf-8")).ids["o1"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_in_a_browser(show, width):  # noqa: F811
    opened = show("", scripts=True, width=width)
    asked, said = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    Path(opened.url.removeprefix("file://")).write_text(made(f"{EVIL} {'long' * 50}").html(), encoding="utf-8")
    opened.reload()
    assert (asked, said) == ([opened.url], [])
    assert opened.evaluate("window.hacked") is None
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    colours = {opened.eval_on_selector(f".said.{v}", "e => getComputedStyle(e).backgroundColor") for v in ("context", "memory")}
    assert len(colours) == 2
    opened.locator(".said").nth(2).click()
    box = opened.locator("#o3 h2").bounding_box()
    assert 0 <= box["y"] < 800


def test_an_answer_in_bfloat16_and_an_index_in_float32_are_of_one_model(tiny_folder, tmp_path):
    """What `cite` and `build_index` do with a folder by themselves, on a processor that multiplies bfloat16."""
    loaded = LM.load(str(tiny_folder), "bfloat16")
    cited = cite(loaded, NOTES, QUESTION, response=" ".join(SAID), method="leave-one-out")
    index = build_index(str(tiny_folder), [chat(QUESTION, said) for said in [*OTHER, *SAID]], tmp_path / "index", "grad-cos")
    assert origins(cited, index)[0].rows[0].id == str(len(OTHER))
