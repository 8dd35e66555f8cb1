"""Names that stand in the documents, but not with the rest of what a sentence says."""

import numpy as np
import pytest

from llmattr.core.sources import Document
from llmattr.text.apart import NEAR, RUN, apart, passages

PASSAGES = [
    "The bridge was built by Karl Lund in 1932.",
    "The tunnel was dug by Ana Petrov in 1951.",
    "The lake is deep.",
]


def said(sentence, told="", prose=PASSAGES, others=()):
    return [sentence[one.start : one.end] for one in apart(sentence, told, prose, others)]


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("Karl Lund built the bridge in 1932.", []),
        ("Ana Petrov built the bridge in 1932.", ["Ana Petrov"]),
        ("The bridge was built by Karl Lund in 1951.", ["1951"]),
        ("Mei Chen built the bridge.", []),  # she stands nowhere: missing, which is something else
        ("Karl Petrov built the bridge.", []),  # no passage has both of his names
        ("It was Ana Petrov.", []),  # there is no rest
    ],
)
def test_of_two_names_the_one_that_is_said_of_something_else(sentence, names):
    assert said(sentence) == names


def test_what_was_asked_is_part_of_the_rest_and_no_name_of_its_own():
    assert said("Ana Petrov.", "Who built the bridge?") == ["Ana Petrov"]
    assert said("Ana Petrov dug it.", "Who dug the tunnel?") == []
    assert said("Ana Petrov built the bridge.", "Did Ana Petrov build the bridge?") == []


@pytest.mark.parametrize("k", range(6))
def test_the_share_of_the_rest_decides(k):
    """Of five words one passage has all, the other k beside the name; those of one passage weigh more than those of both."""
    rest = ["alpha", "beta", "gamma", "delta", "epsilon"]
    both, single = np.log1p(2 / 2.5), np.log1p(2 / 1.5)
    share = k * both / (k * both + (len(rest) - k) * single)
    prose = [" ".join(rest), f"Ana Petrov, {' '.join(rest[:k])}"]
    assert bool(said(f"Ana Petrov, {' '.join(rest)}", prose=prose)) is bool(share < NEAR)


def test_a_name_of_a_row_or_an_item_is_not_apart():
    assert said("Ana Petrov built the bridge.", others=["| Ana Petrov | bridge |"]) == []


PAGE = """# The Varna bridge

Karl Lund was born in Ruse. He built it in 1932. The river is wide.

## The tunnel

Ana Petrov dug it.

- Mei Chen

| Year | Who |
| --- | --- |
| 1951 | Ana Petrov |
"""


def test_a_sentence_is_read_behind_its_heading_and_whom_it_means():
    prose, others = passages(Document(PAGE, "page.md", format="markdown"))
    assert prose == [
        ". # The Varna bridge. Karl Lund was born in Ruse.",
        ". # The Varna bridge. Karl Lund was born in Ruse. He built it in 1932.",
        ". # The Varna bridge. The river is wide.",
        ". ## The tunnel. Ana Petrov dug it.",
    ]
    assert any("Mei Chen" in text for text in others)
    many = passages(Document("Karl Lund was born in Ruse. " + "He built it. " * 2_000, "life.txt"))[0]
    assert {len(text.split()) for text in many[-1_000:]} == {
        2 + 6 + 3 * (RUN + 1)
    }  # two stops, whom it means, the run and itself
    assert any("1951" in text for text in others)
    assert said("Karl Lund built the Varna bridge in 1932.", prose=prose, others=others) == []
    assert said("Ana Petrov built the Varna bridge.", prose=prose) == ["Ana Petrov"]
