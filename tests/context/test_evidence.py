"""Verdicts, what suffices, what says the same; levels, words and rival answers."""

import dataclasses
import json
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from llmattr import cite
from llmattr.ablation import random_masks
from llmattr.context.removal.ablation import ContextAblation
from llmattr.context.removal.hidden import HiddenAblation
from llmattr.context.signs import Reading
from llmattr.context.verify import judged as judged_signs
from llmattr.context.verify import verify
from llmattr.core.attribution import Attribution
from llmattr.core.evidence import (
    APART,
    CARRIED,
    EXPLAINED,
    LEAST_PER_TOKEN,
    LEAST_SUPPORT,
    LIKELY,
    MISSING,
    RIVAL,
    Contrary,
    Rival,
    Signs,
    judged,
    verdict_of,
)
from llmattr.core.sources import Targets
from llmattr.errors import LlmattrError
from llmattr.model.judge import Judge
from llmattr.report.verdicts import findings
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut

CONTEXT = "The canal is long. It has locks. It opened in 1914. Ships pay a toll. The lake is high."
ANSWER = "It opened in 1914. It has locks."


def ablation_of(lm, context=CONTEXT, answer=ANSWER, query="When?"):
    chat = conversation(context, query)
    prompt = Prompt(lm.tokenizer, chat, cut(chat, "sentences")).with_response(answer)
    return ContextAblation(lm, prompt, prompt.targets())


@dataclasses.dataclass(frozen=True, eq=False)
class World(ContextAblation):
    """A context whose targets all follow one function of the masks, their log-odds; its tokens share the log-probability."""

    function: object = None

    def __call__(self, masks):
        return np.repeat(self.function(masks)[:, None], len(self.targets), axis=1)

    def token_logprobs(self, masks):
        tokens = len(self.prompt.response_offsets)
        return np.repeat(-np.logaddexp(0, -self.function(masks))[:, None] / tokens, tokens, axis=1)


@pytest.fixture
def judge(tiny):
    """The evidence on a world for a result with these scores, of its first target."""

    def run(function, values):
        real = ablation_of(tiny)
        world = World(tiny, real.prompt, real.targets, real.store, function)
        values = np.repeat([np.array(values, dtype=float)], len(world.targets), axis=0)
        result = Attribution(values, world.sources, world.targets, "nats", {"name": "made"})
        return verify(result, world).targets[0]

    return run


def test_one_source_that_carries_all(judge):
    """f = 6 x0 + 1: support 6, from the context, and source 0 alone is all of it."""
    found = judge(lambda masks: 6.0 * masks[:, 0] + 1, [6, 0, 0, 0, 0])
    assert (found.full, found.empty, found.support, found.verdict) == (7, 1, 6, "context")
    assert found.sufficient == (0,)
    assert found.share == 1
    assert [(c.source, c.necessity, c.sufficiency) for c in found.citations] == [(0, 6, 6)]
    assert found.alternatives == ()


def test_the_fewest_that_suffice_in_order_of_their_scores(judge):
    """Shares 5/10, 4/10, 1/10: the best two give exactly 90 %."""
    found = judge(lambda masks: masks @ np.array([5.0, 0, 4, 0, 1]), [5, 0, 4, 0, 1])
    assert found.sufficient == (0, 2)
    assert found.share == pytest.approx(0.9, abs=1e-12)


def test_two_that_say_the_same_are_alternatives(judge):
    """f = 6 (x1 or x3): each suffices, neither is needed, and leave-one-out sees none of them."""
    found = judge(lambda masks: 6.0 * (masks[:, 1] | masks[:, 3]), [0, 3, 0, 3, 0])
    assert found.alternatives == ((1, 3),)
    assert found.sufficient == (1,)
    assert [(c.necessity, c.sufficiency) for c in found.citations] == [(0, 6), (0, 6)]


def test_two_that_need_each_other_are_not(judge):
    found = judge(lambda masks: 6.0 * (masks[:, 1] & masks[:, 3]), [0, 3, 0, 3, 0])
    assert found.alternatives == ()
    assert found.sufficient == (1, 3)
    assert [(c.necessity, c.sufficiency) for c in found.citations] == [(6, 0), (6, 0)]


def test_memory_and_contradiction(judge):
    assert judge(lambda masks: np.full(len(masks), 2.0), [0, 0, 0, 0, 0]).verdict == "memory"
    against = judge(lambda masks: -5.0 * masks[:, 2], [0, 0, -5, 0, 0])
    assert (against.verdict, against.opposed_by) == ("contradicted", 2)
    assert against.sufficient == ()
    mixed = judge(lambda masks: 5.0 * masks[:, 0] - 4.0 * masks[:, 2], [5, 0, -4, 0, 0])
    assert (mixed.verdict, mixed.opposed_by) == ("contradicted", 2)  # support 1 for a long sentence, opposed by 4
    weak = judge(lambda masks: 9.0 * masks[:, 0] - 4.0 * masks[:, 2], [9, 0, -4, 0, 0])
    assert (weak.verdict, weak.opposed_by) == ("context", 2)


def signs(support=10.0, **others):
    """Of a sentence of one token that the model would not say by itself, and that the context carries."""
    return Signs(**{"support": support, "empty": -20.0, "tokens": 1.0, "explained": 0.9, "stated": 0.9, **others})


def test_a_sentence_is_from_the_context_when_it_explains_it_and_a_source_states_it():
    for explained, stated in ((CARRIED, 0.0), (0.0, CARRIED), (CARRIED - 0.3, 0.3)):
        assert verdict_of(signs(explained=explained, stated=stated)) == "context"
        assert verdict_of(signs(explained=explained, stated=stated - 1e-9)) == "unsupported"
    assert verdict_of(signs(explained=0.5, stated=CARRIED + MISSING - 0.5 + 1e-9, is_missing=True)) == "context"
    assert verdict_of(signs(explained=0.5, stated=CARRIED + MISSING - 0.5 - 1e-9, is_missing=True)) == "unsupported"
    assert verdict_of(signs(explained=EXPLAINED, stated=None)) == "context"
    assert verdict_of(signs(explained=EXPLAINED - 1e-9, stated=None)) == "unsupported"
    assert verdict_of(signs(support=LEAST_SUPPORT)) == "context"
    assert verdict_of(signs(support=LEAST_SUPPORT - 1e-9)) == "unsupported"


def test_sentences_may_each_be_stated_by_another_source(tiny):
    def stated(answer):
        reading = Reading(ablation_of(tiny, answer=answer))
        return [reading.signs(t, 0.0, 0.0).stated for t in range(len(reading.targets))]

    assert stated("It opened in 1914. It has locks.") == [1, 1, 1]
    half = stated("It opened in 1914. It has dams.")  # opened, 1914; dams
    assert half == pytest.approx([2 / 3, 1, 0])
    assert stated("It opened in 1914 with locks.")[0] < 1  # of one sentence, by one source


def test_more_is_asked_of_a_name_that_stands_apart():
    assert verdict_of(signs(explained=0.5, stated=CARRIED + APART - 0.5 + 1e-9, is_apart=True)) == "context"
    assert verdict_of(signs(explained=0.5, stated=CARRIED + APART - 0.5 - 1e-9, is_apart=True)) == "unsupported"


def test_names_that_stand_apart_are_of_their_sentences_and_of_the_response(tiny):
    document = "The bridge was built by Karl Lund in 1932. The tunnel was dug by Ana Petrov in 1951."
    answer = "The tunnel was dug in 1951. The bridge was built by Ana Petrov."
    reading = Reading(ablation_of(tiny, document, answer, "What was built?"))
    start = answer.index("Ana")
    name = (start, start + len("Ana Petrov"))
    assert reading.apart == [(name,), (), (name,)]
    assert [reading.signs(t, 1.0, 0.0).is_apart for t in range(3)] == [True, False, True]
    result = cite(tiny, document, "What was built?", response=answer, method="bm25")
    assert result.evidence.targets[2].apart == (name,)
    one = "check 'Ana Petrov': in the documents, but not with the rest of what the sentence says"
    assert one in findings(result.evidence.targets[2], {}, answer)
    assert "<mark>Ana Petrov</mark>" in result.html()


def test_a_sentence_with_a_rival_is_not_supported():
    rival = Rival(0, 4, "Gauss", RIVAL)
    assert verdict_of(signs(rival=rival)) == "unsupported"
    assert verdict_of(signs(rival=rival, support=-9.0)) == "contradicted"


def test_rivals_are_of_the_sentences_that_would_be_from_the_context(tiny, monkeypatch):
    asked = []

    def one_rival(ablation, question, full, targets):
        asked.extend(targets)
        return {targets[0]: Rival(0, 2, "Gauss", 9.0)}

    monkeypatch.setattr("llmattr.context.signs.rivals", one_rival)
    reading = Reading(ablation_of(tiny))
    found = reading.doubted({0: signs(), 1: signs(support=0.0), 2: signs()})
    assert asked == [2]  # the whole response is no sentence of its own
    assert [t for t, one in found.items() if one.rival] == [0, 2]  # it has that of its sentence
    alone = Reading(ablation_of(tiny, answer="It has locks."))
    asked.clear()
    found = alone.doubted({0: signs(), 1: signs()})
    assert len(asked) == 1  # the whole response is its one sentence
    assert found[0].rival == found[1].rival
    assert found[0].rival is not None


def test_names_of_another_language_have_no_rivals(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr("llmattr.context.signs.rivals", lambda ablation, question, full, targets: asked.extend(targets) or {})
    german = ablation_of(tiny, answer="Der Kanal wurde im Jahr 1914 mit vielen Schleusen eröffnet.")
    Reading(german).doubted({0: signs(), 1: signs()})
    assert asked == []


def test_a_rival_is_named_and_kept(tiny, tmp_path):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method="bm25")
    one = dataclasses.replace(result.evidence.targets[1], verdict="unsupported", rival=Rival(0, 2, "Gauss", 9.0))
    targets = (result.evidence.targets[0], one, *result.evidence.targets[2:])
    told = dataclasses.replace(result, evidence=dataclasses.replace(result.evidence, targets=targets))
    assert "check 'It': the model finds 'Gauss' likelier there" in findings(one, {}, result.response)
    assert Attribution.load(told.save(tmp_path / "a.json")).evidence.targets[1].rival == one.rival


def test_a_source_that_says_the_contrary_contradicts_a_sentence(tiny, monkeypatch):
    monkeypatch.setattr("llmattr.context.signs.rivals", lambda ablation, question, full, targets: {})
    reading = Reading(ablation_of(tiny, answer="It is long. It did not open in 1914."))
    source = next(i for i, text in enumerate(reading.ablation.sources.texts) if "opened in 1914" in text)
    found = reading.doubted({0: signs(), 1: signs(), 2: signs()})
    of_word = Contrary(source, "a negation", start=len("It is long. It did not "), end=len("It is long. It did not open"))
    assert [one.contrary for one in found.values()] == [of_word, None, of_word]  # the whole response has that of its sentence
    assert [verdict_of(one) for one in found.values()] == ["contradicted", "context", "contradicted"]
    judged = reading.doubted({2: signs(entailed=0.9)})
    assert judged[2].contrary is None  # a judge reads more than the order of words
    without = Reading(reading.ablation, np.arange(len(reading.ablation.sources)) != source)
    assert without.doubted({2: signs()})[2].contrary is None


def test_a_contrary_is_named_and_kept(tiny, tmp_path):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method="bm25")
    one = dataclasses.replace(result.evidence.targets[1], verdict="contradicted", contrary=Contrary(1, "a negation", 0, 2))
    assert one.contradicting == 1
    targets = (result.evidence.targets[0], one, *result.evidence.targets[2:])
    told = dataclasses.replace(result, evidence=dataclasses.replace(result.evidence, targets=targets))
    assert "[3] says the contrary of 'It', by a negation" in findings(one, {1: 3}, result.response)
    assert Attribution.load(told.save(tmp_path / "a.json")).evidence.targets[1].contrary == one.contrary
    html = (told.save(tmp_path / "a.html")).read_text(encoding="utf-8")
    assert "<mark>It</mark>" in html


def test_what_opposes_a_sentence_contradicts_it():
    long = 40.0  # tokens, so 4 nats
    assert verdict_of(signs(support=-LEAST_PER_TOKEN * long, tokens=long)) == "contradicted"
    assert verdict_of(signs(support=-3.9, tokens=long, empty=-200.0, explained=-0.02, stated=0.5)) == "unsupported"
    assert verdict_of(signs(support=5.0, opposing=6.0)) == "contradicted"
    assert verdict_of(signs(support=6.0, opposing=5.0)) == "context"


def test_what_the_model_would_say_by_itself_is_from_memory():
    assert verdict_of(signs(support=0.0, empty=LIKELY * 10, tokens=10.0)) == "memory"
    assert verdict_of(signs(support=0.0, empty=LIKELY * 10 - 1e-9, tokens=10.0)) == "unsupported"


def test_a_refusal_is_neither_supported_nor_contradicted():
    assert {verdict_of(signs(support=s, is_refusal=True)) for s in (-9.0, 0.0, 9.0)} == {"refusal"}


def test_evidence_of_a_real_model_is_what_ablations_say(tiny):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER)
    ablation = ablation_of(tiny)
    masks = np.array([[True] * 5, [False] * 5])
    full, empty = ablation(masks)
    for t, evidence in enumerate(result.evidence.targets):
        assert (evidence.full, evidence.empty) == (full[t], empty[t])
    np.testing.assert_array_equal(result.evidence.shift, np.subtract(*ablation.token_logprobs(masks)))
    np.testing.assert_array_equal(result[1].evidence.targets[0].full, full[1])
    assert cite(tiny, CONTEXT, "When?", response=ANSWER, verify=False).evidence is None


def test_evidence_is_saved(tiny, tmp_path):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method="bm25")  # similarities are verified too
    loaded = Attribution.load(result.save(tmp_path / "a.json"))
    assert loaded.evidence.targets == result.evidence.targets
    np.testing.assert_array_equal(loaded.evidence.full, result.evidence.full)
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["targets"][1]["evidence"]["support"] == result.evidence.targets[1].support


def test_documents_are_the_sum_of_their_parts(tiny):
    result = cite(tiny, [{"text": "It has locks. It is long.", "id": "a"}, {"text": "It opened in 1914.", "id": "b"}],
                  "When?", response=ANSWER)  # fmt: skip
    documents = result.by_document()
    assert documents.sources.ids == ["a", "b"]
    np.testing.assert_allclose(documents.values, np.stack([result.values[:, :2].sum(1), result.values[:, 2]], 1), atol=1e-12)
    np.testing.assert_allclose(documents.predict(np.ones((1, 2), bool)), result.predict(np.ones((1, 3), bool)), atol=1e-12)
    with pytest.raises(LlmattrError, match="not the parts of documents"):
        documents.by_document()


def test_words_of_one_source(tiny):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method="leave-one-out")
    words = result.zoom(2)
    assert list(words.sources.texts) == ["It", "opened", "in", "1914"] or list(words.sources.texts)[-1].startswith("1914")
    assert words.values.shape == (3, len(words.sources))
    ablation = ablation_of(tiny)
    full = ablation(np.ones((1, 5), dtype=bool))[0]
    without = ablation_of(tiny, CONTEXT.replace("opened ", ""))(np.ones((1, 5), dtype=bool))[0]
    np.testing.assert_allclose(words.values[:, 1], full - without, atol=1e-10)
    with pytest.raises(LlmattrError, match="source must lie between 0 and 5"):
        result.zoom(5)


def test_sentences_of_one_step_while_the_others_stay(tiny):
    """What is lost without a sentence of a step is that of leaving it out among all sentences, where every other stays."""
    step = "The canal is long. It opened in 1914. It has locks."
    chat = [
        {"role": "user", "content": "Look it up."},
        {"role": "assistant", "content": step},
        {"role": "user", "content": "When did it open?"},
        {"role": "assistant", "content": ANSWER},
    ]
    steps = cite(tiny, messages=chat, sources="documents", method="leave-one-out")
    inside = steps.zoom(1, "sentences")
    assert list(inside.sources.texts) == ["The canal is long.", "It opened in 1914.", "It has locks."]
    every = cite(tiny, messages=chat, method="leave-one-out")
    np.testing.assert_allclose(inside.values, every.values[:, 1:], atol=1e-10)
    words = inside.zoom(1)
    assert [text.strip() for text in words.sources.texts][:2] == ["It", "opened"]
    with pytest.raises(LlmattrError, match=r"source 'step 1: user.*' has no sentences to zoom into"):
        steps.zoom(0, "sentences")


def test_this_answer_rather_than_that_one(tiny):
    other = "It opened in 1899."
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, rather_than=other, method="leave-one-out")
    one, rival = (ablation_of(tiny, answer=answer) for answer in (ANSWER, other))
    masks = np.concatenate([np.ones((1, 5), dtype=bool), ~np.eye(5, dtype=bool)])
    difference = one.token_logprobs(masks).sum(1) - rival.token_logprobs(masks).sum(1)
    np.testing.assert_allclose(result.values[0], difference[0] - difference[1:], atol=1e-10)
    assert result.can_cite
    words = result.zoom(2)
    np.testing.assert_allclose(words.baseline + words.values.sum(axis=1), difference[:1], atol=1e-10)  # with every word
    back = cite(tiny, CONTEXT, "When?", response=other, rather_than=ANSWER, method="leave-one-out")
    np.testing.assert_allclose(back.values, -result.values, atol=1e-10)
    with pytest.raises(LlmattrError, match="compared with another one as a whole"):
        result.span("1914")
    for alone in ("bm25", "random", "gradient-input", "source-gates", "attention"):
        with pytest.raises(LlmattrError, match="looks at one answer alone"):
            cite(tiny, CONTEXT, "When?", response=ANSWER, rather_than=other, method=alone)


class TestHidden:
    def test_nothing_hidden_is_the_full_prompt_and_order_and_packs_change_nothing(self, lm):
        ablation = ablation_of(lm)
        masks = np.concatenate([np.ones((1, 5), dtype=bool), random_masks(9, 5)])
        found = HiddenAblation(ablation)(masks)
        np.testing.assert_allclose(found[0], ablation(masks[:1])[0], atol=1e-10)
        narrow = HiddenAblation(dataclasses.replace(ablation, lm=dataclasses.replace(lm, max_batch_tokens=1)))
        np.testing.assert_allclose(narrow(masks[::-1])[::-1], found, atol=1e-10)

    def test_it_is_a_mask_of_keys(self, lm):
        """The same by one plain pass over the whole prompt with a four-dimensional mask."""
        import torch

        ablation = ablation_of(lm)
        mask = np.array([True, False, True, True, False])
        full = ablation.prompt.full()
        s, after = len(full.ids), int(full.sources.max())
        seen = np.tri(s, dtype=bool)
        for a, b in full.sources[~mask]:
            seen[after:, a:b] = False
        bias = torch.zeros(s, s, dtype=torch.float64).masked_fill(torch.from_numpy(~seen), torch.finfo(torch.float64).min)
        with torch.no_grad():
            logits = lm.model(torch.tensor([full.ids]), attention_mask=bias[None, None]).logits[0].log_softmax(-1)
        said = range(full.response.start, full.response.stop)
        logprobs = np.array([[logits[i - 1, full.ids[i]].item() for i in said]])
        first, last = ablation.target_tokens[0]
        total = logprobs[0, first:last].sum()
        np.testing.assert_allclose(HiddenAblation(ablation)(mask[None])[0, 0], total - np.log(-np.expm1(total)), atol=1e-9)

    def test_it_is_a_prior(self, tiny):
        plain = cite(tiny, CONTEXT, "When?", response=ANSWER, method="ridge", verify=False)
        from llmattr.context.methods.surrogates import Ridge

        guided = cite(tiny, CONTEXT, "When?", response=ANSWER, method=Ridge(prior="hidden", n_ablations=8), verify=False)
        assert guided.values.shape == plain.values.shape
        assert guided.run["forward_passes"] <= 8


def test_logprob_is_a_measure(tiny):
    result = cite(tiny, CONTEXT, "When?", response=ANSWER, method="leave-one-out", measure="logprob")
    assert result.unit == "nats"
    ablation = ablation_of(tiny)
    masks = np.concatenate([np.ones((1, 5), dtype=bool), ~np.eye(5, dtype=bool)])
    sums = ablation.token_logprobs(masks).sum(axis=1)
    np.testing.assert_allclose(result.values[0], sums[0] - sums[1:], atol=1e-10)
    assert isinstance(result.targets, Targets)


def test_every_mask_is_asked_once(counted):
    """Verification asks the same ablation, so full prompts and single removals that a method has run cost nothing again."""
    lm, asked = counted
    cite(lm, "One. Two. Three.", "What?", response=ANSWER, method="shapley")
    assert sum(asked) <= 8


@pytest.fixture(scope="module")
def shown(tiny):
    """A result with two documents and evidence, as reports get it."""
    documents = [{"text": "It has locks. It is <b>long</b>.", "id": "a"}, {"text": "It opened in 1914.", "id": "b"}]
    return cite(tiny, documents, "When?", response=ANSWER, method="leave-one-out")


def test_the_page_says_what_ablations_say(shown):
    page = shown.html()
    assert "2 sentences: " in page
    assert "support" in page
    assert "What of it depends on the context" in page
    assert ("given by it alone" in page) == any(target.citations for target in shown.evidence.targets)
    assert page.count("for the whole answer</small>") == 2  # the documents' sums
    assert "<b>long</b>" not in page


def test_the_terminal_says_what_ablations_say(shown):
    from llmattr.report.text import terminal

    said = terminal(shown)
    assert said.startswith("2 sentences: ")
    assert "support " not in said
    assert "characters" not in said
    told = terminal(shown, verbose=True)
    assert told.count("    support ") == 2
    assert "Support = with the whole context less without any." in told
    assert "leave-one-out, tiny" in told
    plain = dataclasses.replace(shown, evidence=None)
    assert "support" not in terminal(plain, verbose=True)
    assert "What of it depends" not in plain.html()


def test_a_server_shows_nothing_of_its_inside(tiny):
    from llmattr.model.server import ServerLM

    real = ablation_of(tiny)
    ablation = ContextAblation(ServerLM("http://localhost:9"), real.prompt, real.targets)
    with pytest.raises(LlmattrError, match="behind a server, which shows nothing of its inside"):
        assert ablation.weights


class TestJudge:
    def folder(self, path, labels):
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        from tests import tiny_models

        sizes = dict.fromkeys(("hidden_size", "intermediate_size"), 16) | {"num_hidden_layers": 1, "num_attention_heads": 2}
        torch.manual_seed(0)
        names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
        config = BertConfig(vocab_size=500, max_position_embeddings=48, num_labels=len(labels), **names, **sizes)
        BertForSequenceClassification(config).save_pretrained(path)
        tiny_models.tokenizer().save_pretrained(path)
        return str(path)

    def test_its_chance_is_that_of_its_label(self, tmp_path):
        import torch

        judge = Judge.load(self.folder(tmp_path, ["contradiction", "neutral", "ENTAILMENT"]))
        inputs = judge.tokenizer("It has locks.", "It is long.", return_tensors="pt")
        with torch.inference_mode():
            expected = judge.model(**inputs).logits[0].softmax(-1)[2]
        assert judge.probability("It has locks.", "It is long.") == pytest.approx(float(expected), abs=1e-6)
        assert 0 < judge.probability("It has locks. " * 100, "It is long.") < 1
        assert 0 < judge.probability("It has locks. " * 100, "It is long. " * 100) < 1

    def test_one_number_is_a_chance_too(self, tmp_path):
        assert 0 < Judge.load(self.folder(tmp_path, ["LABEL_0"])).probability("It has locks.", "It is long.") < 1

    def test_labels_that_say_nothing_are_refused(self, tmp_path):
        with pytest.raises(LlmattrError, match="are LABEL_0, LABEL_1: which of them is entailment"):
            Judge.load(self.folder(tmp_path, ["LABEL_0", "LABEL_1"]))

    @pytest.mark.parametrize("before", [0, 5, 300])
    def test_a_premise_longer_than_the_window_is_read_to_its_end(self, tmp_path, before):
        """A model that says yes where it sees one word, which stands behind so many others."""
        import torch

        judge = Judge.load(self.folder(tmp_path, ["entailment", "not_entailment"]))
        seen = judge.tokenizer(" z").input_ids[-1]

        class Sees:
            config = judge.model.config
            rows: ClassVar[list[int]] = []

            def __call__(self, input_ids, attention_mask, **_others):
                self.rows.append(int(attention_mask.sum(1).max()))
                yes = (input_ids == seen).any(1).float()
                return SimpleNamespace(logits=torch.stack([9 * yes, 9 * (1 - yes)], dim=1))

        looking = dataclasses.replace(judge, model=Sees())
        yes, no = 1 / (1 + np.exp(-9)), 1 / (1 + np.exp(9))
        for premise, expected in ((" a" * before + " z" + " a" * before, yes), (" a" * before, no)):
            assert looking.probability(premise, "It is a a.") == pytest.approx(expected, abs=1e-6)
        assert max(Sees.rows) <= 48

    def test_its_word_counts_in_the_verdict(self, tiny, monkeypatch, tmp_path):
        """By the rule, and what it were without is kept; a source is cited where the verdict says so."""
        from llmattr.report.text import terminal

        asked = {"context": CONTEXT, "query": "When?", "response": ANSWER, "method": "leave-one-out"}
        without = cite(tiny, **asked).evidence.targets
        for sure in (0.0, 1.0):
            judge = SimpleNamespace(name="sure", probability=lambda premise, claim, sure=sure: sure)
            monkeypatch.setattr(Judge, "load", lambda _name, judge=judge: judge)
            found = cite(tiny, **asked, judge="sure")
            assert found.run["judge"] == "sure"
            assert Attribution.load(found.save(tmp_path / "a.json")).evidence.targets == found.evidence.targets
            for one, before in zip(found.evidence.targets, without, strict=True):
                assert (one.entailed, one.unjudged) == (sure, before.verdict)
                carried = (
                    one.explained
                    + (one.stated or 0.0)
                    - (APART if one.apart else MISSING if one.missing else 0.0)
                    + judged(sure)
                )
                if one.verdict != "contradicted" and one.stated is not None and one.support >= LEAST_SUPPORT:
                    assert (one.verdict == "context" or one.rival is not None) is (carried >= CARRIED)
            assert "The judge agrees on" in terminal(found)
            assert f"({sure:.0%})" in terminal(found, verbose=True)

    def test_the_whole_response_is_judged_by_its_worst_sentence(self, tiny):
        asked = []

        def probability(premise, claim):
            asked.append((premise, claim))
            return 0.2 if "locks" in claim else 0.9

        ablation = ablation_of(tiny)
        reading = Reading(ablation)
        signs = {t: reading.signs(t, 1.0, 0.0) for t in range(len(ablation.targets))}
        found = judged_signs(SimpleNamespace(probability=probability), reading, signs)
        assert [found[t].entailed for t in range(3)] == [0.2, 0.9, 0.2]
        assert asked == [(CONTEXT, sentence) for sentence in ablation.targets.texts[1:]]
        assert judged_signs(None, reading, signs) == signs
