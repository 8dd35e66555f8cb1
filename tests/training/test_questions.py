"""Questions as people ask them: about a part of an answer, and in the form of the rows."""

import json
import warnings
from typing import ClassVar

import numpy as np
import pytest
import torch

from llmattr.cli import main
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.batches import make_batch
from llmattr.model.lm import LM
from llmattr.text.questions import in_form, of_chat, only_spans
from llmattr.text.rows import tokenize
from llmattr.training import METHODS
from llmattr.training.asked import carrying
from llmattr.training.gradients.capture import exact_gradients
from llmattr.training.gradients.layers import linear_layers
from llmattr.training.gradients.passes import token_losses
from llmattr.training.trace import build_index
from tests import tiny_models
from tests.training.test_trace_methods import IDENTITY, dense
from tests.training.test_training import ASKED, ROWS

EXACT = {"projection": IDENTITY, "row_type": "float32"}
SPAN = "blue and green"
BLOCKS = METHODS["grad-dot"](parameters="blocks")  # a head that is tied to the embedding has its gradient, too, by autograd


@pytest.fixture(scope="module")
def lm():
    return LM(tiny_models.gpt2().double(), tiny_models.tokenizer(), "gpt2")


def masked_gradient(lm, ids, counted):
    """By autograd: the gradient of the loss of these tokens alone, and their losses."""
    tokens = torch.tensor([ids])
    logprobs = lm.model(tokens).logits[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
    losses = -logprobs[torch.tensor(counted[1:])]
    lm.model.zero_grad()
    losses.sum().backward()
    found = [module.weight.grad.flatten() for module in linear_layers(lm).values()]  # of Conv1D, [i, o] as it is
    lm.model.zero_grad()
    return torch.cat(found).numpy(), losses.detach().numpy()


def places_of(lm, ids, text):
    """Which tokens' characters, each decoded with all before it, overlap the last place of the text."""
    ends = [len(lm.tokenizer.decode(ids[: k + 1])) for k in range(len(ids))]
    start = lm.tokenizer.decode(ids).rindex(text)
    return [end > start and before < start + len(text) for before, end in zip([0, *ends], ends, strict=False)]


class TestSpan:
    @pytest.mark.parametrize("span", ["green", "blue and", "n.", "blue and green."])
    def test_a_span_is_the_gradient_of_its_tokens_alone(self, lm, tmp_path, span):
        """Its scores are products of rows' gradients with that of a loss of which every other token is masked, by autograd."""
        index = build_index(lm, ROWS, tmp_path / "i", BLOCKS, **EXACT)
        (ids,) = tokenize([ASKED], lm.tokenizer).ids
        gradient, losses = masked_gradient(lm, ids, places_of(lm, ids, span))
        rows = exact_gradients(lm, tokenize(ROWS, lm.tokenizer), linear_layers(lm)).numpy()
        found = index.query({**ASKED, "span": span}, None)
        np.testing.assert_allclose(dense(found)[0], rows @ gradient, rtol=1e-4, atol=1e-6 * np.abs(rows @ gradient).max())
        assert span.strip() in found.targets.texts[0]
        assert found.asked[0]["completion"] == ASKED["completion"]
        assert [loss for _, loss in found.details["loss"][0]] == pytest.approx(losses, rel=1e-6)  # float32 logits

    @pytest.mark.parametrize("kind", ["llama", "gpt2", "t5", "bert"])
    def test_the_gradients_of_a_span_and_of_what_is_left_add_up(self, kind):
        """Whatever the model reads and is asked for stays: a masked model's other answers stay masked."""
        tokenizer = tiny_models.tokenizer()
        tokenizer.add_special_tokens({"mask_token": "<|im_start|>"})
        lm = LM(getattr(tiny_models, kind)().double(), tokenizer)
        parts = [ASKED, {**ASKED, "span": "blue"}, {**ASKED, "span": " and green."}]
        examples = only_spans(tokenize(parts, tokenizer, model=lm.kind), tokenizer)
        whole, blue, rest = exact_gradients(lm, examples, linear_layers(lm))
        missing = examples.counted[0] & ~(examples.counted[1] | examples.counted[2])
        assert not missing.any()
        rounding = 1e-5 if kind in ("llama", "t5") else 1e-10  # their norms compute in float32, whatever the model's type is
        assert (blue + rest - whole).norm() < rounding * whole.norm()

    def test_its_tokens_add_up_to_it(self, lm, tmp_path):
        index = build_index(lm, ROWS, tmp_path / "i", "grad-dot", **EXACT)
        asked = {**ASKED, "span": SPAN}
        whole, parts = index.query(asked, None), index.query(asked, None, tokens=True)
        assert parts.response == SPAN
        np.testing.assert_allclose(dense(parts).sum(0), dense(whole)[0], rtol=1e-4, atol=1e-6 * np.abs(whole.values).max())

    def test_only_some_of_several_queries_have_one(self, lm, tmp_path):
        index = build_index(lm, ROWS, tmp_path / "i", "grad-cos", **EXACT)
        both = index.query([{**ASKED, "span": None}, {**ASKED, "span": "blue"}], None)
        alone = [index.query(asked, None) for asked in (ASKED, {**ASKED, "span": "blue"})]
        np.testing.assert_allclose(
            dense(both), np.concatenate([dense(one) for one in alone]), rtol=0, atol=1e-6
        )  # float32 rows
        assert list(both.targets.texts) == [ASKED["completion"], "blue"]

    def test_a_tokenizer_of_small_letters(self):
        tokenizer = tiny_models.tokenizer()
        from tokenizers import normalizers

        tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
        examples = tokenize([{"prompt": "It is ", "completion": "Blue and Green.", "span": "Green"}], tokenizer)
        counted = only_spans(examples, tokenizer).counted[0]
        assert tokenizer.decode(np.array(examples.ids[0])[counted].tolist()).strip() == "green"

    def test_what_is_no_part_of_the_answer(self, lm, tmp_path):
        index = build_index(lm, ROWS, tmp_path / "i", "grad-dot")
        for span in ("Ship", "red", " ", ""):
            with pytest.raises(LlmattrError, match=r"query 1 does not say .*of it the loss counts 'blue and green\.'"):
                index.query([ASKED, {**ASKED, "span": span}])
        with pytest.raises(LlmattrError, match="the span of query 0 must be text, not 3"):
            index.query({**ASKED, "span": 3})
        with pytest.warns(LlmattrNote, match="'n' stands 2 times in the answer of query 0: the first is asked about"):
            index.query({**ASKED, "span": "n"})

    @pytest.mark.parametrize("method", ["bm25", "rep-sim"])
    def test_what_compares_whole_rows_has_no_part(self, lm, tmp_path, method):
        index = build_index(lm, ROWS, tmp_path / "i", method)
        with pytest.raises(LlmattrError, match=f"{method} compares whole rows: it has no score of a part of an answer"):
            index.query({**ASKED, "span": "blue"})


class TestLosses:
    @pytest.mark.parametrize("kind", ["llama", "gpt2", "t5", "bert"])
    def test_they_are_the_models_own(self, kind, monkeypatch):
        """`-log p` by the whole model's logits, row by row without padding; the head's logits in chunks of three places."""
        tokenizer = tiny_models.tokenizer()
        tokenizer.add_special_tokens({"mask_token": "<|im_start|>"})
        lm = LM(getattr(tiny_models, kind)().double(), tokenizer)
        examples = tokenize(ROWS[:3], tokenizer, model=lm.kind)
        monkeypatch.setattr("llmattr.training.gradients.passes.HEAD_LOGITS", 3 * 400)
        found = token_losses(lm, examples)
        monkeypatch.undo()
        for row, losses in enumerate(found):
            batch = make_batch(lm, examples, [row])
            logprobs = lm.model(**batch.inputs).logits[batch.at].log_softmax(-1).gather(1, batch.labels[:, None])
            np.testing.assert_allclose(losses, -logprobs[:, 0].detach(), rtol=1e-5)  # norms of llama and t5 are float32

    def test_few_tokens_with_most_of_the_loss_are_named(self, lm, tmp_path, monkeypatch):
        index = build_index(lm, ROWS, tmp_path / "i", "grad-dot")
        count = int(tokenize([ASKED], lm.tokenizer).counted[0].sum())

        def one_hot(lm, queries):
            return [np.eye(counted.sum())[0] for counted in queries.counted]

        monkeypatch.setattr("llmattr.training.asked.token_losses", one_hot)
        with pytest.warns(
            LlmattrNote, match=rf"1 of {count} tokens carry 80% of the loss of query 0, first of all 'b\w*'; so it"
        ):
            index.query([ASKED, ASKED])
        for silent in ({"queries": {**ASKED, "span": SPAN}}, {"queries": ASKED, "tokens": True}):
            with warnings.catch_warnings():
                warnings.simplefilter("error", LlmattrNote)
                index.query(**silent)

    def test_what_few_is(self):
        assert carrying(np.array([5.0, 5.0, *[0.1] * 6])) == 2  # a quarter of 8
        assert carrying(np.array([5.0, 5.0, *[0.1] * 5])) == 0  # seven are too few to speak of
        assert carrying(np.array([4.0, 4.0, 4.0, *[0.1] * 6])) == 0  # a third
        assert carrying(np.zeros(12)) == 0


TALK = [{"role": "user", "content": "Which colour has ship 5 of the canal?"}, {"role": "assistant", "content": "It is blue."}]
CHATS = [
    {"messages": [{"role": "user", "content": f"Ship {i}?"}, {"role": "assistant", "content": ROWS[i]["completion"]}]}
    for i in range(8)
]


class TestChats:
    """Of an index of chats a prompt is the user's turn, as the rows were trained."""

    asked: ClassVar = {"prompt": "Ship 5?", "completion": "blue and green."}

    @pytest.mark.parametrize("form", ["messages", "prompt"])
    def test_a_prompt_is_asked_as_the_user(self, lm, tmp_path, form):
        parted = [{"prompt": row["messages"][:1], "completion": row["messages"][1:]} for row in CHATS]
        index = build_index(lm, CHATS if form == "messages" else parted, tmp_path / "i", "grad-cos", **EXACT)
        with warnings.catch_warnings():
            warnings.simplefilter("error", LlmattrNote)
            found = index.query(self.asked, None)
        np.testing.assert_allclose(dense(found)[0, 5], 1, atol=1e-6)  # the cosine of a row with itself, in float32
        assert found.asked == [{"prompt": "user: Ship 5?\nassistant: ", "completion": "blue and green."}]
        assert found.targets.texts == ["blue and green."]

    def test_a_prompt_that_a_template_has_written_stays(self, lm, tmp_path):
        index = build_index(lm, CHATS, tmp_path / "i", "grad-cos", **EXACT)
        written = lm.tokenizer.apply_chat_template(CHATS[5]["messages"][:1], tokenize=False, add_generation_prompt=True)
        with pytest.warns(LlmattrNote, match="of the queries the loss counts the completion's tokens"):
            raw = index.query({"prompt": written, "completion": "blue and green.<|im_end|>\n"}, None)
        np.testing.assert_allclose(dense(raw)[0, 5], 1, atol=1e-6)

    def test_a_template_without_special_tokens(self):
        tokenizer = tiny_models.tokenizer("{% for m in messages %}{{ m.role + ': ' + m.content + '. ' }}{% endfor %}")
        assert in_form(self.asked, CHATS[0], tokenizer)["messages"][0] == {"role": "user", "content": "Ship 5?"}
        written = {"prompt": "user: Ship 5?. assistant: ", "completion": "blue."}
        assert in_form(written, CHATS[0], tokenizer) == written

    def test_of_a_chat_the_last_turn_is_asked_about(self, lm, tmp_path):
        """As a chat that is given in two parts, of which the completion counts."""
        index = build_index(lm, CHATS, tmp_path / "i", "grad-dot", **EXACT)
        more = [*TALK, {"role": "user", "content": "And 6?"}, {"role": "assistant", "content": "A deep dark grey."}]
        found = index.query(of_chat(more), None)
        assert list(found.targets.texts) == ["A deep dark grey."]
        assert found.asked[0]["prompt"].endswith("assistant: It is blue.\nuser: And 6?\nassistant: ")
        whole = index.query({"messages": more}, None)
        assert not np.allclose(dense(whole), dense(found), rtol=0.1)
        said = index.query({"messages": more, "span": "deep dark"}, None)
        assert said.targets.texts[0].strip() == "deep dark"

    def test_a_completion_after_a_chat(self):
        assert of_chat(TALK[:1], "Red.") == {"prompt": TALK[:1], "completion": "Red."}
        assert of_chat(TALK) == {"messages": TALK}
        with pytest.raises(LlmattrError, match="the chat ends with a turn of 'user': end it with the assistant's, or give"):
            of_chat(TALK[:1])


def test_the_command_line(tmp_path, tiny_folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, CHATS)))
    (tmp_path / "chat.json").write_text(json.dumps({"messages": CHATS[5]["messages"]}))
    assert main(["trace", "index", "--data", "chats.jsonl", "--out", "i", "--model", str(tiny_folder), "grad-cos"]) == 0

    def asked(*options):
        code = main(["trace", "query", "i", *options, "--top", "8", "--json", "o.json", "--html", "o.html"])
        return code, capsys.readouterr(), json.loads((tmp_path / "o.json").read_text()) if code == 0 else {}

    chat, plain = asked("--messages", "chat.json")[2], asked("--prompt", "Ship 5?", "--completion", "blue and green.")[2]
    assert chat["targets"][0]["values"] == plain["targets"][0]["values"]
    assert chat["asked"] == [{"prompt": "user: Ship 5?\nassistant: ", "completion": "blue and green."}]
    other = asked("--messages", "chat.json", "--completion", "red.")[2]["asked"][0]
    assert other == {"prompt": "user: Ship 5?\nassistant: blue and green.\nassistant: ", "completion": "red."}
    part = asked("--messages", "chat.json", "--span", "green")[2]
    assert part["targets"][0]["text"].strip() == "green"
    assert "Its loss, token by token" in (tmp_path / "o.html").read_text()
    against = asked("--messages", "chat.json", "--rather-than", "red.")
    assert "blue and green. (rather than red.)" in against[1].out
    assert against[2]["asked"][0]["rather_than"] == "red."
    for options, message in {
        ("--messages", "chat.json", "--span", "red"): "query 0 does not say 'red'",
        ("--messages", "chat.json", "--prompt", "x"): "--prompt would be of no use",
        ("--messages", "chat.json", "--queries", "chats.jsonl"): "and not both",
        ("--queries", "chats.jsonl", "--span", "red"): "--span: of one question; give the rows of 'chats.jsonl' a column",
    }.items():
        code, said, _ = asked(*options)
        assert code == 2
        assert message in said.err
