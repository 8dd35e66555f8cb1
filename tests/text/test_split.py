"""Splitting loses nothing, and cuts where a reader would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmattr.errors import LlmattrError
from llmattr.text.split import SPLITTERS, find_splitter, paragraphs, sentences, spans, words

TEXT = st.text() | st.text(alphabet=st.sampled_from("ab. !?\n\r\t\v\x85\u2028\u00a0A1)-#|\"'’。e\u0301😀"), max_size=80)


@pytest.mark.parametrize("kind", SPLITTERS)
@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_the_parts_joined_are_the_text(kind, text):
    assert "".join(SPLITTERS[kind](text)) == text


@pytest.mark.parametrize("kind", SPLITTERS)
@settings(max_examples=200, deadline=None)
@given(text=TEXT)
def test_spans_and_the_white_space_between_them_are_the_text(kind, text):
    cut = spans(text, SPLITTERS[kind])
    assert (cut[:, 0] < cut[:, 1]).all()
    assert (cut[1:, 0] >= cut[:-1, 1]).all()
    covered = np.zeros(len(text), dtype=bool)
    for start, end in cut:
        covered[start:end] = True
    assert not "".join(c for c, inside in zip(text, covered, strict=True) if not inside).strip()


def test_a_no_break_space_is_a_space():
    assert sentences("Vraiment\u00a0? Oui.\u00a0Non.") == ["Vraiment\u00a0? ", "Oui.\u00a0", "Non."]


def strip(parts):
    return [part.strip() for part in parts]


def test_sentences_know_abbreviations_and_numbers():
    text = "Col. G. W. Goethals, of the U.S. Army, paid $3.50 vs. 2.10. Dr. Smith left at 5 p.m. on Monday. Was it so? Yes!"
    assert strip(sentences(text)) == [
        "Col. G. W. Goethals, of the U.S. Army, paid $3.50 vs. 2.10.",
        "Dr. Smith left at 5 p.m. on Monday.",
        "Was it so?",
        "Yes!",
    ]


def test_a_wrapped_line_goes_on_and_a_heading_or_list_item_does_not():
    text = "# A heading\nThe first sentence of this text was wrapped by\nan editor. Then:\n- one item\n- another item\n"
    assert strip(sentences(text)) == [
        "# A heading",
        "The first sentence of this text was wrapped by\nan editor.",
        "Then:",
        "- one item",
        "- another item",
    ]


def test_other_scripts():
    assert strip(sentences("中文句子。第二句！ Это предложение. Второе.")) == [
        "中文句子。",
        "第二句！",
        "Это предложение.",
        "Второе.",
    ]
    assert strip(words("Don't stop, José: $3.14!")) == ["Don't", "stop,", "José:", "$3.14!"]
    assert words("句子。第") == ["句", "子。", "第"]


def test_paragraphs_end_at_blank_lines():
    assert strip(paragraphs("\n one\ntwo\n \n\n  three\r\n\r\nfour")) == ["one\ntwo", "three", "four"]


def test_a_function_of_the_users_own():
    def clauses(text):
        return [part.strip() for part in text.split(",")]

    name, splitter = find_splitter(clauses)
    assert name == "clauses"
    assert [tuple(s) for s in spans("a, b ,a", splitter)] == [(0, 1), (3, 4), (6, 7)]
    with pytest.raises(LlmattrError, match="part 1 of the splitter, 'X', is not in the text"):
        spans("abc", lambda text: ["X"])


def test_an_unknown_kind_of_source_is_named_with_the_nearest_known_one():
    with pytest.raises(LlmattrError, match="unknown sources 'sentence'; did you mean 'sentences'"):
        find_splitter("sentence")
