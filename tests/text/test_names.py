"""What of a text stands in no source: closed cases, and what must hold for any text."""

import random
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmattr.text.names import missing, names
from llmattr.text.numbers import numbers
from llmattr.text.units import fold
from llmattr.text.words import read

SOME = (
    "Jane J. Okoro U.S. US United States of the in 1889 1,889 5.6 million 82 km miles % May 1980s 3 first the Eiffel O'Brien "
    "Paris Müller NATO was built и Москва 東京タワー ٣٤ . , - ( [1] iPhone It Although 1.889,5 18th century $5m"
)
WORDS = st.sampled_from(SOME.split())
TEXTS = st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=40)


def said(text, found):
    return [text[name.start : name.end] for name in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("However, Jane Okoro of the U.S. Army went to Paris.", ["Jane Okoro of the U.S. Army", "Paris"]),
        ("Researchers say it is so. They don't know.", []),
        ("It was Ludwig van der Rohe or J. R. R. Tolkien.", ["Ludwig van der Rohe", "J. R. R. Tolkien"]),
        ("NATO met. It met at Stratford-upon-Avon.", ["NATO", "Stratford", "Avon"]),
        ("Every Jeep is sold. Several Jane Okoros came.", ["Jeep", "Jane Okoros"]),
        ("I think that I'm right about O'Brien's iPhone.", ["O'Brien", "iPhone"]),
        ("On 3 May 1889, 5.6 million people paid $5m [1].", ["3", "May", "1889", "5.6 million", "5m"]),
        ("1. The first of 10.11.2012", ["10", "11", "2012"]),
        (
            "Die Brücke wurde im Mai 1889 von Gustav Eiffel für die NATO gebaut, sagt der Minister.",
            ["Mai", "1889", "Gustav Eiffel", "NATO"],
        ),
        ("La tour fut construite par Gustave Eiffel en mai 1889.", ["Gustave Eiffel", "mai", "1889"]),
        ("Башню построил Густав Эйфель 3 мая 1889 года.", ["Густав Эйфель", "3", "мая", "1889"]),
        ("東京タワーは1958年に完成した。", ["タワー", "1958"]),
        ("بني البرج عام ١٨٨٩ في باريس.", ["١٨٨٩"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_names_of_a_text(text, expected):
    assert said(text, names(text)) == expected


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("in 1,889", "1889"),
        ("in the First World War", "America entered World War I in 1917"),
        ("in World War II", "the Second World War"),
        ("it is Louis XIV of France", "Louis the Fourteenth, king of France"),
        ("it is in the Southeast of the U.S.", "the southeastern United States"),
        ("she is Miss McConnell", "Tracy McConnell is her name"),
        ("he is Mr Okoro", "Okoro built it"),
        ("in 1889", "1.889"),
        ("in 1 889", "1'889"),
        ("in ١٨٨٩", "1889"),
        ("it cost 5.6 million", "5,600,000"),
        ("it cost 5,600,000", "5.6 million"),
        ("about 5.6 million", "5,612,345"),
        ("about 82", "81.7"),
        ("some 1,900 men", "1,889 men"),
        ("it paid $92.8m", "$92.8 million"),
        ("it paid EUR 86m", "86 million euros"),
        ("it paid USD 5.6 million", "$5,600,000"),
        ("it paid GBP 86m", "£86 million"),
        ("it paid £86m", "86 million pounds"),
        ("it paid 5 dollars", "$5"),
        ("3.5 Mio. Einwohner", "3,500,000"),
        ("in the 1980s", "in 1984"),
        ("in the 20th century", "in 1905"),
        ("the 1st of 12", "1. von 12"),
        ("it has 51 miles", "82 km"),
        ("it has 82 kilometres", "51 miles"),
        ("at 20 °C", "68 degrees Fahrenheit"),
        ("5% of it", "5 percent"),
        ("it has 24 months", "2 years"),
        ("by the United States", "the U.S. said"),
        ("by the US", "the United States of America"),
        ("by the U.S.", "the US said"),
        ("by NATO", "the North Atlantic Treaty Organization"),
        ("by Jane Okoro", "J. Okoro said"),
        ("by J. Okoro", "Jane Okoro said"),
        ("by Okoro", "Jane Okoro said"),
        ("by JANE OKORO", "jane okoro"),
        ("by Gerd Müller", "gerd muller"),
        ("by the Okoros", "Okoro's house"),
        ("from America", "the American people"),
        ("в Москве", "Москва"),
        ("on 3 March", "3 Mar."),
        ("on 3 March 1889", "1889-03-03"),
        ("am 3. Mai 1889", "3 May 1889"),
        ("the タワー", "東京タワー"),
    ],
)
def test_another_form_is_there(text, source):
    assert missing(text, [source]) == []


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("It was built in 1889.", "It was built in eighteen eighty-nine."),
        ("It was built in eighteen eighty-nine.", "It was built in 1889."),
        ("It was built in nineteen oh five.", "It was built in 1905."),
        ("It has two million people.", "It has 2,000,000 people."),
        ("It was built in the twentieth century.", "It was built in the 20th century."),
        ("It has eighty-two kilometers.", "It has 82 km."),
        ("Der Turm wurde im Jahr achtzehnhundertneunundachtzig gebaut.", "1889"),
        ("La tour a été construite en mille huit cent quatre-vingt-neuf.", "1889"),
    ],
)
def test_number_words_are_numbers(text, source):
    assert names(text)
    assert missing(text, [source]) == []


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("built in 1956", "built in 1889", ["1956"]),
        ("built in 1900", "built in 1889", ["1900"]),
        ("it cost 5,612,345", "it cost 5.6 million", ["5,612,345"]),
        ("it cost EUR 68m", "it cost 86 million euros", ["68m"]),
        ("it has 82 miles", "it has 82 km", ["82"]),
        ("it has 5%", "it has 5 km", ["5"]),
        ("in the 1980s", "in 1979", ["1980"]),
        ("by Mary Okoro", "J. Okoro said", ["Mary Okoro"]),
        ("in the Second World War", "in World War I", ["Second World War"]),
        ("it is in the Southeast", "the northeastern states", ["Southeast"]),
        ("by Dr Okoro", "Dr Selick said", ["Dr Okoro"]),
        ("by K. Okoro", "Jane Okoro said", ["K. Okoro"]),
        ("by Henry Selick", "the Home Secretary said", ["Henry Selick"]),
        ("from Austria", "from Australia", ["Austria"]),
        ("by Martin", "by Martha", ["Martin"]),
        ("in June", "in July", ["June"]),
        ("in Paris", "", ["Paris"]),
    ],
)
def test_what_is_not_there_is_missing(text, source, expected):
    assert said(text, missing(text, [source])) == expected


def test_the_words_of_a_name_stand_in_one_source_but_for_what_is_known():
    assert missing("by Jane Okoro", ["Jane said", "Okoro said"])
    assert not missing("by Jane Okoro", ["Jane said", "Okoro said"], known="Who is Okoro?")
    assert not missing("in 1889", [], known="What was in 1889?")
    assert missing("in 1889", [])


@settings(max_examples=100, deadline=None)
@given(TEXTS)
@example("a0A0")
def test_nothing_of_a_text_is_missing_from_itself(text):
    assert missing(text, [text]) == []
    assert missing(text, [], known=text) == []


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.lists(TEXTS, max_size=4), TEXTS)
def test_more_sources_never_make_more_missing_and_their_order_does_not_matter(text, sources, more):
    found = missing(text, sources)
    assert set(missing(text, [*sources, more])) <= set(found) <= set(names(text))
    assert missing(text, random.Random(0).sample(sources, len(sources))) == found


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_a_source_in_other_capitals_holds_the_same(text):
    assert missing(text, [text.lower()]) == []
    assert missing(text, [text.upper()]) == []


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_names_are_places_of_the_text_in_their_order(text):
    found = names(text)
    assert found == sorted(found)
    assert all(0 <= name.start < name.end <= len(text) for name in found)
    assert all(low <= high for number in numbers(text) for low, high in number.ranges)
    assert fold(fold(text)) == fold(text)


def test_sources_are_read_once_for_many_texts():
    words = read(["The United States paid 82 km.", "Jane Okoro"])
    assert [missing(text, words) for text in ("the US", "J. Okoro", "82")] == [[], [], []]


def test_nothing_of_python_runs_for_a_word_inside_text2num():
    """Ctrl-C there would be a panic of its Rust, which no handler of `KeyboardInterrupt` sees."""
    called: list[str] = []
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_qualname) if event == "call" else None)
    try:
        numbers("the long road goes on " * 50)
    finally:
        sys.setprofile(None)
    assert "numbers" in called
    assert not [name for name in called if name.startswith("_Token.")]
