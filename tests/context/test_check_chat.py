"""`check` of a chat: its last turn is the answer, what it could cite is marked, given, or what tools returned."""

import io
import json

import numpy as np
import pytest

from llmattr.cli import main
from llmattr.context.check import check
from llmattr.context.removal.ablation import ContextAblation, Store
from llmattr.errors import LlmattrError
from llmattr.text.answered import answered
from llmattr.text.message import take_answer
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut
from tests.text.test_chats import ANTHROPIC, OPENAI, RESPONSES

LAKE, CASTLE = "The lake is 80 metres deep and cold.", "The castle belongs to the duke of Norfolk."
ASKED = "How deep is the lake, and whose is the castle?"
WRONG = "The lake is 90 metres deep [2]."  # what is thought is no part of the answer
SAID = "The lake is 80 metres deep [1]. The castle belongs to the duke of Norfolk [step 3]. The lake is cold [step 4]."
CALLS = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("search", "look")]
IN_OPENAI = [
    {"role": "system", "content": "Cite what you found."},
    {"role": "user", "content": ASKED},
    {"role": "assistant", "content": "The castle is red.", "tool_calls": CALLS},
    {"role": "tool", "content": LAKE, "tool_call_id": "search"},
    {"role": "tool", "content": CASTLE, "tool_call_id": "look"},
    {"role": "assistant", "content": f"<think>{WRONG}</think>\n\n{SAID}", "reasoning_content": WRONG},
]
IN_ANTHROPIC = [
    {"role": "user", "content": ASKED},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "The castle is red."},
            *({"type": "tool_use", "id": name, "name": name, "input": {}} for name in ("search", "look")),
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "search", "content": LAKE},
            {"type": "tool_result", "tool_use_id": "look", "content": [{"type": "text", "text": CASTLE}]},
        ],
    },
    {"role": "assistant", "content": [{"type": "thinking", "thinking": WRONG}, {"type": "text", "text": SAID}]},
]
IN_WORDS = [
    {"role": "user", "content": f"Sources:\n\n[1] {LAKE}\n\n[2] {CASTLE}\n\n{ASKED}"},
    {"role": "assistant", "content": SAID.replace("step 3", "2").replace("step 4", "1")},
]
STANDINGS = [(1, "needed"), (1, "wrong"), (2, "wrong")]  # number and standing of each mark in `SAID`


def said(found):
    return [(one.marker.document + 1, one.standing) for one in found.markers]


@pytest.mark.parametrize("chat", [IN_OPENAI, IN_ANTHROPIC], ids=["openai", "anthropic"])
def test_what_tools_returned_is_cited_by_number_and_by_step(chat):
    """Step 3 is the lake and step 4 the castle, numbers 1 and 2; earlier turns ("The castle is red.") are no evidence."""
    found = check(None, messages=chat)
    assert [one.id for one in found.documents] == ["step 3: result of search", "step 4: result of look"]
    assert said(found) == STANDINGS
    assert (len(found.sentences), found.run["query"]) == (3, ASKED)
    red = check(None, "The castle is red [2].", messages=chat)
    assert (said(red), red.unsupported) == ([(2, "wrong")], [0])


@pytest.mark.parametrize("chat", [IN_OPENAI, IN_ANTHROPIC], ids=["openai", "anthropic"])
def test_with_a_model_the_chat_is_the_prompt(tiny, chat, monkeypatch):
    """With every document the prompt is the chat before the answer; what the marks name is as without a model."""
    prompts = []
    monkeypatch.setattr("llmattr.context.behind.check_length", lambda _, prompt: prompts.append(prompt))
    found = check(tiny, messages=chat)
    assert [one for one, _ in said(found)] == [one for one, _ in STANDINGS]
    assert [one.alone is None for one in found.sentences[0].supports] == [False, False]
    full = prompts[0].full()
    whole = tiny.tokenizer.decode(full.ids[: full.response.start])
    for text in (ASKED, "The castle is red.", LAKE, CASTLE):
        assert whole.count(text) == 1
    assert "90" not in whole


def test_what_a_result_gives_is_what_is_lost_without_it_in_the_chat(tiny):
    found, one = check(tiny, messages=IN_OPENAI), answered(IN_OPENAI)
    prompt = Prompt(tiny.tokenizer, one.chat, cut(one.chat, "documents")).with_response(found.answer)
    values = ContextAblation(tiny, prompt, prompt.targets(), Store())(np.array([[1, 1], [0, 0], [1, 0], [0, 1]], dtype=bool))
    for t, sentence in enumerate(found.sentences, 1):
        np.testing.assert_allclose([of.alone for of in sentence.supports], values[2:, t] - values[1, t], atol=1e-4)
        np.testing.assert_allclose([of.needed for of in sentence.supports], values[0, t] - values[:1:-1, t], atol=1e-4)


def test_documents_stand_in_the_chat_or_are_marked_in_it():
    stands = [(1, "needed"), (2, "needed"), (1, "needed")]
    assert said(check(None, messages=IN_WORDS, context=[LAKE, CASTLE])) == stands
    parts = [{"type": "document", "text": text} for text in (LAKE, CASTLE)]
    marked = [{"role": "user", "content": [*parts, {"type": "text", "text": ASKED}]}, IN_WORDS[1]]
    assert said(check(None, messages=marked)) == stands
    filled = [{"role": "user", "content": "{context}\n\n" + ASKED}, IN_WORDS[1]]
    assert said(check(None, messages=filled, context=[LAKE, CASTLE])) == stands


def test_documents_that_are_marked_go_before_what_tools_returned():
    chat = [
        {"role": "user", "content": [{"type": "document", "text": CASTLE}, {"type": "text", "text": ASKED}]},
        *IN_OPENAI[2:],
    ]
    assert [one.text for one in answered(chat).documents] == [CASTLE]


def test_a_vendors_citations_of_the_last_turn_are_read():
    cited = [{"type": "char_location", "document_index": 1, "cited_text": CASTLE, "start_char_index": 0, "end_char_index": 42}]
    parts = [{"type": "document", "source": {"type": "text", "data": text}} for text in (LAKE, CASTLE)]
    last = [{"type": "text", "text": "The castle belongs to the duke of Norfolk.", "citations": cited}]
    found = check(
        None,
        messages=[
            {"role": "user", "content": [*parts, {"type": "text", "text": ASKED}]},
            {"role": "assistant", "content": last},
        ],
    )
    assert said(found) == [(2, "needed")]


def test_an_answer_of_ones_own_stands_in_the_place_of_the_last_turn_or_behind_the_chat():
    for chat in (IN_OPENAI, IN_OPENAI[:-1]):
        one = answered(chat, "The lake is cold [1].")
        assert (one.answer, len(one.chat)) == ("The lake is cold [1].", 5)
        assert said(check(None, "The lake is cold [1].", messages=chat)) == [(1, "needed")]


def test_observations_in_the_users_name_are_results_and_ask_nothing():
    chat = [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": "Thought: I look.\nAction: search[lake]"},
        {"role": "user", "content": f"Observation: {LAKE}"},
        {"role": "assistant", "content": "Thought: It is 90 [1].\nFinal Answer: The lake is 80 metres deep [step 3]."},
    ]
    found = check(None, messages=chat)
    assert said(found) == [(1, "needed")]
    assert (found.run["query"], found.documents[0].id) == (ASKED, "step 3: result of search")


@pytest.mark.parametrize("chat", [OPENAI, ANTHROPIC, RESPONSES], ids=["openai", "anthropic", "responses"])
def test_results_are_called_as_among_all_steps(chat):
    """By the id that `cite` gives the same result as one of the steps."""
    one, steps = answered(chat), conversation(None, None, take_answer(chat)[0])
    names = {document.text: document.id for message in steps for document in message.documents}
    assert [document.id for document in one.documents] == [names[document.text] for document in one.documents]
    assert (one.answer, one.documents[0].id) == ("It is deep.", "step 3: result of search")


BAD = {
    "no answer": (IN_OPENAI[:-1], None, "there is no answer: the last of the messages is of the role 'tool'"),
    "asks last": (IN_OPENAI[:2], None, "there is no answer: the last of the messages is of the role 'user'"),
    "only thinks": ([*IN_OPENAI[:-1], {"role": "assistant", "content": f"<think>{WRONG}</think>"}], None, "says nothing"),
    "only calls": (IN_OPENAI[:3], None, "no tool returned a text"),
    "no tools": ([IN_OPENAI[1], IN_OPENAI[-1]], None, "no tool returned a text"),
    "twice": ([*IN_OPENAI, IN_OPENAI[-1]], None, "are both the assistant's"),
    "nobody else": ([IN_OPENAI[-1]], None, "only what the assistant said"),
    "elsewhere": (IN_OPENAI, ["It is a wood."], "do not stand in the messages"),
    "another order": (IN_WORDS, [CASTLE, LAKE], "in the order of their numbers"),
    "marked too": ([{"role": "user", "content": [{"type": "document", "text": LAKE}]}, IN_WORDS[1]], [LAKE], "marked"),
    "no chat": ([], None, "must be a list"),
}


@pytest.mark.parametrize(("chat", "documents", "message"), BAD.values(), ids=BAD)
def test_what_is_no_chat_to_check_is_told(chat, documents, message):
    with pytest.raises(LlmattrError, match=message):
        check(None, messages=chat, context=documents)


def test_a_query_stands_in_the_chat_and_an_answer_somewhere():
    with pytest.raises(LlmattrError, match="the query is in the messages"):
        check(None, messages=IN_OPENAI, query="How deep?")
    with pytest.raises(LlmattrError, match="there is no answer"):
        check(None, context=[LAKE])


class TestCommand:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)

        def call(chat, *arguments):
            (tmp_path / "chat.json").write_text(json.dumps(chat))
            code = main(["check", "--messages", "chat.json", "--quick", *arguments])
            return code, *capsys.readouterr()

        return call

    @pytest.mark.parametrize("chat", [IN_OPENAI, IN_ANTHROPIC, {"messages": IN_OPENAI, "tools": []}])
    def test_a_chat_ends_with_the_answer(self, run, tmp_path, chat):
        code, out, err = run(chat, "--json", "out.json", "--fail-on", "wrong")
        assert (code, err) == (1, "")
        assert "[step 3] does not support (step 3: result of search" in out
        assert [one["standing"] for one in json.loads((tmp_path / "out.json").read_text())["markers"]] == [
            s for _, s in STANDINGS
        ]

    def test_a_chat_from_standard_input(self, run, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(IN_OPENAI).encode()), "utf-8"))
        code, out, _ = run(IN_OPENAI, "--messages", "-")
        assert (code, "1 of 3 markers hold" in out) == (0, True)

    def test_an_answer_and_documents_beside_it(self, run, tmp_path):
        (tmp_path / "answer.txt").write_text("The castle belongs to the duke of Norfolk [1].")
        (tmp_path / "castle.txt").write_text(CASTLE)
        code, out, _ = run(IN_WORDS, "answer.txt", "--documents", "castle.txt", "--fail-on", "wrong,unsupported")
        assert (code, "1 of 1 markers hold" in out) == (0, True)

    def test_with_a_model(self, run, tiny_folder, capsys):
        assert run(IN_ANTHROPIC)[0] == 0
        assert main(["check", "--messages", "chat.json", "--model", str(tiny_folder), "--no-cache"]) == 0
        assert "nats alone" in capsys.readouterr().out

    def test_rows_have_chats(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        rows = [
            {"id": "a", "messages": IN_OPENAI},
            {"messages": IN_OPENAI[:-1], "answer": "The lake is cold [1]."},
            {"id": "c"},
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["check", "--questions", "rows.jsonl", "--quick", "--json", "out.jsonl"]) == 0
        first, second, third = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
        assert [[one["standing"] for one in row["markers"]] for row in (first, second)] == [
            [s for _, s in STANDINGS],
            ["needed"],
        ]
        assert third["error"] == "the row has no 'answer', and no 'messages' that end with one"
        assert "1 of them not answered" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("chat", "arguments", "message"),
        [
            (IN_OPENAI[:-1], (), "there is no answer"),
            (IN_OPENAI, ("--query", "When?"), "--query would be of no use: what was asked is in --messages"),
            (IN_OPENAI, ("--questions", "chat.json", "--json", "out.jsonl"), "--messages would be of no use"),
            ("Hello.", (), "chat.json is no chat"),
        ],
    )
    def test_bad_input_is_one_line(self, run, chat, arguments, message):
        code, out, err = run(chat, *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
