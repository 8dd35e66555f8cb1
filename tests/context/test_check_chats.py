"""The citations of an answer that ends a chat: what tools returned, or the documents in it, is what it could cite."""

import json

import numpy as np
import pytest

from llmattr.cli import main
from llmattr.context.check import check
from llmattr.context.removal.ablation import ContextAblation, Store
from llmattr.errors import LlmattrError
from llmattr.text.message import take_answer
from llmattr.text.messages import with_evidence
from llmattr.text.prompt import Prompt, cut
from tests.text.test_chats import ANSWER, ASKED, FORMS, FOUND, OPENAI

TOOLS = [
    {"role": "system", "content": "Cite what you found."},
    {"role": "user", "content": "When was the tower built, and how tall is it?"},
    {"role": "assistant", "content": "Thought: I look.\nAction: search[tower]"},
    {"role": "user", "content": "Observation: The Eiffel Tower was built in 1889."},
    {"role": "assistant", "content": "Thought: And its height.\nAction: lookup[height]"},
    {"role": "user", "content": "Observation: The Eiffel Tower is 330 metres tall."},
    {
        "role": "assistant",
        "content": "<think>It is 500 m tall.</think>It was built in 1889 [1]. It is 330 metres tall [1].",
    },
]


@pytest.mark.parametrize("form", FORMS)
def test_what_tools_returned_can_be_cited_by_its_number_and_its_step(form):
    found = check(None, "It is deep [1]. It is cold [step 3]. It is a lake [2].", messages=FORMS[form])
    assert [(one.id, one.text) for one in found.documents] == [("step 3: result of search", FOUND)]
    assert [one.standing for one in found.markers] == ["needed", "needed", "nowhere"]


@pytest.mark.parametrize("form", FORMS)
def test_the_last_turn_is_the_answer_without_its_reasoning(form):
    found = check(None, messages=FORMS[form])
    assert found.answer == ANSWER
    assert (found.markers, found.missing) == ((), [0])


def test_what_an_agent_observed_is_what_a_tool_returned():
    found = check(None, messages=TOOLS)
    assert [one.id for one in found.documents] == ["step 3: result of search", "step 5: result of lookup"]
    assert [one.standing for one in found.markers] == ["needed", "wrong"]
    assert found.repaired().text == "It was built in 1889 [1]. It is 330 metres tall [2]."


def test_what_was_asked_is_not_asked_of_a_document():
    """The tower stands in the question alone, which is the user's last turn that asks anything."""
    found = check(None, messages=[*TOOLS[:-1], {"role": "assistant", "content": "The tower is 330 metres tall [2]."}])
    support = found.support(found.markers[0])
    assert (support.stated, support.missing) == (1.0, ())


def test_documents_of_the_chat_come_before_what_tools_returned():
    document = {"type": "document", "text": "The tower is made of iron.", "id": "notes"}
    marked = [{"role": "user", "content": [document, "What is it made of?"]}, *TOOLS[2:4]]
    found = check(None, "It is made of iron [1].", messages=marked)
    assert [one.id for one in found.documents] == ["notes"]
    assert [one.standing for one in found.markers] == ["needed"]
    plain = [{"role": "user", "content": "The tower is made of iron. It is old. What is it made of?"}]
    given = [{"text": "The tower is made of iron.", "title": "Iron Notes"}, "It is old."]
    found = check(None, "It is made of iron [1]. It is old [2]. It is made of iron [Iron Notes].", given, messages=plain)
    assert [one.standing for one in found.markers] == ["needed"] * 3
    with pytest.raises(LlmattrError, match="in another order than numbers go by"):
        check(None, "It is made of iron [2].", given[::-1], messages=plain)


def test_a_model_is_asked_behind_the_chat_without_a_result_and_with_it_alone(tiny):
    found = check(tiny, messages=TOOLS)
    chat = with_evidence(None, None, take_answer(TOOLS)[0])
    prompt = Prompt(tiny.tokenizer, chat, cut(chat, "documents")).with_response(found.answer)
    values = ContextAblation(tiny, prompt, prompt.targets(), Store())(np.array([[1, 1], [0, 0], [1, 0], [0, 1]], dtype=bool))
    for t, sentence in enumerate(found.sentences, 1):
        np.testing.assert_allclose([one.alone for one in sentence.supports], values[2:, t] - values[1, t], atol=1e-4)
        np.testing.assert_allclose([one.needed for one in sentence.supports], values[0, t] - values[:1:-1, t], atol=1e-4)


@pytest.mark.parametrize(
    ("answer", "messages", "message"),
    [
        (None, None, "the answer is missing"),
        (None, [ASKED], "does not end with an answer"),
        (None, [ASKED, {"role": "assistant", "content": "<think>It is deep.</think>"}], "no tool returned anything"),
        (None, [*OPENAI[:3], {"role": "assistant", "content": "<think>It is deep.</think>"}], "the answer is empty"),
        ("It is deep.", [ASKED], "no tool returned anything; give the documents"),
        ("It is deep.", [{"role": "assistant", "content": "Hello."}], "only what the assistant said"),
    ],
)
def test_bad_input_is_one_line(answer, messages, message):
    with pytest.raises(LlmattrError, match=message):
        check(None, answer, messages=messages)


class TestCommand:
    """`llmattr check --messages`."""

    @pytest.fixture
    def run(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "chat.json").write_text(json.dumps({"messages": TOOLS, "tools": []}))
        (tmp_path / "answer.txt").write_text("It is 330 metres tall [step 5].")

        def call(*words):
            return main(["check", "--quick", *words]), *capsys.readouterr()

        return call

    def test_a_chat_has_its_answer_or_is_given_one(self, run):
        code, out, _ = run("--messages", "chat.json", "--fail-on", "wrong")
        assert (code, "1 of 2 markers hold" in out) == (1, True)
        code, out, _ = run("answer.txt", "--messages", "chat.json", "--fail-on", "wrong")
        assert (code, "1 of 1 markers hold" in out) == (0, True)

    def test_many_chats(self, run, tmp_path):
        (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": TOOLS}) + "\n" + json.dumps({"messages": [ASKED]}) + "\n")
        code, *_ = run("--questions", "rows.jsonl", "--json", "out.jsonl")
        first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
        assert [one["standing"] for one in first["markers"]] == ["needed", "wrong"]
        assert (code, "does not end with an answer" in second["error"]) == (0, True)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ((), "Missing argument 'ANSWER' (or --messages, --questions)"),
            (("--messages", "answer.txt"), "answer.txt is no JSON"),
            (("--messages", "chat.json", "--documents", "chat.json"), "among the documents"),
            (("--questions", "chat.json", "--messages", "chat.json"), "--questions has a row for each"),
        ],
    )
    def test_bad_options_are_one_line(self, run, words, message):
        code, _, err = run(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
