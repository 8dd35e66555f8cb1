"""Other names of the documents in a name's place."""

import dataclasses

import numpy as np
import pytest

from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.rivals import NAMES, OTHERS, rivals
from llmattr.core.evidence import RIVAL
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut

DOCUMENT = (
    "The bridge was drawn by Karl Lund in 1932. Ana Petrov built it in May 1936. It is 82 km from Varna. It cost 77 euros."
)
QUESTION = "Who built the bridge in Varna?"


@dataclasses.dataclass(frozen=True)
class Likes:
    """A model that gives a text its nats on the token in which it begins, and each other token -1."""

    tokenizer: object
    nats: dict
    window: int | None = None
    asked: list = dataclasses.field(default_factory=list)
    name, kind = "likes", "causal"
    generate = record = fingerprint = dict  # a scorer has them; nobody asks here

    def score(self, requests):
        for i, request in enumerate(requests):
            ids = request.ids[request.response]
            self.asked.append(self.tokenizer.decode(ids).strip())
            yield i, self(ids)

    def __call__(self, ids):
        found = np.full(len(ids), -1.0)
        ends = [len(self.tokenizer.decode(ids[: k + 1])) for k in range(len(ids))]
        for text, nats in self.nats.items():
            if (place := self.tokenizer.decode(ids).find(text)) >= 0:
                found[next(k for k, end in enumerate(ends) if end > place)] = nats
        return found


def ablation_of(tokenizer, answer, nats, document=DOCUMENT, question=QUESTION, room=None, unit="sentences"):
    chat = conversation(document, question)
    prompt = Prompt(tokenizer, chat, cut(chat, unit)).with_response(answer)
    window = None if room is None else len(prompt.full().ids) + room
    return ContextAblation(Likes(tokenizer, nats, window), prompt, prompt.targets())


@pytest.fixture
def run(tiny):
    def found(answer, nats, targets=(1,), question=QUESTION, **how):
        ablation = ablation_of(tiny.tokenizer, answer, nats, question=question, **how)
        full = ablation.lm(ablation.prompt.response_ids)
        return rivals(ablation, question, full, targets), ablation.lm.asked

    return found


def nats(rival):
    """Those of a rival, and of its text and the name's."""
    return rival.text, rival.start, rival.end


def test_the_likelier_name_of_the_documents_is_the_rival(run):
    found, asked = run("Karl Lund built it.", {"Karl": -30.0})
    assert nats(found[1]) == ("Ana Petrov", 0, 9)
    assert asked == ["Ana Petrov built it."]  # no month, no number, and no name of the question, in a name's place


def test_its_nats_are_the_difference_from_the_name_to_the_end_of_the_sentence(run, tiny):
    answer = "In 1932 Karl Lund built it. It stands."
    found, _ = run(answer, {"In 1932": -50.0, "Karl": -30.0, "It stands": -70.0})
    tokens = [len(tiny.tokenizer.encode(text)) for text in (" Karl Lund", " Ana Petrov")]
    assert found[1].nats == pytest.approx(30 - 1 + tokens[0] - tokens[1], abs=2)  # not -50, nor -70; tokens may merge


@pytest.mark.parametrize(("gain", "is_rival"), [(-1e-6, False), (1e-6, True)])
def test_it_must_be_far_likelier(run, gain, is_rival):
    (even,) = run("Karl Lund built it.", {"Karl": -100.0})[0].values()
    found, _ = run("Karl Lund built it.", {"Karl": -100.0 + even.nats - RIVAL - gain})
    assert bool(found) is is_rival


def test_years_stand_for_years_and_months_for_months(run):
    document = f"{DOCUMENT} It opened in June."
    _, asked = run("It opened in May 1936, 82 km away, with 12 locks.", {}, document=document, question="When?")
    assert sorted(asked) == [
        "It opened in June 1936, 82 km away, with 12 locks.",
        "It opened in May 1932, 82 km away, with 12 locks.",
    ]


def test_numbers_stand_for_numbers_of_their_unit_also_of_the_same_sentence(run):
    document = "Exports rose by 8%, imports by 3%, over 12 km. Of 20 ports 14.2 million tonnes came, and 12.9 million from one."
    _, asked = run("Exports rose by 3%.", {}, document=document, question="How?")
    assert asked == ["Exports rose by 8%."]
    _, asked = run("It was 12.9 million tonnes.", {}, document=document, question="How much?")
    assert "It was 14.2 million tonnes." in asked
    assert not [text for text in asked if "8" in text or "12 " in text]  # shares and kilometres
    _, asked = run("It was some 13 million tonnes.", {}, document=document, question="How much?")
    assert not [text for text in asked if "12.9" in text]  # which it may stand for


def test_the_best_of_all_names_wins(run):
    found, _ = run("Karl Lund built it in 1932.", {"Karl": -20.0, "1932": -40.0})
    assert found[1].text == "1936"


def test_each_sentence_is_tried_by_itself(run):
    found, asked = run("It opened in 1936. Karl Lund built it.", {"Karl": -30.0}, targets=(1, 2))
    assert nats(found[2]) == ("Ana Petrov", 19, 28)
    assert "It opened in 1932." in asked  # without the sentence behind it


def test_what_one_source_has_together_may_both_be_right(run):
    document = "The company was founded by Ingrid Solberg and Pavel Novak. Mei Chen joined later."
    _, asked = run("A founder is Pavel Novak.", {}, document=document, question="Who?")
    assert asked == ["A founder is Mei Chen."]


def test_a_break_behind_the_sentence_counts_for_neither(run):
    """With tokens that hold the full stop and the break, as Llama's do, the other is given the break as well."""
    _, asked = run("Karl Lund built it.\n\nIt stands.", {"Karl": -30.0})
    assert all("It stands" not in text for text in asked)


def test_what_does_not_fit_the_window_is_not_tried(run):
    assert run("It opened in 1936.", {"1936": -30.0}, room=0)[0]  # as long as what was said
    assert run("Karl Lund built it.", {"Karl": -30.0}, room=-1) == ({}, [])


def test_the_same_in_another_form_is_no_other_name(run):
    document = "The U.S. built it with the National Hockey League. It is six feet long."
    _, asked = run("With the NHL came the United States, in May.", {}, document=document)
    assert not [text for text in asked if "came the U.S." in text or "National Hockey League came" in text]
    _, asked = run("It was Lund.", {}, document="Karl Lund did it. Ana Petrov paid.", question="Who?")
    assert asked == ["It was Ana Petrov."]  # not Karl Lund


def test_none_is_scored_twice_and_each_is_a_pass(tiny):
    ablation = ablation_of(tiny.tokenizer, "Karl Lund built it.", {"Karl": -30.0})
    full = ablation.lm(ablation.prompt.response_ids)
    first = rivals(ablation, QUESTION, full, (1,))
    asked = list(ablation.lm.asked)
    assert len(ablation.store) == len(asked) > 0
    assert rivals(ablation.of(ablation.targets), QUESTION, full, (1,)) == first
    assert ablation.lm.asked == asked


@pytest.mark.parametrize("unit", ["words", "paragraphs", "documents"])
def test_names_are_those_of_sentences_whatever_the_sources_are(run, unit):
    assert run("Karl Lund built it.", {"Karl": -30.0}, unit=unit) == run("Karl Lund built it.", {"Karl": -30.0})


def test_what_the_question_tells_is_not_tried(run):
    assert run("In Varna.", {}, question=QUESTION)[1] == []
    assert run("In Varna.", {}, question="Where?")[1] != []


def test_the_nearest_are_tried_first_and_few(run):
    names = ["Bo", "Cy", "Di", "Ed", "Fay", "Gus", "Hal", "Ida"]
    people = " ".join(f"It was {name} Z{name.lower()} who came." for name in names)
    document = f"{people} Uma Oz painted the bridge."
    answer = "The bridge was painted by Pia Mo, with Quin Ro, Rex Su and Tom Ty."
    _, asked = run(answer, {}, document=document, question="Who painted the bridge?")
    assert len(asked) == NAMES * OTHERS
    assert asked[0] == answer.replace("Pia Mo", "Uma Oz")
