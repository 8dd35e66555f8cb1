"""What marks stand for and name where answers are written otherwise: from 0, in tables, behind other ends, in footnotes."""

import time
import warnings

import pytest

from llmattr.context.check import check
from llmattr.context.standing import of_sentences
from llmattr.core.sources import Document
from llmattr.errors import LlmattrNote
from llmattr.text.shapes import read
from llmattr.text.split.talk import is_talk

LAKE = Document("The lake is 80 metres deep and very cold in the winter.", "lake.txt")
CASTLE = Document("The castle belongs to the duke of Norfolk since 1690.", "castle.txt")
BRIDGE = Document("The bridge was opened by the queen in 1932.", "bridge.txt")
DOCUMENTS = [LAKE, CASTLE, BRIDGE]


def said(answer, documents=DOCUMENTS):
    """The sentence, document and standing of each mark."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LlmattrNote)
        found = check(None, answer, documents)
    return [(one.sentence, one.marker.document, one.standing) for one in found.markers]


def right(*places):
    return [(t, document, "needed") for t, document in places]


FROM_0 = [
    "The lake is 80 metres deep [0]. The castle belongs to the duke of Norfolk [1]. The bridge was opened in 1932 [2].",
    "The lake is 80 metres deep [0]. The castle belongs to the duke of Norfolk [castle.txt]. The bridge opened in 1932 [2].",
    "The lake is 80 metres deep [Document 0]. The castle belongs to the duke of Norfolk [1]. Document 2 says the bridge was "
    "opened in 1932.",
    "The lake is 80 metres deep [0]. The castle belongs to the duke of Norfolk [1]. The bridge was opened in 1932 [2].\n\n"
    "References:\n[0] The lake\n[1] The castle\n[2] The bridge",
]


class TestNumbersFrom0:
    @pytest.mark.parametrize("answer", FROM_0)
    def test_name_documents_from_0_and_a_note_says_so(self, answer):
        assert said(answer) == right((0, 0), (1, 1), (2, 2))
        with pytest.warns(LlmattrNote, match="count from 0"):
            check(None, answer, DOCUMENTS)

    @pytest.mark.parametrize("last", ["[3]", "[7]"])
    def test_but_not_beside_a_number_that_is_none_of_these(self, last):
        found = said(f"The lake is 80 metres deep [0]. The bridge was opened in 1932 {last}.")
        assert found == [(0, None, "nowhere"), (1, *((2, "needed") if last == "[3]" else (None, "nowhere")))]

    def test_others_count_from_1(self):
        assert said("The lake is 80 metres deep [1]. The castle belongs to the duke of Norfolk [2].") == right((0, 0), (1, 1))

    @pytest.mark.filterwarnings("ignore::llmattr.errors.LlmattrNote")
    def test_what_is_missing_and_a_repair_count_as_the_answer_does(self):
        found = check(None, "The lake is 80 metres deep [0]. The bridge was opened in 1932 [0].", DOCUMENTS)
        assert found.repaired().text == "The lake is 80 metres deep [0]. The bridge was opened in 1932 [2]."
        assert "[2] (bridge.txt) supports it" in found.to_text()


class TestTables:
    ROWS = "|---|---|---|\n| The lake | 80 metres deep | unknown |\n| The castle | unknown | duke of Norfolk |\n"

    def test_a_mark_in_the_head_is_for_the_rows_that_it_supports(self):
        """The lake's depth stands in row 0, the castle's owner in row 1: of each column's mark, the other row says nothing."""
        assert said(f"| Place | Depth [1] | Owner [2] |\n{self.ROWS}") == right((0, 0), (1, 1))
        assert said(f"Place | Depth [1] | Owner [2]\n{self.ROWS}") == right((0, 0), (1, 1))

    def test_one_that_supports_none_is_wrong_once(self):
        assert said(f"| Place | Depth [3] | Owner [7] |\n{self.ROWS}") == [(0, 2, "wrong"), (0, None, "nowhere")]

    def test_it_is_for_no_sentence_before_or_behind(self):
        answer = f"The bridge was opened in 1932 [3].\n\n| Place | Depth [1] | Owner |\n{self.ROWS}\nThe lake is cold [3]."
        assert said(answer) == [(0, 2, "needed"), (1, 0, "needed"), (3, 2, "wrong")]

    def test_one_in_a_row_is_for_the_row(self):
        rows = "| The lake | 80 metres deep [1] |\n| The castle | belongs to the duke of Norfolk [2] |\n"
        assert said(f"| Place | Fact |\n|:--|--:|\n{rows}") == right((0, 0), (1, 1))

    def test_no_table_is_none(self):
        assert said("The lake is 80 metres deep [1] | cold\nThe castle belongs to the duke of Norfolk [2] | old") == right(
            (0, 0), (1, 1)
        )


@pytest.mark.parametrize("end", ["!?", "?!", "?!!", "...", "…", " 😊", "! 😊", " 🏰🏰"])
def test_a_sentence_with_a_mark_claims_however_it_ends(end):
    last = f"The bridge was opened in 1932{end} [3]"
    answer = f"The lake is 80 metres deep{end} [1] The castle belongs to the duke of Norfolk{end} [2]\n{last}"
    assert said(answer) == right((0, 0), (1, 1), (2, 2))


@pytest.mark.parametrize("asked", ["Is the lake 80 metres deep?!", "And how deep is the lake!?", "Who owns the castle?"])
def test_a_question_claims_nothing_however_it_ends(asked):
    found = check(None, f"{asked} The bridge was opened in 1932 [3].", DOCUMENTS)
    assert [found.said(t) for t in range(len(found.sentences))] == ["The bridge was opened in 1932."]


@pytest.mark.parametrize(
    "last",
    ["## Sources", "**References:**", "**Sources**", "Sources:", "*Sources:*", "### Further reading", "**Sources cited:**"],
)
def test_a_heading_at_the_end_claims_nothing(last):
    found = check(None, f"The lake is 80 metres deep [1].\n\n{last}\n", DOCUMENTS)
    assert [found.said(t) for t in range(len(found.sentences))] == ["The lake is 80 metres deep."]


@pytest.mark.parametrize(
    "notes",
    [
        "[^1]: See [3].\n[^b]: As [1] says.",
        "[^1]: Document 3.\n[^b]: [1]",
        "[^1]: [bridge.txt]\n[^b]: Source 1",
        "[^1]: 3\n[^b]: 1",
        "[^1]: bridge.txt\n[^b]: lake.txt",
        "[^1]: bridge.txt, as [1] says\n[^b]: lake.txt",  # a source by its name, whatever is said of it
    ],
)
def test_a_footnote_stands_for_what_it_cites(notes):
    assert said(f"The bridge was opened in 1932[^1]. The lake is 80 metres deep[^b].\n\n{notes}") == right((0, 2), (1, 0))


@pytest.mark.parametrize(
    "answer",
    [
        "1. The lake is 80 metres deep [1]\n2. The castle belongs to the duke of Norfolk [2]",
        "1) The lake is 80 metres deep. [1]\n2) The castle belongs to the duke of Norfolk. [2]",
        "1. [1] The lake is 80 metres deep\n2. [2] The castle belongs to the duke of Norfolk",
        "1. **Lake** [1]: The lake is 80 metres deep.\n2. **Castle** [2]: The castle belongs to the duke of Norfolk.",
    ],
)
def test_items_of_a_numbered_list_have_their_own_marks(answer):
    assert said(answer) == right((0, 0), (1, 1))


class TestCopies:
    COPIES = (LAKE, CASTLE, CASTLE)

    @pytest.mark.parametrize(("mark", "document"), [("[2]", 1), ("[3]", 2), ("[castle.txt]", 1)])
    def test_each_number_and_the_name_hold(self, mark, document):
        """The other copy supports it, too; the name, which both have, is the first's."""
        assert said(f"The castle belongs to the duke of Norfolk {mark}.", self.COPIES) == [(0, document, "carried")]

    def test_others_of_one_name_have_none(self):
        two = [Document("The castle belongs to the duke of Norfolk.", "a.txt"), Document("The lake is deep.", "a.txt")]
        assert said("The castle belongs to the duke of Norfolk [a.txt].", two) == []

    def test_the_list_may_name_one_twice(self):
        sources = "Sources:\n[1] lake.txt\n[2] castle.txt\n[3] lake.txt"
        answer = f"The castle belongs to the duke of Norfolk [2]. The lake is 80 metres deep [3]. It is cold [1].\n\n{sources}"
        assert said(answer, [LAKE, CASTLE]) == right((0, 1), (1, 0), (2, 0))


LONG = ["-" * 50_000, " " * 50_000 + "-", "|-" * 20_000, "- " * 30_000 + "|", ":-:|" * 20_000 + " " * 20_000]


@pytest.mark.parametrize("rule", LONG, ids=range(len(LONG)))
def test_a_long_line_below_a_bar_takes_no_long(rule):
    """Part of a second in linear time; 50,000 spaces took minutes."""
    marked = read(f"a|b\n{rule}x\n\nThe lake is deep [1].", documents=[LAKE])
    started = time.process_time()
    assert of_sentences(marked, [(0, 3)]) == [[0]]
    assert time.process_time() - started < 6


@pytest.mark.parametrize("end", ["!?" * 20_000 + "x", "?!" + " " * 40_000 + "x", "?!" * 20_000])
def test_many_marks_of_astonishment_take_no_long(end):
    started = time.process_time()
    assert not is_talk(f"It is deep{end}")
    assert time.process_time() - started < 6
