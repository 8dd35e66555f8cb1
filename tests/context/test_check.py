"""The citations that an answer carries: each marker's standing, what a sentence lacks, the answer repaired."""

import html
import itertools
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

import llmattr
from llmattr.cli import main
from llmattr.context.behind import _Behind
from llmattr.context.check import check
from llmattr.context.checked import FAILURES
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.standing import Sentence, Support, of_sentences, standing
from llmattr.context.worded import WORDED
from llmattr.core.evidence import MISSING
from llmattr.core.progress import Stopped, until
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.text import words
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut
from llmattr.text.shapes import Marked, read

TOWER = "The Eiffel Tower was built in 1889 by Gustave Eiffel's company. It is 330 metres tall."
CANAL = "The Panama Canal opened in 1914. It is 82 km long."
FAIR = "In 1889 the tower of Gustave Eiffel was opened in Paris."
DOCUMENTS = [TOWER, CANAL, FAIR]
ANSWER = (
    "The Eiffel Tower was built in 1889 [1]. The Panama Canal opened in 1914 [1]. It is 82 km long. The tower is 500 metres "
    "tall [1][3]. The canal is deep [7]. The documents do not say who painted it."
)


def standings(found):
    return [(one.sentence, one.marker.number, one.standing) for one in found.markers]


@pytest.fixture(scope="module")
def found():
    return check(None, ANSWER, DOCUMENTS)


def test_each_marker_has_its_standing(found):
    assert standings(found) == [
        (0, 1, "carried"),  # the third document has tower, Eiffel and 1889 too
        (1, 1, "wrong"),
        (3, 1, "wrong"),
        (3, 3, "wrong"),
        (4, 7, "nowhere"),
    ]
    assert check(None, "The Panama Canal opened in 1914 [2].", DOCUMENTS).markers[0].standing == "needed"


def test_each_sentence_says_what_it_lacks(found):
    assert found.missing == [1, 2]
    assert found.unsupported == [3, 4]
    assert [found.sentences[t].supporters for t in (1, 2)] == [[1], [1]]
    assert found.sentences[5].verdict == "refusal"


def test_a_name_or_number_that_is_not_there_decides():
    """Nine words stand there, two years do not: words alone, `9 w / (9 w + 2 v)` of weights log(5/3) and log 3, would do."""
    text = "The long grey Panama Canal opened wide beside Colon town"
    share = 9 * np.log(5 / 3) / (9 * np.log(5 / 3) + 2 * np.log(3))
    found = check(None, f"{text} in 1915 and 1916 [1].", [f"{text}."])
    support = found.support(found.markers[0])
    assert support.stated == pytest.approx(share)
    assert [found.answer[a:b] for a, b in support.missing] == ["1915", "1916"]
    assert WORDED < share < WORDED + MISSING
    assert (support.because, found.markers[0].standing) == ("a name or number", "wrong")


def test_where_no_words_can_be_compared_a_line_says_so():
    with pytest.warns(LlmattrNote, match="1 of 2 sentences have no words to compare"):
        check(None, "灯塔建于1878年[1]。六岁以下儿童免费[1]。", ["灯塔建于1878年。六岁以下儿童免费。"])


def test_the_passage_is_the_sentence_that_says_it(found):
    support = found.sentences[2].supports[1]
    assert CANAL[slice(*support.quote)].strip() == "It is 82 km long."


BOTH = "The Eiffel Tower was built in 1889 [1] and the Panama Canal opened in 1914 [2]."


def test_a_mark_inside_a_sentence_stands_for_what_is_before_it(tiny):
    found = check(None, BOTH, DOCUMENTS)
    assert [found.answer[one.start : one.end] for one in found.sentences] == [
        "The Eiffel Tower was built in 1889",
        "and the Panama Canal opened in 1914.",
    ]
    assert standings(found) == [(0, 1, "carried"), (1, 2, "needed")]
    assert found.fails() == []
    assert found.repaired().text == BOTH
    swapped = check(None, BOTH.replace("[1]", "[3]").replace("[2]", "[1]"), DOCUMENTS)
    assert standings(swapped) == [(0, 3, "carried"), (1, 1, "wrong")]
    assert [(one.start, one.end) for one in check(tiny, BOTH, DOCUMENTS).sentences] == [
        (one.start, one.end) for one in found.sentences
    ]


def test_what_introduces_a_list_claims_nothing():
    found = check(None, "Here is what the **documents say:**\n\n- The Panama Canal opened in 1914 [2].\n- It is:", DOCUMENTS)
    assert [found.answer[one.start : one.end].strip("- ") for one in found.sentences] == ["The Panama Canal opened in 1914."]
    assert found.fails() == []
    marked = check(None, "The Panama Canal opened in 1914 [1]:\n\n- 1914 [2].", DOCUMENTS)
    assert [one.standing for one in marked.markers] == ["wrong", "needed"]
    assert len(check(None, "As they say:", DOCUMENTS).sentences) == 1  # or nothing would be checked


@pytest.mark.parametrize(
    "answer",
    [
        "According to [1], the Eiffel Tower was built in 1889 [1].",  # two words claim nothing
        "The Eiffel Tower was built in 1889 [1], as everybody knows today.",  # behind the last mark
        "The Eiffel Tower was built in 1889 [1][3].",
    ],
)
def test_other_marks_stand_for_the_whole_sentence(answer):
    assert len(check(None, answer, DOCUMENTS).sentences) == 1


def test_what_the_question_tells_is_not_asked_of_a_document():
    told = check(None, "The tower in Lyon is 330 metres tall [1].", [TOWER], "How tall is the tower in Lyon?")
    untold = check(None, "The tower in Lyon is 330 metres tall [1].", [TOWER])
    assert not told.support(told.markers[0]).missing
    support = untold.support(untold.markers[0])
    assert [untold.answer[a:b] for a, b in support.missing] == ["Lyon"]


def test_a_marker_stands_for_the_sentence_before_it_or_for_what_it_covers():
    marked = read("[1] One is here. Two is there [2]. And so on.\n\n[3]", documents=["a", "b", "c"])
    spans = [(0, marked.answer.index(".") + 1), (marked.answer.index("Two"), marked.answer.index("there") + 6)]
    spans.append((marked.answer.index("And"), marked.answer.index("so on") + 6))
    assert of_sentences(marked, spans) == [[0], [1], [2]]
    tags = read("<cite doc='1'>One. Two.</cite> Three.", documents=["a"])
    assert of_sentences(tags, [(0, 4), (5, 9), (10, 16)]) == [[0, 1]]


def support(document, verdict="unsupported", needed=None, stated=0.0, missing=()):
    return Support(document, verdict, "words", needed=needed, stated=stated, missing=tuple(missing))


@pytest.mark.parametrize(
    ("supports", "whole", "document", "expected"),
    [
        ([support(0, "context"), support(1)], "context", 0, "needed"),
        ([support(0, "context"), support(1, "context")], "context", 0, "carried"),
        ([support(0, "context"), support(1)], "context", 1, "wrong"),
        ([support(0, "contradicted"), support(1)], "unsupported", 0, "contradicts"),
        ([support(0, needed=2.0), support(1, needed=1.0)], "context", 1, "needed"),  # only both together say it
        ([support(0, needed=2.0), support(1, needed=2.0, missing=[(0, 4)])], "context", 1, "wrong"),  # the other has that name
        ([support(0, needed=2.0, missing=[(5, 9)]), support(1, needed=2.0, missing=[(0, 4)])], "context", 1, "needed"),
        ([support(0, needed=2.0), support(1, needed=0.5)], "context", 1, "wrong"),
        ([support(0, needed=2.0), support(1, needed=1.0)], "unsupported", 1, "wrong"),
        ([support(0, "context")], "context", None, "nowhere"),
    ],
)
def test_standings(supports, whole, document, expected):
    assert standing(document, Sentence(0, 5, whole, tuple(supports))) == expected


def test_the_repaired_answer_has_the_markers_that_hold(found):
    again = found.repaired()
    assert again.text == (
        "The Eiffel Tower was built in 1889 [1]. The Panama Canal opened in 1914 [2]. It is 82 km long [2]. The tower is 500 "
        "metres tall. The canal is deep. The documents do not say who painted it."
    )
    assert [(one.done, one.mark, one.sentence) for one in again.changes] == [
        ("dropped", "[1]", 1), ("dropped", "[1]", 3), ("dropped", "[3]", 3), ("dropped", "[7]", 4),
        ("added", "[2]", 1), ("added", "[2]", 2),
        ("unmarked", "The tower is 500 metres tall.", 3), ("unmarked", "The canal is deep.", 4),
    ]  # fmt: skip
    assert [again.text[a:b] for a, b in again.unsupported] == ["The tower is 500 metres tall.", "The canal is deep."]
    assert not check(None, again.text, DOCUMENTS).fails(["wrong", "missing"])


def test_a_list_of_references_is_written_anew_in_the_order_of_citing():
    answer = "The Panama Canal opened in 1914 [1]. It is 82 km long [2].\n\nReferences\n[1] M. Roe, canal.txt\n[2] tower.txt\n"
    documents = [{"id": "tower.txt", "text": TOWER}, {"id": "canal.txt", "text": CANAL}]
    found = check(None, answer, documents)
    assert standings(found) == [(0, 1, "needed"), (1, 2, "wrong")]
    again = found.repaired()
    assert again.text == "The Panama Canal opened in 1914 [1]. It is 82 km long [1].\n\n[1] M. Roe, canal.txt\n"
    assert [(one.done, one.mark) for one in again.changes] == [("dropped", "[2]"), ("added", "[1]")]


@pytest.mark.parametrize("listed", ["References:\n1. canal.txt\n2. tower.txt", "[1] canal.txt\n[2] tower.txt"])
def test_an_answer_without_marks_goes_by_its_list(listed):
    documents = [{"id": "tower.txt", "text": TOWER}, {"id": "canal.txt", "text": CANAL}, {"id": "fair.txt", "text": FAIR}]
    said = f"The Panama Canal opened in 1914.\n\nSources\n{listed.removeprefix('References:').strip()}"
    again = check(None, said, documents).repaired().text
    assert again == "The Panama Canal opened in 1914 [1].\n\n[1] canal.txt\n"
    assert check(None, again, documents).fails() == []


@pytest.mark.parametrize(
    "listed",
    [
        *("\n\nReferences: 1. canal.txt 2. tower.txt", " References: [1] canal.txt, [2] tower.txt."),
        *(
            "\n\nReferences:\n1. The Panama Canal opened in 1914.\n2. It is 330 metres tall.",
            "\n\nSources: 1. canal.txt 2. tower.txt",
        ),
    ],
)
def test_an_answer_without_marks_and_its_list_have_the_same_numbers(listed):
    documents = [{"id": "tower.txt", "text": TOWER}, {"id": "canal.txt", "text": CANAL}]
    said = "The Eiffel Tower was built in 1889. The Panama Canal opened in 1914."
    again = check(None, said + listed, documents).repaired()
    first, second = (entry.split("] ")[1] for entry in again.text.strip().splitlines()[-2:])
    assert again.text.startswith("The Eiffel Tower was built in 1889 [1]. The Panama Canal opened in 1914 [2].\n\n[1] ")
    assert (first in ("tower.txt", "It is 330 metres tall."), second.startswith(("canal", "The Panama"))) == (True, True)
    assert [(one.mark, one.why[-7:]) for one in again.changes if one.done == "renumbered"] == [
        ("[1]", "was [2]"),
        ("[2]", "was [1]"),
    ]
    assert check(None, again.text, documents).fails() == []


@pytest.mark.parametrize(
    ("answer", "repaired", "done"),
    [
        *((f"{said}the Panama Canal opened in 1914{end}.".replace("[1]", mark),
           f"{said}the Panama Canal opened in 1914{end}.".replace("[1]", "[2]"), ["replaced"])
          for mark in ("[1]", "(Document 1)", "<cite>1</cite>", "【1】")
          for said, end in (("Based on [1], ", ""), ("Using [1]: ", ""), ("[1]: ", ""), ("So ", ", says [1]"),
                            ("[1] reports: ", ""), ("The canal (cf. [1]), ", ""))),
        ("[^1] reports: The canal opened in 1914.", "[2] reports: The canal opened in 1914.", ["replaced"]),
        ("Based on [1] and [3], the Panama Canal opened in 1914.",
         "Based on [2] and [3], the Panama Canal opened in 1914.", ["replaced", "kept"]),
        ("As [1, 7] say, the canal is deep.", "As [1] say, the canal is deep.", ["kept", "dropped", "unmarked"]),
        ("As [1] and [7] say, the canal is deep.", "As [1] and [7] say, the canal is deep.",
         ["kept", "kept", "unmarked"]),
        ("According to [1]: The canal opened in 1914.", "According to [2]: The canal opened in 1914.", ["replaced"]),
        ("[1] says it is 82 km long. [3] says it is tall.",
         "[2] says it is 82 km long. [3] says it is tall.", ["replaced", "kept", "unmarked"]),
        ("As [7] notes, the canal is deep.", "As [7] notes, the canal is deep.", ["kept", "unmarked"]),
        ("[1] and [2] say the Panama Canal opened in 1914.", "[1] and [2] say the Panama Canal opened in 1914.", ["kept"]),
        ("The Panama Canal (see [2, p. 3]) opened in 1914.", "The Panama Canal (see [2, p. 3]) opened in 1914.", []),
        ("According to [1], the Panama Canal opened in 1914 [2].",
         "According to [2], the Panama Canal opened in 1914 [2].", ["replaced"]),
    ],
)  # fmt: skip
def test_a_mark_that_is_a_word_leaves_no_hole(answer, repaired, done):
    again = check(None, answer, DOCUMENTS).repaired()
    assert (again.text, [one.done for one in again.changes]) == (repaired, done)
    assert check(None, repaired, DOCUMENTS).repaired().text == repaired


def test_a_mark_that_opens_a_sentence_does_not_belong_to_the_one_before(tiny):
    said = "The Eiffel Tower was built in 1889 [1]. [2] says that the Panama Canal opened in 1914."
    for model in (None, tiny):
        found = check(model, said, DOCUMENTS)
        assert [(one.sentence, one.marker.number) for one in found.markers] == [(0, 1), (1, 2)]
        assert not found.sentences[1].supports[1].missing  # its mark is no number
    assert found.answer[slice(found.sentences[1].start, found.sentences[1].end)] == said[40:]


@pytest.mark.parametrize("before", ["", "I found: ", "The canal is deep.\n", "- "])
def test_marks_before_the_sentences_of_a_line(before):
    said = f"{before}[1] The Eiffel Tower was built in 1889. [2] The Panama Canal opened in 1914.[2] It is 82 km long."
    found = check(None, said, DOCUMENTS)
    assert [one.standing for one in found.markers] == ["carried", "needed", "needed"]
    assert found.repaired().text == said
    behind = check(None, f"{said} [1]", DOCUMENTS)  # a line that ends with a mark has them behind
    assert [one.standing for one in behind.markers][1:] == ["wrong", "needed", "wrong"]


@pytest.mark.parametrize(
    "answer",
    [
        "The Panama Canal opened in 1914.[1] It is 82 km long (see [1, 1]).",
        "- [1] The Panama Canal opened in 1914 【1】.\n- It is 82 km long [[1]](https://example.org/canal).  \n",
        "The Panama Canal opened in 1914[^c].\n\n## Notes\n\n[^c]: M. Roe, canal.txt\n[^d]: Another\n",
        "The Panama Canal [2] opened in 1914 [2].\n\nReferences\n1. tower.txt\n2. canal.txt\n",
        "The documents do not say it.",
    ],
)
def test_an_answer_with_nothing_wrong_stays_as_it_was_written(answer):
    again = check(None, answer, [{"id": "canal.txt", "text": CANAL}]).repaired()
    assert (again.text, again.changes) == (answer, ())


def test_a_mark_that_begins_a_line_stands_for_that_line():
    said = "[1] The Eiffel Tower was built in 1889.\n[2] The Panama Canal opened in 1914."
    found = check(None, said, DOCUMENTS)
    assert standings(found) == [(0, 1, "carried"), (1, 2, "needed")]
    assert found.repaired().text == said
    alone = check(None, "The Panama Canal opened in 1914.\n[2]\nThe Eiffel Tower was built in 1889 [1].", DOCUMENTS)
    assert standings(alone) == [(0, 2, "needed"), (1, 1, "carried")]


def test_a_repaired_mark_keeps_its_page_and_stands_once():
    said = "The Panama Canal opened in 1914 [2, p. 3; 2, pp. 5-6]. The Eiffel Tower was built in 1889 [2, § 4]."
    assert check(None, said, DOCUMENTS).repaired().text == said.replace("; 2,", "][2,").replace("[2, § 4]", "[1]")
    behind = "The Panama Canal opened in 1914 [2]. I hope this helps! [2] [9]"
    assert check(None, behind, DOCUMENTS).repaired().text == "The Panama Canal opened in 1914 [2]. I hope this helps!"


@pytest.mark.parametrize(
    ("answer", "repaired"),
    [  # each lacks the mark of the last sentence, or has a wrong one
        ("The canal [1] opened in 1914 [1], it is 82 km long.[2]", "The canal [1] opened in 1914 [1], it is 82 km long. [1]"),
        ("- [1] It opened in 1914.\n- [2] It is 82 km long.", "- It opened in 1914 [1].\n- It is 82 km long [1]."),
        ("| [2] | Length: 82 km |\n", "| [1] | Length: 82 km |\n"),
        ("| Opened | 1914 | [2] |\n| Length | 82 km |\n", "| Opened | 1914 | [1] |\n| Length | 82 km [1] |\n"),
        ("It opened in 1914.[1] It is 82 km long.", "It opened in 1914.[1] It is 82 km long[1]."),
        ("(It is 82 km long.)", "(It is 82 km long.) [1]"),
        ("It is 82 km long: [map](https://example.org/a).", "It is 82 km long: [map](https://example.org/a) [1]."),
        ("- [它长82千米。](https://elsewhere.net/q)", "- [它长82千米。 [1]](https://elsewhere.net/q)"),
        ("It is 82 km long !", "It is 82 km long [1] !"),
        ("**It is 82 km long.** So\n", "**It is 82 km long [1].** So\n"),
    ],
)
def test_a_mark_is_put_where_a_person_would_put_it(answer, repaired):
    documents = [
        "The canal opened in 1914. It is 82 km long (https://example.org/a). Opened: 1914. Length: 82 km. 它长82千米。",
        "No.",
    ]
    found = check(None, answer, documents)
    assert found.repaired().text == repaired
    assert read(repaired).answer == found.answer
    assert not check(None, repaired, documents).fails(["wrong", "missing"])


PIECES = ["It opened in 1914", "It is 82 km long", "**It is tall**", "Nobody knows", '"It is 330 metres tall"', "`a[1]` is it"]


@pytest.mark.parametrize("seed", range(40))
def test_the_repaired_answer_has_every_character_but_the_marks(seed):
    """Whatever stands where: the reader takes the marks out of both, and the same is left; a repaired answer is right."""
    draw = np.random.default_rng(seed)
    answer = ""
    for _ in range(draw.integers(1, 7)):
        marks = ["", "[1]", " [2]", " [3][1]", "[1, 9]", " ([2])"]
        before, after = (marks[draw.integers(len(marks))] for _ in range(2))
        start = ["", " ", "\n\n", "\n- ", "\n1. "][draw.integers(5)]
        end = [".", "!", " ?", ":", ""][draw.integers(5)]
        answer += f"{start}{PIECES[draw.integers(len(PIECES))]}{before}{end}{after}"
    answer += ["", "\n", "\n\nSources\n[1] canal.txt\n[2] tower.txt\n"][draw.integers(3)]
    documents = [{"id": "tower.txt", "text": TOWER}, {"id": "canal.txt", "text": CANAL + " It opened in 1914."}, FAIR]
    found = check(None, answer, documents)
    again = found.repaired().text
    assert read(again).answer.strip() == found.answer.strip()
    assert not check(None, again, documents).fails(["wrong", "missing"])
    assert check(None, again, documents).repaired().text == again


MADE_UP = (
    "## Tower\n\nIt was built in 1889 [1]. Lions hunt there. It is 330 metres tall.\n\n- The moon is green [1].\n"
    "- It is 330 metres tall [1].\n"
)


@pytest.mark.parametrize(
    ("how", "done", "text"),
    [
        ("keep", "unmarked", MADE_UP.replace("330 metres tall.\n", "330 metres tall [1].\n").replace("green [1]", "green")),
        (
            "mark",
            "marked",
            MADE_UP.replace("330 metres tall.\n", "330 metres tall [1].\n")
            .replace("there.", "there [citation needed].")
            .replace("green [1]", "green [citation needed]"),
        ),
        (
            "drop",
            "removed",
            "## Tower\n\nIt was built in 1889 [1]. It is 330 metres tall [1].\n\n- It is 330 metres tall [1].\n",
        ),
    ],
)
def test_what_no_document_supports_is_told_and_marked_or_left_out(how, done, text):
    again = check(None, MADE_UP, [TOWER]).repaired(how)
    assert again.text == text
    assert [(one.done, one.mark) for one in again.changes if one.sentence in (1, 3) and one.mark != "[1]"] == [
        (done, "Lions hunt there."),
        (done, "The moon is green."),
    ]
    left = [] if how == "drop" else [text[a:b].strip("- ").split(" [")[0].rstrip(".") for a, b in again.unsupported]
    assert left == ([] if how == "drop" else ["Lions hunt there", "The moon is green"])
    assert not check(None, again.text, [TOWER]).fails(["wrong", "missing"])
    assert check(None, again.text, [TOWER]).repaired(how).text == text


def test_an_answer_that_only_makes_something_up_stays_as_it_was_written_with_the_places():
    said = "It was built in 1889 (see [1, p. 3]). Lions hunt there. It is 330 metres tall【1】."
    again = check(None, said, [TOWER]).repaired()
    assert (again.text, [again.text[a:b] for a, b in again.unsupported]) == (said, ["Lions hunt there."])
    assert [one.done for one in again.changes] == ["unmarked"]
    assert '<span class="said wrong">Lions hunt there.</span>' in check(None, said, [TOWER]).html()
    assert "Lions" not in check(None, said, [TOWER]).html("drop").split("<h2>Repaired</h2>")[1].split("</div>")[0]
    with pytest.raises(LlmattrError, match="keep, mark, drop"):
        check(None, said, [TOWER]).repaired("hide")


def test_a_part_of_a_sentence_is_not_left_out():
    said = "The Eiffel Tower was built in 1889 [1] and lions hunt in green forests [2]."
    again = check(None, said, [TOWER, CANAL]).repaired("drop")
    assert again.text == "The Eiffel Tower was built in 1889 [1] and lions hunt in green forests."
    assert again.changes[-1].why == "no document supports it, and it is a part of a sentence"


def test_a_vendors_answer_is_checked_by_what_it_quotes_itself():
    given = {
        "role": "assistant",
        "content": [
            {
                "type": "text",
                "text": "The Panama Canal opened in 1914.",
                "citations": [
                    {"type": "char_location", "cited_text": "The Panama Canal opened in 1914.", "document_index": 0,
                     "document_title": "Canal", "start_char_index": 0, "end_char_index": 32}
                ],
            },
            {"type": "text", "text": " It is 500 km long."},
        ],
    }  # fmt: skip
    found = check(None, given)
    assert standings(found) == [(0, 1, "needed")]
    assert found.unsupported == [1]
    assert check(None, given, [CANAL]).markers[0].holds


def test_a_vendors_answer_without_its_sources_text_asks_for_it():
    part = {"type": "output_text", "text": "It opened in 1914. It is dull."}
    part["annotations"] = [{"type": "file_citation", "index": 18, "file_id": "f", "filename": "canal.txt"}]
    with pytest.raises(LlmattrError, match="there are no documents with text"):
        check(None, [part])
    again = check(
        None, [part], [{"id": "tower.txt", "text": TOWER}, {"id": "canal.txt", "text": "It opened in 1914."}]
    ).repaired()
    assert again.text == "It opened in 1914. [1] It is dull.\n\n[1] canal.txt\n"
    assert [one.done for one in again.changes] == ["unmarked"]  # it had no number


def test_what_supports_alone_is_not_said_to_support_nothing(found):
    alone = Sentence(0, 3, "contradicted", (support(0, "context"),))
    shown = replace(found, sentences=(alone, *found.sentences[1:])).to_text()
    assert "all documents together do not support it: contradicted by the context" in shown


def test_what_fails_is_what_is_asked_for(found):
    assert found.fails() == ["wrong", "unsupported", "missing"]
    assert found.fails(["missing"]) == ["missing"]
    fine = check(None, "The Panama Canal opened in 1914 [2].", DOCUMENTS)
    assert fine.fails() == []
    with pytest.raises(LlmattrError, match="what a check may fail on"):
        found.fails(["bad"])


def test_json_and_junit_say_the_same(found, tmp_path):
    saved = json.loads(found.save(tmp_path / "a.json").read_text())
    assert [one["standing"] for one in saved["markers"]] == [one.standing for one in found.markers]
    assert [t for t, one in enumerate(saved["sentences"]) if one["missing_marker"]] == found.missing
    suite = ET.fromstring(found.save(tmp_path / "a.xml").read_text())  # our own file
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.get("tests")) == len(found.markers) + len(found.sentences)
    assert sum(case.find("failure") is not None for case in cases) == int(suite.get("failures")) == 8
    with pytest.raises(LlmattrError, match=r"saved as \.json, \.html, \.xml"):
        found.save(tmp_path / "a.txt")


def test_the_page_shows_every_marker_and_what_sentences_lack(found):
    page = found.html()
    assert "<script" not in page
    assert page.count('<article class="card') == len(found.sentences)
    shown = re.findall(r'<li class="(\w+)"><span class="badge">(\[\d\])</span>', page)
    assert shown == [(one.standing, f"[{one.marker.number}]") for one in found.markers]
    assert page.count('class="lack"') == len(found.missing) + len(found.unsupported)
    odd = check(
        None, "The <b>Panama</b> Canal opened in 1914 [1].", ["<i>The Panama Canal opened in 1914.</i>"], "<u>When?</u>"
    )
    assert not re.search("<[biu]>", odd.html())


def test_a_notebook_shows_the_page_with_links_into_itself(found):
    (shown,) = re.findall(r'srcdoc="([^"]*)"', found._repr_html_())
    page = html.unescape(shown)
    assert '<base href="about:srcdoc">' in page
    assert page.replace('<base href="about:srcdoc">\n', "") == found.html()


def test_documents_are_called_by_what_their_metadata_calls_them():
    """As citations do: an id that a framework has made up tells a reader nothing."""
    node = {"id": "5f0e-77", "text": "It was built in 1889.", "metadata": {"file_name": "guide.pdf"}}
    checked = check(None, "It was built in 1889.", [node])
    assert "[1] (guide.pdf) supports it" in checked.to_text()
    assert [one.why for one in checked.repaired().changes] == ["guide.pdf supports it"]
    assert "5f0e" not in checked.html()


def test_a_sentence_is_told_by_its_place(found):
    assert found.said(0) == "The Eiffel Tower was built in 1889."
    assert found.said(1) == "The Panama Canal opened in 1914."


def test_bad_input_is_one_line():
    for given, message in {
        ("", ()): "there are no documents with text",
        ("Fine.", ("",)): "the context is empty",
        ("  ", (CANAL,)): "the answer is empty",
    }.items():
        with pytest.raises(LlmattrError, match=message):
            check(None, given[0], list(given[1]) or None)
    for bad, message in [({"names": ["Doe"]}, "names must be a dict"), ({"language": 5}, "the language must be")]:
        with pytest.raises(LlmattrError, match=message):
            check(None, "Fine [1].", [CANAL], **bad)
    with pytest.warns(LlmattrNote, match="the answer has no markers"):
        assert check(None, "The Panama Canal opened in 1914.", [CANAL]).missing == [0]


def test_behind_one_document_the_model_says_what_cite_finds_of_it_alone(tiny):
    """Of one document: alone it gives what all give, and without it is lost what it gives; the verdict is that of all."""
    found = check(tiny, "The canal opened in 1914 [1]. It has locks.", [CANAL], "When did it open?")
    for sentence in found.sentences:
        (one,) = sentence.supports
        assert one.alone == one.needed
        assert (one.verdict == sentence.verdict) or sentence.verdict == "contradicted"
    assert found.run["forward_passes"] == 2


def test_each_document_is_asked_alone_and_left_out_once(tiny):
    chat = conversation(DOCUMENTS, "When?")
    prompt = Prompt(tiny.tokenizer, chat, cut(chat, "sentences")).with_response("It opened in 1914. It is tall.")
    ablation = ContextAblation(tiny, prompt, prompt.targets())
    behind = _Behind(ablation, Marked("", (), "", tuple(Document(text, text[:5]) for text in DOCUMENTS)))
    for d, mask in enumerate(behind.masks):
        alone, without, none, whole = (ablation(m[None])[0] for m in (mask, ~mask, mask & ~mask, mask | ~mask))
        assert behind.alone(1, d) == pytest.approx(alone[1] - none[1])
        assert behind.needed(1, d) == pytest.approx(whole[1] - without[1])
    assert len(ablation.store.rows) == 2 + 2 * 3


def test_an_empty_document_supports_nothing(tiny):
    documents = [CANAL, {"text": "\n", "title": "Empty"}]
    for model in (None, tiny):
        found = check(model, "The canal opened in 1914 [2].", documents)
        assert found.markers[0].standing == "wrong"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "answer.txt").write_text(ANSWER)
    words = ["check", str(tmp_path / "answer.txt"), "--quick"]
    for number, text in enumerate(DOCUMENTS):
        (tmp_path / f"{number}.txt").write_text(text)
        words += ["--documents", str(tmp_path / f"{number}.txt")]
    return words


def test_the_command_line(files, tmp_path, capsys):
    out = ["--json", str(tmp_path / "out.json"), "--junit", str(tmp_path / "out.xml"), "--repair"]
    assert main([*files, *out]) == 0
    said = capsys.readouterr().out
    assert "1 of 5 markers hold, 2 of 6 sentences unsupported, 2 supported without a marker" in said
    assert "It is 82 km long [2]." in said
    saved = json.loads((tmp_path / "out.json").read_text())
    assert saved["repaired"]["changes"][0]["done"] == "dropped"
    assert saved["command"]["arguments"][0] == "check"
    assert main(["rerun", str(tmp_path / "out.json")]) == 0
    assert capsys.readouterr().out.startswith("the same as")
    assert main([*files, "--fail-on", "unsupported,missing"]) == 1
    assert main([*files[:-6], *files[-4:-2], "--fail-on", "nothing"]) == 2


def test_the_command_line_with_a_model(files, tiny_folder, tmp_path, capsys):
    out = tmp_path / "out.json"
    asked = [word for word in files if word != "--quick"]
    assert main([*asked, "--model", str(tiny_folder), "--no-cache", "--json", str(out)]) == 0
    record = json.loads(out.read_text())["command"]["models"][str(tiny_folder)]
    assert {"dtype", "model_hash", "tokenizer_hash"} <= record.keys()
    capsys.readouterr()
    assert main(["rerun", str(out)]) == 0
    assert capsys.readouterr().out.startswith("the same as")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "smollm2"], "--model would be of no use: --quick asks no model"),
        (["--names", "none.json"], "is no JSON file"),
        (["--fail-on", "all"], "what a check may fail on"),
        (["--shape", "openai"], "is a dict or their object, not a text"),
        (["--documents", "none.txt"], "does not exist"),
        (["one.txt", "two.txt"], "each document behind a --documents of its own: --documents one.txt --documents two.txt"),
    ],
)
def test_bad_options_are_one_line(files, capsys, words, message):
    assert main([*files, *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert message in line


def test_an_answer_is_none_of_the_documents(files, tmp_path, capsys):
    assert main([*files, "--documents", str(tmp_path)]) == 2
    assert "is the answer and among the documents" in capsys.readouterr().err


def test_a_terminal_obeys_no_answer(files, tmp_path, capsys):
    (tmp_path / "answer.txt").write_text("The Panama Canal opened in 1914 \x1b[2J [2].")
    assert main([*files, "--repair"]) == 0
    assert "\x1b[2J" not in capsys.readouterr().out


@pytest.mark.parametrize("empty", ["answer.txt", "1.txt"])
def test_an_empty_file_is_told_in_a_line_that_fits_a_check(files, tmp_path, capsys, empty):
    (tmp_path / empty).write_text(" \n")
    assert main(files) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{empty}' is empty: it must have text in it")


def test_names_of_a_map(files, tmp_path, capsys):
    (tmp_path / "answer.txt").write_text("The Panama Canal opened in 1914 (Doe 2020).")
    (tmp_path / "names.json").write_text('{"Doe 2020": 2}')
    assert main([*files, "--names", str(tmp_path / "names.json"), "--fail-on", ",".join(FAILURES)]) == 0
    assert "(Doe 2020) supports, and is needed" in capsys.readouterr().out


def test_it_is_a_public_name():
    assert llmattr.check is check


def test_a_mark_at_the_end_of_a_paragraph_covers_what_its_document_supports():
    said = "The Panama Canal opened in 1914. It is 82 km long [2].\n\nThe tower is 330 metres tall.\n\nIt is 82 km long [2]."
    found = check(None, said, DOCUMENTS)
    assert found.missing == [2]  # what stands in a paragraph of its own
    assert "covers it" in found.to_text()
    assert found.repaired().text.count("[2]") == 2  # it needs no other mark
    assert check(None, "The Panama Canal opened in 1914. The tower is 330 metres tall [1].", DOCUMENTS).missing == [0]
    assert check(None, "The Panama Canal opened in 1914. It is deep [7]. It is 82 km long [2].", DOCUMENTS).missing == [0]


def test_a_claim_mixed_of_two_documents_gets_the_mark_of_neither():
    documents = ["The pump was designed by Hannah Brandt.", "The firmware is written by Tomas Lindqvist."]
    found = check(None, "The firmware is written by Hannah Brandt [2]. The pump was designed by Hannah Brandt [2].", documents)
    assert found.sentences[0].supporters == [0]  # by its words
    assert found.repaired().text == "The firmware is written by Hannah Brandt. The pump was designed by Hannah Brandt [1]."


@pytest.mark.parametrize(
    ("said", "source", "because"),
    [
        ("Rossi succeeded Keller in 1990 [1].", "In 1990 Keller succeeded Paolo Rossi as director.", "the order of words"),
        ("Keller succeeded Rossi [1].", "Keller was succeeded by Rossi.", "the order of words"),
        ("Google was acquired by YouTube [1].", "Google acquired YouTube.", "the order of words"),
        ("Gustave Eiffel was built by the Eiffel Tower in 1889 [1].", TOWER, "the order of words"),
        ("The Rhine is longer than the Danube [1].", "The Danube is longer than the Rhine.", "the order of words"),
        ("The Panama Canal did not open in 1914 [1].", CANAL, "a negation"),
        ("The Panama Canal didn't officially open in 1914 [1].", CANAL, "a negation"),
        ("The Panama Canal opened in 1914 [1].", "The Panama Canal did not open in 1914.", "a negation"),
        ("Ships from Russia call at the port [1].", "No ships from Russia call at the port.", "a negation"),
        ("There is no charge for entry [1].", "There is a charge for entry.", "a negation"),
        ("Exports fell by 8% [1].", "Exports rose by 8%, while imports fell by 3%.", "an opposite"),
        ("The old terminal was opened in 2019 [1].", "The old terminal was closed in 2019.", "an opposite"),
        ("The new terminal was closed in 2019 [1].", "The old terminal was closed in 2019.", "an opposite"),
        ("It is the longest bridge in Europe [1].", "It is the shortest bridge in Europe.", "an opposite"),
    ],
)
def test_the_same_words_that_say_the_contrary_contradict(said, source, because):
    found = check(None, said, [source])
    assert [one.standing for one in found.markers] == ["contradicts"]
    assert (found.sentences[0].verdict, found.support(found.markers[0]).because) == ("contradicted", because)
    assert found.fails() == ["wrong", "unsupported"]


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("Keller succeeded Rossi [1].", "In 1990 Rossi was succeeded by Maria Keller."),
        ("Rossi was succeeded by Keller [1].", "Keller succeeded Rossi."),
        ("Rossi met Keller [1].", "Keller met Rossi."),  # either way
        ("The capital of France is Paris [1].", "Paris is the capital of France."),
        ("Rossi succeeded Keller [1].", "Keller succeeded Rossi in 1990. Rossi succeeded Keller in 1995."),  # both
        ("The Panama Canal opened in 1914 [1].", "The Panama Canal did not open until 1914."),
        ("The Panama Canal opened in 1914 [1].", "The Panama Canal not only opened in 1914: it was a success."),
        ("The Panama Canal did not open in 1914 [1].", "The Panama Canal failed to open in 1914."),
        ("The Panama Canal did not open in 1914 [1].", "The Panama Canal did not open in 1914."),
        ("Sales fell in 2021 [1].", "Sales rose in 2020 but fell in 2021."),
        ("Sales did not rise in 2021 [1].", "Sales fell in 2021."),
        ("The old terminal was closed [1].", "The old terminal, not the new terminal, was closed."),
        ("Ships from Russia call at the port [1].", "No ships but those from Russia call at the port."),
        ("Select Save in the menu [1].", "Save in the menu cannot be selected."),  # an order
        ("Der Kanal wurde 1914 nicht eröffnet [1].", "Der Kanal wurde 1914 eröffnet."),  # English alone
    ],
)
def test_what_may_say_the_same_is_no_contrary(said, source):
    found = check(None, said, [source])
    assert [(one.standing, one.sentence) for one in found.markers] == [("needed", 0)]


def test_another_document_may_say_so():
    said, other = "Rossi succeeded Keller [1].", "Rossi succeeded Keller in 1995."
    both = check(None, said, ["Keller succeeded Rossi.", other])
    assert (both.markers[0].standing, both.sentences[0].verdict) == ("contradicts", "context")
    assert both.repaired().text == "Rossi succeeded Keller [2]."


def test_behind_a_document_that_says_the_contrary_a_model_supports_nothing(tiny, monkeypatch):
    """Whatever the model says of it: here a document would hold."""
    holding = Support(0, "context", "the model", stated=1.0, needed=5.0)
    monkeypatch.setattr(_Behind, "_support", lambda self, t, d: holding)
    found = check(tiny, "Rossi succeeded Keller in 1990 [1].", ["Keller succeeded Rossi in 1990."])
    assert (found.markers[0].standing, found.support(found.markers[0]).because) == ("contradicts", "the order of words")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("The Panama Canal opened in 1914. The Eiffel Tower was built in 1889. [1, 2]", [(1, 1, "needed"), (0, 2, "needed")]),
        ("It opened in 1914. The Eiffel Tower was built in 1889. [1] [2]", [(1, 1, "needed"), (0, 2, "needed")]),
        ("The Panama Canal opened in 1914. It is 330 metres tall.\n\nSources: [2], [1]", [(0, 2, "needed"), (1, 1, "needed")]),
        ("The Panama Canal opened in 1914. It is 500 km long. [2]", [(1, 2, "wrong")]),  # alone
        ("The Panama Canal opened in 1914 [2]. It was built in 1889. [1][2]",
         [(0, 2, "needed"), (1, 1, "needed"), (1, 2, "wrong")]),  # it has a mark
        ("## The tower [1]\n\nIt was built in 1889.\n\n## The canal [2]\n\nIt opened in 1914.",
         [(0, 1, "needed"), (1, 2, "needed")]),
    ],
)  # fmt: skip
def test_marks_behind_a_paragraph_share_its_sentences(said, expected):
    found = check(None, said, [TOWER, CANAL])
    assert sorted(standings(found)) == sorted(expected)
    if not found.wrong:
        assert not found.missing
        assert found.repaired().text == said


@pytest.mark.parametrize("number", ["1. ", "(2) ", "- 3. ", "**4.** ", "5️⃣ ", "⑥ "])
def test_the_number_of_an_item_is_no_claim(number):
    found = check(None, f"{number}The Panama Canal opened in 1914 [1].", [CANAL])
    assert found.fails() == []
    assert found.support(found.markers[0]).stated == 1


def test_labels_claim_nothing():
    said = "**The canal**\n\nIt opened in 1914 [1].\n\n- The canal\n  - It is 82 km long [1].\n"
    said += "- **It is 82 km long.**\n- **Length:** 82 km\n"
    found = check(None, said, [CANAL])
    assert [found.answer[one.start : one.end].strip("- ") for one in found.sentences] == [
        "It opened in 1914.", "It is 82 km long.", "**It is 82 km long.**", "**Length:** 82 km",
    ]  # fmt: skip


def test_a_repair_calls_documents_as_the_answer_does():
    steps = [{"id": "step 2: result of search", "text": CANAL}, {"id": "step 4: result of read_page", "text": TOWER}]
    said = "The Panama Canal opened in 1914 [step 2]. It is 330 metres tall [step 2]. As step 2 says, it is 82 km long."
    found = check(None, said, steps)
    assert standings(found) == [(0, 1, "needed"), (1, 1, "wrong"), (2, 1, "needed")]
    assert found.repaired().text == said.replace("tall [step 2]", "tall [step 4]")
    prose = "According to Document 1, the Panama Canal opened in 1914. It is 330 metres tall. Document 2 says it is 82 km long."
    again = check(None, prose, [CANAL, TOWER]).repaired()
    assert again.text == prose.replace("tall.", "tall [2].").replace("Document 2", "Document 1")


def test_a_mark_behind_a_refusal_is_not_wrong():
    found = check(None, "The documents do not say who painted it [1][3].", DOCUMENTS)
    assert standings(found) == [(0, 1, "silent"), (0, 3, "silent")]
    assert found.fails() == []
    assert found.repaired().text == "The documents do not say who painted it [1][3]."


def test_talk_and_code_claim_nothing():
    said = "Sure! I found:\n\nThe canal is 82 km long [2].\n\n```\nprint(82)\n```\n\nI hope this helps! Shall I go on?"
    found = check(None, said, DOCUMENTS)
    assert [found.answer[one.start : one.end] for one in found.sentences] == ["The canal is 82 km long."]
    assert found.fails() == []
    assert found.repaired().text == said


@pytest.mark.parametrize(
    "said",
    [
        "Sure! I hope this helps.",
        "Here is what I found about the canal.",
        "Here is a short overview. See [1], [2] for details.",
        "Which tower do you mean?",
        "Hello! [1]",
        "You’re quite right! Just let me know what you think.",
        "```py\nprint(1)\n```",
    ],
)
def test_an_answer_of_talk_alone_claims_nothing(said, tiny):
    for model in (None, tiny):
        found = check(model, said, DOCUMENTS)
        assert (found.sentences, found.fails()) == ((), [])
        assert found.to_text().startswith("The answer claims nothing that could be checked")
        assert found.repaired().text == said
    assert "claims nothing" in found.html()


@pytest.mark.parametrize("tag", ["isn't it?", "right?", "no?", "doesn’t it?", "oder?", "n'est-ce pas ?", "¿verdad?"])
def test_who_asks_to_confirm_what_is_said_claims_it(tag):
    found = check(None, f"The Panama Canal is 82 km long, {tag} It is 500 metres deep, {tag} Is it tall, or not?", DOCUMENTS)
    assert [one.verdict for one in found.sentences] == ["context", "unsupported"]


def test_a_sentence_has_the_language_of_its_answer():
    """ "Doce" alone would be English, and no number."""
    said = "El museo abre los lunes por la mañana y cierra por la tarde [1]. Son doce salas [1]."
    documents = ["El museo tiene 12 salas. Abre los lunes por la mañana y cierra por la tarde."]
    assert [one.standing for one in check(None, said, documents).markers] == ["needed", "needed"]
    assert [one.standing for one in check(None, said, documents, language="en").markers] == ["needed", "wrong"]


def test_without_a_model_it_stops_at_its_next_unit_where_nobody_waits():
    """A unit is a sentence that is cut, one whose words are read, a word that is looked up: each of these stops it."""

    def long(toll):  # another each time: what is read is kept for a while
        return [*DOCUMENTS, " ".join([f"Ships pay a toll of {toll} euros."] * 300)]

    looked = itertools.count(1)
    with until(lambda: next(looked) < 0):
        check(None, ANSWER, long(10))
    units = next(looked) - 1
    assert units > 4 * 300  # cut, read alone, with the next, and within the whole
    for toll, last in enumerate((1, units // 4, units // 2, units), 11):
        looked = itertools.count(1)
        with pytest.raises(Stopped), until(lambda looked=looked, last=last: next(looked) == last):
            check(None, ANSWER, long(toll))


def test_without_a_model_a_document_is_read_once_however_many_sentences_there_are(monkeypatch):
    whole = []

    def reading(sources, language="en"):
        whole.append(sources)
        return words.read(sources, language)

    monkeypatch.setattr("llmattr.context.worded.read", reading)
    check(None, ANSWER, DOCUMENTS)
    assert [texts[-1] for texts in whole] == DOCUMENTS


class Sure:
    """A judge to whom each claim follows from what has its last word."""

    def probability(self, premise, claim):
        return 1.0 if claim.split()[-1].strip(".") in premise else 0.0


class TestJudge:
    @pytest.fixture(autouse=True)
    def sure(self, monkeypatch):
        monkeypatch.setattr("llmattr.model.judge.Judge.load", lambda name: Sure())

    def test_its_word_counts_with_the_words(self):
        said = "An iron edifice soars up steep metres [1]. The Panama Canal opened in 1914, yellow [2]. It is 82 km long [2]."
        without, found = check(None, said, DOCUMENTS), check(None, said, DOCUMENTS, judge="any")
        assert [one.holds for one in without.markers] == [False, True, True]
        assert [one.holds for one in found.markers] == [True, False, True]
        assert [found.support(one).because for one in found.markers] == ["the judge", "the judge", "words"]
        assert [found.support(one).entailed for one in found.markers] == [1.0, 0.0, 1.0]
        assert "100% by the judge" in found.to_text()
        assert found.to_dict()["sentences"][0]["supports"][0]["entailed"] == 1.0
        assert found.run["judge"] == "any"

    def test_and_with_the_model(self, tiny):
        said = "The Panama Canal opened in 1914 [2]. It is green [1]."
        without, found = (check(tiny, said, DOCUMENTS, "When?", judge=judge) for judge in (None, "any"))
        for before, after in zip(without.sentences, found.sentences, strict=True):
            for one, other in zip(before.supports, after.supports, strict=True):
                assert (one.entailed, other.entailed) == (None, float(other.document == 1 and after.start == 0))
                assert other.alone == one.alone
                assert other.holds <= one.holds or other.entailed == 1.0  # it lifts nothing that does not follow


def test_a_judge_that_is_none_is_one_line(tmp_path):
    with pytest.raises(LlmattrError, match="the entailment model"):
        check(None, ANSWER, DOCUMENTS, judge=str(tmp_path / "nowhere"))
