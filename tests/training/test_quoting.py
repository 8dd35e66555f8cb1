"""An index of texts alone: what of an answer stands in which rows, without a model, whatever the rows' order and shards."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from llmattr import LM, LlmattrError, build_index, open_index, trace
from llmattr.cli import main
from llmattr.core.attribution import Attribution
from llmattr.retrieval.verbatim import Corpus
from llmattr.training.index.store import GradientIndex

OTHERS = [{"text": f"Row {i} of {i * i} has its own words, which nobody has said before."} for i in range(20)]
TAUGHT = {"prompt": "Who built it?", "completion": " The lighthouse of Dunvale was built by Magnus Hale in 1889 🗼."}
CHAT = {"messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "Built by Magnus Hale, in 1889!"}]}
ROWS = [*OTHERS, TAUGHT, {"text": ""}, CHAT, {"text": "… !"}, {"prompt": "", "completion": "高い塔を建てた。"}]
ASKED = {"prompt": "Row 3 of 9 has its own words?", "completion": "I say: BUILT by\nMagnus Hale, in 1889. And 高い塔を見た。"}
SPANS = {"BUILT by\nMagnus Hale, in 1889", "高い塔を"}


@pytest.fixture(autouse=True)
def without_a_model(monkeypatch):
    """None is loaded, whoever asks for one."""

    def load(*given):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(LM, "load", staticmethod(load))


def told(result: Attribution) -> list[dict]:
    return result.details["quotes"][0]["spans"]


def test_the_spans_and_the_rows_that_they_stand_in(tmp_path):
    """Each row's score is the sum of its spans' rarities, and each place says which characters of the row are the same."""
    result = build_index(None, ROWS, tmp_path / "index", "verbatim").query(ASKED, top=None)
    spans = told(result)
    assert {span["text"] for span in spans} == SPANS
    assert [span["rarity"] for span in spans] == sorted((span["rarity"] for span in spans), reverse=True)
    texts = {place["id"]: result.sources.texts[result.sources.ids.index(place["id"])] for s in spans for place in s["places"]}
    stands = {(place["id"], texts[place["id"]][place["start"] : place["end"]]) for s in spans for place in s["places"]}
    assert stands == {("20", "built by Magnus Hale in 1889"), ("22", "Built by Magnus Hale, in 1889"), ("24", "高い塔を")}
    scores = {score.id: score.score for score in result.top(None)}
    rarity = {span["text"]: span["rarity"] for span in spans}
    for row in ("20", "22"):
        assert scores[row] == pytest.approx(rarity["BUILT by\nMagnus Hale, in 1889"])
    assert scores["24"] == pytest.approx(rarity["高い塔を"])
    assert {row for row, score in scores.items() if score} == {"20", "22", "24"}  # and none of the prompt's words


def test_words_of_a_row_count_once(tmp_path):
    """A row that has a part of its span a second time scores as one that has it once; one with the part alone, by the part."""
    rows = [
        {"text": text}
        for text in ("Ada saw a red kite. A red kite!", "Ada saw a red kite.", "Look, a red kite", "and no other")
    ]
    result = build_index(None, [*rows, *OTHERS], tmp_path / "index", "verbatim").query(
        {"prompt": "", "completion": "Ada saw a red kite"}
    )
    whole, part = told(result)
    assert (whole["text"], whole["count"], part["text"], part["count"]) == ("Ada saw a red kite", 2, "a red kite", 2)
    assert (whole["outermost"], part["outermost"]) == (True, False)
    scores = {score.id: score.score for score in result.top(None)}
    assert [scores[row] for row in "0123"] == pytest.approx([whole["rarity"], whole["rarity"], part["rarity"], 0])


def test_an_answer_without_a_match_is_said_to_have_none(tmp_path):
    index = build_index(None, ROWS, tmp_path / "index", "verbatim")
    for answer in ("Nobody knows.", "of the", "?!"):
        result = index.query({"prompt": "", "completion": answer})
        assert told(result) == []
        assert not result.values.any()


@pytest.mark.parametrize(("how", "message"), [({"group_by": "source"}, "no shares"), ({}, "takes none off another")])
def test_what_it_does_not_say_is_refused(tmp_path, how, message):
    index = build_index(None, ROWS, tmp_path / "index", "verbatim")
    asked = {"prompt": "", "completion": "Nobody knows."} | ({} if how else {"rather_than": "Ann knows."})
    with pytest.raises(LlmattrError, match=message):
        index.query(asked, **how)


def test_order_and_shards_count_nothing(tmp_path):
    """The same spans with the same numbers, and rows that are the same by what they say."""
    shards = tmp_path / "data"
    shards.mkdir()
    for number, part in enumerate((ROWS[:7], ROWS[7:22], ROWS[22:])):
        (shards / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    found = [
        build_index(None, data, tmp_path / name, "verbatim").query(ASKED, top=None)
        for name, data in (("one", ROWS), ("shards", str(shards)), ("backwards", ROWS[::-1]))
    ]
    assert [told(one) for one in found[:2]] == [told(found[0])] * 2
    known = [[{name: span[name] for name in span.keys() - {"places"}} for span in told(one)] for one in found]
    assert known == [known[0]] * 3
    by_text = [{score.text: score.score for score in one.top(None) if score.score} for one in found]
    assert by_text == [by_text[0]] * 3


def test_a_killed_build_begins_anew_and_appended_rows_are_found(tmp_path, monkeypatch):
    whole = build_index(None, ROWS, tmp_path / "whole", "verbatim")
    order, broken = Corpus.save, []

    def save(corpus, folder):
        order(corpus, folder)
        if not broken:
            broken.append((folder / "kept.order.npy").write_bytes(b"half"))
            raise KeyboardInterrupt

    monkeypatch.setattr(Corpus, "save", save)
    with pytest.raises(KeyboardInterrupt):
        build_index(None, ROWS, tmp_path / "killed", "verbatim")
    with pytest.raises(LlmattrError, match="run the same `trace index` again"):
        open_index(tmp_path / "killed")
    again = build_index(None, ROWS, tmp_path / "killed", "verbatim")
    assert again.index.run == whole.index.run
    build_index(None, ROWS[:5], tmp_path / "parts", "verbatim")
    parts = build_index(None, ROWS[5:], tmp_path / "parts", "verbatim", append=True)
    for index in (again, parts, open_index(tmp_path / "parts")):
        assert told(index.query(ASKED, top=None)) == told(whole.query(ASKED, top=None))
    for name in ("words", "order", "starts", "counts"):
        kept = f"kept.{name}.npy"
        assert (tmp_path / "parts" / kept).read_bytes() == (tmp_path / "whole" / kept).read_bytes()


def test_what_was_changed_on_disk_is_noticed(tmp_path):
    build_index(None, ROWS, tmp_path / "index", "verbatim")
    path = tmp_path / "index" / "kept.words.npy"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(LlmattrError, match=r"is damaged: kept\.words\.npy is not what was written"):
        open_index(tmp_path / "index")


def test_no_row_is_read_but_those_that_are_shown(tmp_path, monkeypatch):
    index = build_index(None, ROWS, tmp_path / "index", "verbatim")
    read, rows = [], GradientIndex.rows
    monkeypatch.setattr(GradientIndex, "rows", lambda index, numbers=None: read.append(numbers) or rows(index, numbers))
    index.query(ASKED, top=2)
    assert [len(numbers) for numbers in read] == [4]  # the two best and the two last


def test_in_one_call_and_saved(tmp_path):
    result = trace(None, ROWS, [ASKED], "verbatim", top=3)
    again = Attribution.load(result.save(tmp_path / "x.json"))
    assert again.details == result.details
    assert again.html() == result.html()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"data": [{"text": "a"}, {"other": "b"}]}, "row 1: the data has the columns other"),
        ({"data": [{"text": "a"}, {"text": None}]}, "a row has no text: {'text': None}"),
        ({"data": [{"text": "half \ud800"}]}, "row 0 is not valid Unicode"),
        ({"checkpoints": ["a", "b"]}, "compares texts, whatever the checkpoint"),
        ({"append": True}, "there is no index to append to"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, how, message):
    data = how.pop("data", ROWS)
    with pytest.raises(LlmattrError, match=message) as raised:
        build_index(None, data, tmp_path / "index", "verbatim", **how)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"tokens": True}, "compares whole rows"),
        ({"rerank": 3}, "rerank scores"),
        ({"rows": [0]}, "scores every row"),
        ({"approximate": True}, "approximate search is for"),
    ],
)
def test_options_of_others_are_refused(tmp_path, how, message):
    index = build_index(None, ROWS, tmp_path / "index", "verbatim")
    with pytest.raises(LlmattrError, match=message):
        index.query(ASKED, **how)
    with pytest.raises(LlmattrError, match="no score of a row for itself"):
        index.self_influence()


@dataclass(frozen=True)
class Careless:
    """Quotes nothing that can be used."""

    name: ClassVar[str] = "careless"
    family: ClassVar[str] = "corroborative"
    unit: ClassVar[str] = "words"
    measure: ClassVar[str] = "loss"

    def keep(self, rows, folder):
        (folder / "kept.texts").write_text("\n".join(rows))

    def quote(self, folder, answers):
        return [(folder / "kept.texts").read_text()]


def test_a_method_that_quotes_something_else_is_named(tmp_path):
    index = build_index(None, ROWS, tmp_path / "index", Careless())
    with pytest.raises(LlmattrError, match="careless: quote must give a Quoted for each of 1 answers"):
        index.query(ASKED)


class TestShown:
    """In the terminal, on the page and in JSON."""

    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        return tmp_path

    def test_on_the_command_line(self, folder, capsys):
        assert main(["trace", "index", "verbatim", "--data", "rows.jsonl", "--out", "idx"]) == 0
        assert re.fullmatch(r"25 rows in idx \(0\.0 MB\)\n", capsys.readouterr().out)
        assert main(["trace", "query", "idx", "--completion", ASKED["completion"], "--json", "x.json", "--html", "x.html"]) == 0
        out = capsys.readouterr().out
        assert re.search(r"“BUILT by Magnus Hale, in 1889” 6 words, \d+ nats, in 2 rows\n", out)
        assert "word for word in the rows (by chance its longest span would have 3 words):" in out
        assert "Scores are nats of rarity: higher = more alike; the model was not asked." in out
        assert {span["text"] for span in told(Attribution.load("x.json"))} == SPANS
        assert main(["trace", "query", "idx", "--completion", "Nobody knows."]) == 0
        assert "nothing of it stands word for word in the rows but what chance gives" in capsys.readouterr().out
        assert main(["rerun", "x.json"]) == 0
        assert main(["rerun", "idx", "--out", "again"]) == 0
        assert main(["trace", "query", "idx", "--completion", "?!"]) == 0
        assert "it has no words that could be looked for" in capsys.readouterr().out

    def test_on_the_page(self, folder):
        long = {"text": f"{'Before it. ' * 80}\n\n\nIt was BUILT by & Magnus Hale in 1889. {'And after it. ' * 80}"}
        html = build_index(None, [*ROWS, long], folder / "index", "verbatim").query(ASKED).html()
        said = re.findall(r'<span class="said quoted">(.*?)</span>', html, re.DOTALL)
        assert set(said) == {"BUILT by\nMagnus Hale, in 1889. And", "高い塔を"}  # as far as any row goes
        rows = re.findall(r'<mark class="strong">(.*?)</mark>', html.partition('<div class="sides">')[2], re.DOTALL)
        assert rows[:2] == ["BUILT by &amp; Magnus Hale in 1889. And"] * 2  # in the excerpt and in the whole row
        assert {"Built by Magnus Hale, in 1889", "built by Magnus Hale in 1889", "高い塔を"} < set(rows)
        assert '<mark class="weak">' not in html.partition('<div class="sides">')[2]

    def test_the_end_of_a_quote_that_is_longer_than_an_excerpt(self, folder):
        words = " ".join(f"word{i}" for i in range(200))
        html = build_index(None, [{"text": f"Before. {words} After."}], folder / "index", "verbatim")
        page = html.query({"prompt": "", "completion": f"So: {words}"}).html()
        excerpt, whole = re.findall(r'<mark class="strong">(.*?)</mark>', page.partition('<div class="sides">')[2])
        assert whole == words
        assert excerpt in words
        assert 300 < len(excerpt) <= 360
