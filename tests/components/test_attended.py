"""What a head attends to is what the model's own eager attention says, and nothing where there are no such weights."""

import pytest
import torch

from llmattr.components.attended import ATTENTION, KEPT
from llmattr.components.build import attribute
from llmattr.errors import LlmattrError
from llmattr.model import inside
from tests import tiny_models
from tests.components.families import MAKERS, family

QUERIES = [{"prompt": "The canal is", "completion": " long."}, {"prompt": "It opened", "completion": " in 1914"}]
TOKENIZER = tiny_models.tokenizer()


def attributed(model, **options):
    return attribute((model, TOKENIZER), QUERIES, "attribution-patching", **options)


@pytest.mark.parametrize("name", MAKERS)
def test_the_strongest_tokens_of_each_head_are_those_of_eager_attention(name):
    """Its mean over the places that predict the completion, to within the rounding of float32, in which softmax may be."""
    model = family(name)
    found = attributed(model, parts="heads+mlps").details[ATTENTION]
    model.set_attn_implementation("eager")
    for query, heads in zip(QUERIES, found, strict=True):
        assert len(heads) == 8
        prompt, said = (TOKENIZER(query[part])["input_ids"] for part in ("prompt", "completion"))
        with torch.no_grad():
            layers = model(input_ids=torch.tensor([prompt + said]), output_attentions=True).attentions
        for head, tokens in heads.items():
            layer, number = map(int, head.split("."))
            expected = layers[layer][0, number, len(prompt) - 1 : -1].mean(dim=0)
            assert [share for *_, share in tokens] == pytest.approx(expected.topk(KEPT).values.tolist(), abs=1e-6)
            for place, text, share in tokens:
                assert share == pytest.approx(expected[place].item(), abs=1e-6)
                assert text == TOKENIZER.decode([(prompt + said)[place]])


def test_long_completions_are_looked_at_a_few_places_at_a_time(monkeypatch):
    whole = attributed(family("llama")).details[ATTENTION]
    monkeypatch.setattr(inside, "ROWS", 1)
    for one, other in zip(whole, attributed(family("llama")).details[ATTENTION], strict=True):
        assert [place for tokens in one.values() for place, *_ in tokens] == [p for ts in other.values() for p, *_ in ts]


@pytest.mark.parametrize("options", [{"parts": "mlps+layers"}, {"parts": "heads", "mean": True}])
def test_nothing_without_heads_and_of_a_mean(options):
    assert ATTENTION not in attributed(family("llama"), **options).details


def test_nothing_of_a_model_without_weights(monkeypatch):
    def kernels_alone(*_, **__):
        raise LlmattrError("gives no attention weights")

    monkeypatch.setattr(inside, "weighted_attention", kernels_alone)
    assert ATTENTION not in attributed(family("llama")).details
