"""cite() as a user calls it, on a tiny model."""

import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pytest

import llmattr
from llmattr import cite
from llmattr.ablation import one_out_masks, random_masks
from llmattr.context import METHODS
from llmattr.context.contract import Method
from llmattr.context.methods.surrogates import ContextCite
from llmattr.context.removal.ablation import ContextAblation, Store, values
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM, fast_dtype
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut
from tests import tiny_models
from tests.text.chat_templates import TEMPLATES

CONTEXT = "The canal is long. It has locks. It opened in 1914. Ships pay a toll. The lake is high."
ANSWER = "It opened in 1914. It has locks."


@pytest.fixture(scope="module")
def result(tiny):
    return cite(tiny, CONTEXT, "When did it open?", response=ANSWER)


def test_the_whole_response_and_each_sentence_are_targets(result):
    assert list(result.targets.texts) == [ANSWER, "It opened in 1914.", "It has locks."]
    assert result.values.shape == result.stderr.shape == (3, 5)
    assert result.response == ANSWER
    assert result.run["forward_passes"] <= 32  # 2^5 masks at the most
    assert result.method == {"name": "screening", "n_ablations": 32, "prior": "alone"}
    assert result.lds.shape == (3,)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_batch_size_and_padding_side_of_absolute_positions(name):
    """`check_method` (tests/test_conformance.py) tries every method on rotary positions; these shift with the padding."""
    fields = {field.name for field in dataclasses.fields(METHODS[name])}
    method = METHODS[name](**{"bootstraps": 10} if "bootstraps" in fields else {})  # 100 take most of the time
    model, tokenizer = tiny_models.gpt2().double(), tiny_models.tokenizer()
    one, *others = (
        cite(LM(model, tokenizer, "", size, side), CONTEXT, "When?", response=ANSWER, method=method, verify=False).values
        for size, side in ((1, "left"), (4096, "left"), (4096, "right"))
    )
    for other in others:
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_a_loaded_result_attributes_no_further_spans(result, tmp_path):
    with pytest.raises(LlmattrError, match="only a fresh result"):
        Attribution.load(result.save(tmp_path / "a.json")).span("It")


@pytest.fixture(scope="module")
def ablation(tiny):
    chat = conversation(CONTEXT, "When?")
    prompt = Prompt(tiny.tokenizer, chat, cut(chat, "sentences")).with_response(ANSWER)
    return ContextAblation(tiny, prompt, prompt.targets())


def test_leave_one_out_is_its_definition(tiny, ablation):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method="leave-one-out")
    full, *without = ablation(one_out_masks(5))
    for source in range(5):
        np.testing.assert_allclose(result.values[:, source], full - without[source], atol=1e-10)
    np.testing.assert_allclose(result.predict(np.ones((1, 5), dtype=bool))[0], full, atol=1e-10)


def test_a_further_span_costs_no_forward_pass(counted):
    lm, asked = counted
    result = cite(lm, CONTEXT, "When did it open?", response=ANSWER)
    before = list(asked)
    span = result.span("opened in 1914")
    assert span.targets.texts == ["opened in 1914"]
    assert span.values.shape == (1, 5)
    assert result.span((3, 9)).targets.texts == ["opened"]
    assert sum(asked) == sum(before)


def test_no_mask_is_run_twice(counted):
    lm, asked = counted
    cite(lm, "One. Two. Three.", "What?", response=ANSWER)
    assert sum(asked) <= 8


def test_masks_in_any_order_give_equal_rows(ablation):
    masks = random_masks(20, 5)
    backwards = dataclasses.replace(ablation, store=Store())(masks[::-1])
    np.testing.assert_allclose(ablation(masks), backwards[::-1], atol=1e-10)


def test_span_logits_are_finite_and_right():
    logprobs = np.array([[np.log(0.5), np.log(0.5)], [-1e-20, -1e-30], [0.0, 0.0], [-800.0, -100.0]])
    found = values(logprobs, np.array([[0, 2], [1, 2]]))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], [np.log(0.25 / 0.75), 0.0], atol=1e-12)
    np.testing.assert_allclose(found[1], [20 * np.log(10), 30 * np.log(10)])  # odds of p = 1 - e are 1/e
    np.testing.assert_allclose(found[3], [-900.0, -100.0])


def test_generation_messages_and_documents(tiny):
    documents = [{"text": "The canal is long. It has locks.", "title": "Canal", "id": "c"}, "Ships pay a toll."]
    with pytest.warns(LlmattrNote, match="cut off at 8 tokens"):
        result = cite(tiny, documents, "When?", max_new_tokens=8)
    assert result.response
    assert [s.document for s in sorted(result[0].top(3), key=lambda s: s.source)] == ["c", "c", "2"]
    chat = [{"role": "system", "content": "Use: {context}"}, {"role": "user", "content": "When?"}]
    answered = cite(tiny, CONTEXT, messages=[*chat, {"role": "assistant", "content": ANSWER}])
    assert answered.response == ANSWER


@pytest.mark.parametrize("kind", ["documents", "paragraphs", "sentences", "words", str.splitlines])
def test_every_kind_of_source(tiny, kind):
    result = cite(
        tiny,
        ["First one.\n\nSecond one.", "Third one. Fourth one."],
        "What?",
        response="One.",
        sources=kind,
        method=ContextCite(8),
    )
    assert result.sources.groups.tolist() == sorted(result.sources.groups.tolist())
    assert len(result.sources) == {"documents": 2, "paragraphs": 3, "sentences": 4, "words": 8}.get(kind, 3)


def test_one_source_is_answered_by_leave_one_out(tiny):
    with pytest.warns(LlmattrNote, match="only one source"):
        result = cite(tiny, "One source.", "What?", response=ANSWER)
    assert result.method["name"] == "leave-one-out"
    assert result.values.shape == (3, 1)


def test_a_model_without_a_chat_template_says_so():
    plain = LM(tiny_models.gpt2(), tiny_models.tokenizer(template=None), "plain")
    with pytest.warns(LlmattrNote, match="plain has no chat template"):
        assert cite(plain, CONTEXT, "When?", response=ANSWER).values.shape == (3, 5)


def test_a_loaded_pair_and_a_folder(tiny_folder):
    """A name is loaded in the type that is fast on this processor, every time; a pair keeps its own."""
    by_name = cite(str(tiny_folder), CONTEXT, "When?", response=ANSWER, method=ContextCite(n_ablations=4))
    assert by_name.run["dtype"] == fast_dtype("cpu")
    loaded = LM.load(str(tiny_folder), "fast")
    by_pair = cite((loaded.model, loaded.tokenizer), CONTEXT, "When?", response=ANSWER, method=ContextCite(n_ablations=4))
    np.testing.assert_array_equal(by_pair.values, by_name.values)


def test_the_result_reads_well(result, tmp_path):
    top = result[0].top(2)
    assert [s.rank for s in top] == [1, 2]
    assert top[0].score == result.values[0].max()
    assert len(result.top(2)) == 6
    frame = result.to_frame()
    assert len(frame) == 15
    assert {"target_text", "score", "stderr", "cited", "document"} <= set(frame.columns)
    assert "try [0].top(5)" in repr(result)
    assert len(list(result)) == len(result) == 3
    assert result[-1].targets.texts == ["It has locks."]
    with pytest.raises(IndexError):
        result[3]
    for name in ("a.json", "a.html", "a.md"):
        assert result.save(tmp_path / name).read_text(encoding="utf-8")
    with pytest.raises(LlmattrError, match=r"saved as \.json, \.html, \.md"):
        result.save(tmp_path / "a.pkl")


def test_the_json_has_the_stated_fields(result, tmp_path):
    saved = json.loads(result.save(tmp_path / "a.json").read_text(encoding="utf-8"))
    assert {"unit", "method", "run", "response", "sources", "targets"} <= set(saved)
    assert saved["sources"][1] | {"group": 0} == {
        "id": "context#1", "text": "It has locks.", "start": 19, "end": 32, "document": "context", "group": 0,
        "block": "paragraph", "quotable": True,
    }  # fmt: skip
    assert saved["targets"][2]["text"] == "It has locks."
    assert [len(target["values"]) for target in saved["targets"]] == [5, 5, 5]
    assert ANSWER[saved["targets"][2]["start"] : saved["targets"][2]["end"]] == "It has locks."
    (tmp_path / "b.json").write_text('{"unit": 1}')
    with pytest.raises(LlmattrError, match="not a saved attribution"):
        Attribution.load(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "contxt-cite"}, "unknown method 'contxt-cite'; did you mean 'context-cite'"),
        ({"method": ContextCite(n_ablations=1)}, "n_ablations must be 2 or more"),
        ({"method": ContextCite(keep=1.5)}, "keep must lie between 0 and 1"),
        ({"sources": "sentance"}, "did you mean 'sentences'"),
        ({"context": ""}, "the context is empty"),
        ({"query": ""}, "the query is empty"),
        ({"response": " "}, "the response is empty"),
    ],
)
def test_bad_input(tiny, change, message):
    given = {"context": CONTEXT, "query": "When?", "response": ANSWER, **change}
    with pytest.raises(LlmattrError, match=message):
        cite(tiny, **given)


def test_a_span_that_is_not_there(result):
    with pytest.raises(LlmattrError, match="the response does not contain 'built in 1889'"):
        result.span("built in 1889")
    for span in ((5, 5), (0, 999), (-3, 2), (18, 19)):
        with pytest.raises(LlmattrError, match="no part of the response"):
            result.span(span)


def test_public_names():
    assert set(llmattr.__all__) <= set(dir(llmattr))
    for name in llmattr.__all__:
        assert getattr(llmattr, name) is not None
    with pytest.raises(AttributeError):
        _ = llmattr.nothing


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"messages": "hello"}, "messages must be a list"),
        ({"messages": ["hello"]}, "message 1 must be"),
        ({"messages": [{"role": "assistant"}]}, "message 1 must be"),
        ({"context": 3}, "the context must be"),
        ({"context": b"x"}, "the context must be"),
        ({"query": 3}, "the query must be text"),
        ({"response": 3}, "the response must be text"),
        ({"method": None}, "a method is a name"),
        ({"context": "a \ud800 b"}, "not valid Unicode at character 2"),
        ({"method": partial(ContextCite, n_ablations=64.5)}, "n_ablations must be 2 or more and whole"),
        ({"max_new_tokens": 0, "response": None}, "max_new_tokens must be 1 or more"),
        ({"sources": None}, "unknown sources None"),
        ({"model": tiny_models.llama()}, "the model must be a name"),
        ({"model": 3}, "the model must be a name"),
        ({"seed": None}, "seed must lie between"),
    ],
)
def test_wrong_types(unchecked, given, message):
    pair = (tiny_models.llama(), tiny_models.tokenizer())
    if isinstance(given.get("method"), partial):
        given = {"method": given["method"]()}  # here, where no annotation is checked
    with pytest.raises(LlmattrError, match=message):
        cite(**{"model": pair, "context": "One. Two.", "query": "When?", "response": "Three.", **given})


@dataclass(frozen=True)
class Misspelt:
    name: ClassVar[str] = "misspelt"
    family: ClassVar[str] = "datamodel"

    def atribute(self, ablation, seed=0):
        raise AssertionError


@dataclass(frozen=True)
class Nameless:
    """A method without a family or a verb."""

    name: ClassVar[str] = "nameless"


def test_what_is_no_method_is_one_clear_error(tiny):
    for method in (Misspelt, Misspelt()):
        with pytest.raises(LlmattrError, match=r"the method Misspelt has no 'attribute': is 'atribute' meant for it\?"):
            cite(tiny, CONTEXT, "When?", response=ANSWER, method=method)
    with pytest.raises(LlmattrError, match=r"Nameless has no 'family', which llmattr.context.contract.Method describes"):
        cite(tiny, CONTEXT, "When?", response=ANSWER, method=Nameless)


def test_a_method_that_changes_its_sources_is_refused(tiny):
    @dataclass(frozen=True)
    class Changes:
        name: ClassVar[str] = "changes"
        family: ClassVar[str] = "predictive"

        def attribute(self, ablation, seed=0):
            found = llmattr.surrogate.leave_one_out(ablation)
            ablation.sources.texts[0] = "Other words."
            return found

    with pytest.raises(LlmattrError, match="changes changed what it was given, which others use after it"):
        cite(tiny, CONTEXT, "When?", response=ANSWER, method=Changes)


def test_no_masks_have_no_outputs(tiny):
    session = cite(tiny, CONTEXT, "When?", response=ANSWER, method="leave-one-out", verify=False).session
    outputs = session.ablation(np.empty((0, len(session.ablation.sources)), dtype=bool))
    assert outputs.shape == (0, len(session.ablation.targets))


def test_every_method_keeps_the_contract():
    assert all(isinstance(method(), Method) for method in METHODS.values())


class TestZoom:
    """Which words of a source matter, for what was asked."""

    def test_it_keeps_its_targets(self, result):
        """A slice's and a span's zoom are those rows of the whole's."""
        whole = result.zoom(1)
        np.testing.assert_array_equal(result[2].zoom(1).values, whole.values[2:])
        assert result[2].zoom(1).targets.texts == ["It has locks."]
        assert result.span("locks").zoom(1).targets.texts == ["locks"]

    def test_everything_left_is_the_prompt_itself(self, tiny):
        """f(all) does not depend on which parts can be removed."""
        documents = ["\n\nA lake.  It is wet. \n", "It has locks.\n\n"]
        found = cite(tiny, documents, "When?", response=ANSWER, method="leave-one-out", verify=False)
        ablation = found.session.ablation
        both = [one(np.ones((1, len(one.sources)), dtype=bool)) for one in (ablation, ablation.of_parts(1))]
        np.testing.assert_array_equal(*both)


def test_no_number_from_the_model_is_an_error_that_names_the_sources(tiny, monkeypatch):
    """Never "no effect"."""
    score = LM.score

    def broken(self, requests):
        full = max(len(request.ids) for request in requests)
        for i, found in score(self, requests):
            yield i, found if len(requests[i].ids) == full else np.full_like(found, np.nan)

    monkeypatch.setattr(LM, "score", broken)
    message = r"gives nan as log-probability of token 1 of the response where 1 of 5 sources are left out \('context#\d'\)"
    with pytest.raises(LlmattrError, match=message):
        cite(tiny, CONTEXT, "When?", response=ANSWER, method="leave-one-out")


class TestTools:
    """The tools that a model may call stand in its prompt, whichever form they are given in, and are no source."""

    TOOL = {"name": "search", "description": "finds a lake", "parameters": {"type": "object"}}  # noqa: RUF012
    OURS = {"type": "function", "function": TOOL}  # noqa: RUF012
    ANTHROPIC = {"name": "search", "description": "finds a lake", "input_schema": {"type": "object"}}  # noqa: RUF012

    @pytest.fixture(scope="class")
    def lm(self):
        return LM(tiny_models.llama(), tiny_models.tokenizer(TEMPLATES["qwen 2.5"]))

    def cited(self, lm, tools, **given):
        given = given or {"context": "The lake is deep. It is cold.", "query": "How deep?"}
        return cite(lm, **given, tools=tools, response="It is deep.", method="leave-one-out", verify=False)

    def test_they_stand_in_the_prompt_in_any_form(self, lm):
        found = self.cited(lm, [self.OURS])
        np.testing.assert_array_equal(found.values, self.cited(lm, [self.ANTHROPIC]).values)
        assert found.sources.texts == ["The lake is deep.", "It is cold."]
        assert not np.array_equal(found.values, self.cited(lm, ()).values)
        prompt = found.session.ablation.prompt
        for mask in ([True, True], [True, False]):
            assert "finds a lake" in lm.tokenizer.decode(prompt.render(np.array(mask)).ids)

    def test_what_they_returned_is_what_is_cited(self, lm):
        call = {"id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
        messages = [
            {"role": "user", "content": "How deep?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "The lake is deep. It is cold.", "tool_call_id": "1"},
        ]
        found = self.cited(lm, [self.OURS], messages=messages)
        assert found.sources.texts == ["The lake is deep.", "It is cold."]
        assert (found.values[0] != 0).any()


def test_a_first_look_is_refined_without_asking_again(counted):
    """What the cheap method asked for is known, and the better scores are those that it would have had alone."""
    lm, asked = counted
    first = cite(lm, CONTEXT, "When did it open?", response=ANSWER, method="alone", verify=False)
    assert sum(asked) == 6
    refined = first.refine("leave-one-out")
    assert sum(asked) == 12
    assert refined.run["query"] == "When did it open?"
    again = cite(lm, CONTEXT, "When did it open?", response=ANSWER, method="leave-one-out", verify=False)
    np.testing.assert_array_equal(refined.values, again.values)
    assert first.refine("alone").method == {"name": "alone"}
    assert sum(asked) == 12 + 6  # `again` alone


def test_only_a_fresh_result_is_refined(result, tmp_path):
    with pytest.raises(LlmattrError, match="only a fresh result of cite"):
        Attribution.load(result.save(tmp_path / "a.json")).refine("alone")


@pytest.mark.parametrize("without", [{"verify": False}, {"rather_than": "In 1915."}])
def test_a_judge_without_verdicts_is_refused_before_anything_is_loaded(without):
    with pytest.raises(LlmattrError, match="a judge counts in verdicts"):
        cite("nowhere", "It opened in 1914.", "When?", response="In 1914.", judge="nowhere", **without)
