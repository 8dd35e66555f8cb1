"""Scores do not depend on how they are batched, and equal the model's own."""

import dataclasses

import numpy as np
import pytest
import torch

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM
from llmattr.text.prompt import Rendered
from tests import tiny_models


def requests(n=7, seed=0):
    """Prompts and responses of different lengths."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        prompt, response = rng.integers(1, 30), rng.integers(1, 9)
        ids = rng.integers(3, 400, size=prompt + response).tolist()
        made.append(Rendered(ids, slice(int(prompt), int(prompt + response)), np.zeros((0, 2), dtype=int)))
    return made


def plain(lm, request):
    """Log-probabilities from all logits of one request alone."""
    with torch.no_grad():
        logprobs = lm.model(torch.tensor([request.ids])).logits[0].log_softmax(-1)
    rows = range(request.response.start, request.response.stop)
    return np.array([logprobs[row - 1, request.ids[row]].item() for row in rows])


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("max_batch_tokens", [1, 64, 10_000])
def test_batches_and_padding_change_nothing(lm, padding_side, max_batch_tokens):
    made = requests()
    batched = dataclasses.replace(lm, padding_side=padding_side, max_batch_tokens=max_batch_tokens).logprobs(made)
    for request, found in zip(made, batched, strict=True):
        np.testing.assert_allclose(found, plain(lm, request), atol=1e-10)  # float64 all the way


def test_order_changes_nothing(lm):
    made = requests()
    there, back = lm.logprobs(made), lm.logprobs(made[::-1])[::-1]
    for one, other in zip(there, back, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_only_the_responses_logits_are_computed(lm):
    lm.logprobs(requests(2))  # the first time the model is tried
    shapes = []
    hook = lm.model.get_output_embeddings().register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape)))
    made = requests()
    lm.logprobs(made)
    hook.remove()
    assert sum(positions for _, positions, _ in shapes) == sum(r.response.stop - r.response.start for r in made)


def test_a_sure_token_keeps_its_digits():
    """log p of a token 30 logits above the rest is -e^-30 * (V - 1), far below what float32 can tell from 0."""
    model = tiny_models.llama()
    sure = torch.zeros(400)
    sure[7] = 30.0
    model.forward = lambda input_ids, **_: type("Out", (), {"logits": sure.expand(*input_ids.shape, 400)})
    found = LM(model, tiny_models.tokenizer()).logprobs([Rendered([5, 7], slice(1, 2), np.zeros((0, 2), dtype=int))])
    np.testing.assert_allclose(found[0], [-399 * np.exp(-30.0)], rtol=1e-5)  # 30 in float32, so 2e-6 of log-odds


def test_a_request_longer_than_the_window_says_by_how_much():
    lm = LM(tiny_models.llama(window=16), tiny_models.tokenizer(), "small")
    request = Rendered(list(range(20)), slice(15, 20), np.zeros((0, 2), dtype=int))
    with pytest.raises(LlmattrError, match="have 20 tokens, 4 more than the window of 16 tokens of small"):
        lm.logprobs([request])
    with pytest.raises(LlmattrError, match="have 17 tokens, 1 more"):
        lm.generate(list(range(16)))


def test_generation_ends_at_the_window_and_says_so():
    lm = LM(tiny_models.llama(window=16), tiny_models.tokenizer(), "small")
    with pytest.warns(LlmattrNote, match="cut off at 4 tokens"):
        assert len(lm.generate(list(range(12)), max_new_tokens=100)) == 4


def test_nan_is_told():
    model = tiny_models.llama()
    model.lm_head.weight.data.fill_(torch.nan)
    with pytest.raises(LlmattrError, match="the model gave NaN"):
        LM(model, tiny_models.tokenizer()).logprobs(requests(1))


def test_a_folder_loads_and_a_wrong_name_is_explained(tiny_folder, tmp_path):
    lm = LM.load(str(tiny_folder))
    assert (lm.window, lm.dtype, lm.name) == (2048, torch.float32, str(tiny_folder))
    assert LM.load(lm) is lm
    with pytest.raises(LlmattrError, match="cannot load the model 'smolm2'; did you mean 'smollm2'"):
        LM.load("smolm2")
    with pytest.raises(LlmattrError, match="cannot load the folder"):
        LM.load(str(tmp_path))


def test_linears(lm):
    names = lm.linears(r"(down_proj|mlp\.c_proj)$")
    assert len(names) == 2
    assert len(lm.linears()) > 8


class Wrapped(torch.nn.Module):
    """A model behind a forward that names no arguments, as some wrappers are."""

    def __init__(self, model):
        super().__init__()
        self.inner, self.config = model, model.config
        self.device, self.dtype = model.device, model.dtype

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [Wrapped, lambda model: torch.compile(model, backend="eager")])
def test_wrapped_models_get_the_right_positions(wrap):
    plain_lm = LM(tiny_models.gpt2().double(), tiny_models.tokenizer())
    wrapped = LM(wrap(plain_lm.model), plain_lm.tokenizer, max_batch_tokens=10_000)
    for request, found in zip(requests(), wrapped.logprobs(requests()), strict=True):
        np.testing.assert_allclose(found, plain(plain_lm, request), atol=1e-10)


def test_a_prompt_without_tokens_is_refused():
    lm = LM(tiny_models.llama(), tiny_models.tokenizer())
    with pytest.raises(LlmattrError, match="a prompt has no tokens"):
        lm.logprobs([Rendered([5, 6], slice(0, 2), np.zeros((0, 2), dtype=int))])


def test_the_end_of_a_turn_is_no_part_of_the_answer():
    lm = LM(tiny_models.llama(), tiny_models.tokenizer())
    with pytest.warns(LlmattrNote, match="cut off"):
        plain_answer = lm.generate([5, 6, 7], max_new_tokens=6)
    lm.model.generation_config.eos_token_id = [2, plain_answer[3]]
    first = plain_answer.index(plain_answer[3])
    assert lm.generate([5, 6, 7], max_new_tokens=6) == plain_answer[:first]


def test_nan_is_told_before_an_answer_is_believed():
    model = tiny_models.llama()
    model.lm_head.weight.data.fill_(torch.nan)
    with pytest.raises(LlmattrError, match="the model gave NaN"):
        LM(model, tiny_models.tokenizer()).generate([5, 6, 7], max_new_tokens=3)


def test_code_in_a_model_folder_is_never_run(tiny_folder, tmp_path, monkeypatch):
    import json
    import shutil

    folder = shutil.copytree(tiny_folder, tmp_path / "evil")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(LlmattrError, match="cannot load the folder"):
        LM.load(str(folder))
    assert not (tmp_path / "pwned").exists()


def test_a_device_that_is_not_there(tiny_folder):
    with pytest.raises(LlmattrError, match="cannot use the device 'nowhere'"):
        LM.load(str(tiny_folder), device="nowhere")
    with pytest.raises(LlmattrError, match="must be a name, a folder or a"):
        LM.load(tiny_models.llama())
