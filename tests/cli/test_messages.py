"""`llmattr cite --messages`: a chat as a user gives it."""

import io
import json

import pytest

from llmattr.cli import main
from tests.text.test_chats import ANTHROPIC, FORMS, OPENAI


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys):
    """Call `llmattr cite --messages chat.json` with this chat and further arguments."""
    monkeypatch.chdir(tmp_path)

    def call(chat, *arguments):
        (tmp_path / "chat.json").write_text(chat if isinstance(chat, str) else json.dumps(chat), encoding="utf-8")
        given = ["--model", str(tiny_folder), "--dtype", "float32", "--no-cache", *arguments]
        code = main(["cite", "--messages", "chat.json", *given])
        out, err = capsys.readouterr()
        made = tmp_path / "out.json"
        return code, out, err, json.loads(made.read_text()) if made.exists() else {}

    return call


def test_every_form_gives_the_same_scores_with_the_names_of_the_steps(run):
    found = [run(chat, "leave-one-out", "--json", "out.json") for chat in FORMS.values()]
    assert {code for code, *_ in found} == {0}
    results = [result for *_, result in found]
    assert [s["document"] for s in results[0]["sources"]] == [
        *["step 2: reasoning"] * 2,
        "step 2: assistant",
        *["step 3: result of search"] * 2,
    ]
    assert {json.dumps([t["values"] for t in one["targets"]]) for one in results} == {
        json.dumps([t["values"] for t in results[0]["targets"]])
    }


def test_the_answer_or_the_reasoning_is_attributed(run):
    for target, text in (("answer", "It is deep."), ("reasoning", "So it is deep.")):
        code, *_, result = run(ANTHROPIC, "leave-one-out", "--target", target, "--json", "out.json")
        assert code == 0
        assert [one["text"] for one in result["targets"]] == [text, text]
        assert result["response"].endswith("It is deep.")
    code, _, err, _ = run([*OPENAI[:3], {"role": "assistant", "content": "Deep."}], "--target", "reasoning")
    assert (code, err.count("\n")) == (2, 1)
    assert "no reasoning" in err


def test_a_response_of_ones_own_stands_in_the_place_of_the_last_turn(run):
    code, *_, result = run(OPENAI, "leave-one-out", "--response", "It is cold.", "--json", "out.json")
    assert (code, result["response"]) == (0, "It is cold.")
    assert len(result["sources"]) == 5


def test_steps_are_sources_where_documents_are(run):
    code, _, _, result = run(OPENAI, "leave-one-out", "--sources", "documents", "--json", "out.json")
    assert code == 0
    assert [s["id"] for s in result["sources"]] == ["step 2: reasoning", "step 2: assistant", "step 3: result of search"]


def test_one_steps_sentences_have_the_scores_that_they_have_among_all(run):
    """Leave-one-out takes one sentence away and keeps all else, whatever else could be removed: the prompts are the same."""
    (_, _, _, whole), (code, _, _, alone) = (
        run(OPENAI, "leave-one-out", "--no-verify", "--json", "out.json", *step) for step in ((), ("--step", "3"))
    )
    assert (code, [source["document"] for source in alone["sources"]]) == (0, ["step 3: result of search"] * 2)
    for one, other in zip(alone["targets"], whole["targets"], strict=True):
        assert one["values"] == pytest.approx(other["values"][-2:], abs=1e-4)  # rounding of float32, in other batches


def test_from_standard_input(run, monkeypatch, capsys, tiny_folder):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(OPENAI).encode())))
    assert main(["cite", "--messages", "-", "--model", str(tiny_folder), "--no-cache", "leave-one-out"]) == 0
    assert "It is deep." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("chat", "arguments", "message"),
    [
        ([*OPENAI, OPENAI[-1]], (), "messages 4 and 5 are both the assistant's"),
        (OPENAI[2:], (), "the result of a call 'c', which no message before it makes"),
        ("Hello.", (), "chat.json is no JSON"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], (), "neither text nor a document"),
        (OPENAI, ("--template", "{context}"), "--template would be of no use"),
        (OPENAI, ("--step", "9"), "step 9 is not there: before the answer are 3"),
        (OPENAI, ("--questions", "chat.json"), "--messages would be of no use"),
        (OPENAI, ("--index", "idx"), "--index would be of no use"),
    ],
)
def test_bad_input_is_one_line(run, chat, arguments, message):
    code, out, err, _ = run(chat, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
