"""Dictionaries are read in the forms that SAELens and sparsify write, and saved in one that SAELens reads."""

import json

import pytest
import torch

from llmattr.components.features.dictionary import Origin
from llmattr.components.features.folders import load_dictionary, save_dictionary
from llmattr.components.features.hook import Hook
from llmattr.errors import LlmattrError
from tests.components.features.worlds import autoencoder, sae_lens, sparsify

N, D = 7, 4
EXACT = 1e-5  # float32
X = torch.randn(5, D, generator=torch.Generator().manual_seed(1))
HOOKED = {"hook_name": "blocks.3.hook_resid_post", "model_name": "gpt2-small"}
# version 5 and before: all in one; from 6 on what is of the model stands apart
OLD = {"architecture": "standard", "activation_fn_str": "relu", "activation_fn_kwargs": {}, "d_in": D, "d_sae": N}
OLD |= {"apply_b_dec_to_input": True, "finetuning_scaling_factor": False, "normalize_activations": "none", "dtype": "float32"}
OLD |= {**HOOKED, "hook_layer": 3, "hook_head_index": None, "prepend_bos": True, "sae_lens_training_version": "3.20.0"}
NEW = {"d_in": D, "d_sae": N, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True, "architecture": "standard"}
NEW |= {"normalize_activations": "none", "reshape_activations": "none", "metadata": {"sae_lens_version": "6.12.1", **HOOKED}}
SPARSIFY = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": N, "k": 2, "d_in": D}
SPARSIFY |= {"multi_topk": False, "skip_connection": False, "transcode": False}


def weights():
    drawn = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (D, N), "b_enc": (N,), "W_dec": (N, D), "b_dec": (D,)}
    return {name: torch.randn(shape, generator=drawn) for name, shape in shapes.items()}


def linear(w, x=X):
    return (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]


def two_largest(codes):
    codes = codes.relu()
    return torch.where(codes >= codes.topk(2, dim=-1).values[..., -1:], codes, 0)


@pytest.mark.parametrize("config", [OLD, NEW])
def test_sae_lens_relu(tmp_path, config):
    w = weights()
    found = load_dictionary(sae_lens(tmp_path / "sae", config, **w))
    codes = linear(w).relu()
    assert torch.allclose(found.encode(X), codes, atol=EXACT)
    assert torch.allclose(found.decode(codes), codes @ w["W_dec"] + w["b_dec"], atol=EXACT)
    assert (found.hook, found.origin.model, found.k) == (Hook(3), "gpt2-small", None)


def test_sae_lens_that_reads_the_input_as_it_is(tmp_path):
    w = weights()
    found = load_dictionary(sae_lens(tmp_path / "sae", {**NEW, "apply_b_dec_to_input": False}, **w))
    assert torch.allclose(found.encode(X), (X @ w["W_enc"] + w["b_enc"]).relu(), atol=EXACT)


@pytest.mark.parametrize(
    "config",
    [
        {**OLD, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}},
        {**NEW, "architecture": "topk", "k": 2, "rescale_acts_by_decoder_norm": False},
    ],
)
def test_sae_lens_topk(tmp_path, config):
    w = weights()
    found = load_dictionary(sae_lens(tmp_path / "sae", config, **w))
    assert torch.allclose(found.encode(X), two_largest(linear(w)), atol=EXACT)


def test_sae_lens_topk_of_rows_that_are_not_1_long(tmp_path):
    """There a code is the length of what its feature adds, and the largest are chosen by that."""
    w = weights()
    config = {**NEW, "architecture": "topk", "k": 2, "rescale_acts_by_decoder_norm": True}
    found = load_dictionary(sae_lens(tmp_path / "sae", config, **w))
    norms = w["W_dec"].norm(dim=1)
    codes = two_largest(linear(w) * norms)
    assert torch.allclose(found.encode(X), codes, atol=EXACT)
    assert torch.allclose(found.decode(codes), codes / norms @ w["W_dec"] + w["b_dec"], atol=EXACT)


def test_sae_lens_jumprelu(tmp_path):
    w, threshold = weights(), torch.linspace(-0.5, 1.5, N)
    found = load_dictionary(sae_lens(tmp_path / "sae", {**NEW, "architecture": "jumprelu"}, threshold=threshold, **w))
    pre = linear(w)
    assert torch.allclose(found.encode(X), pre.relu() * (pre > threshold.relu()), atol=EXACT)


@pytest.mark.parametrize(
    ("name", "hook"),
    [("layers.5", Hook(5)), ("layers.5.mlp", Hook(5, "mlp")), ("h.2.attn", Hook(2, "attention")), ("model.layers.0", Hook(0))],
)
def test_sparsify_whose_folder_says_where_it_is(tmp_path, name, hook):
    w = weights()
    parts = {"encoder": w["W_enc"].T, "encoder_bias": w["b_enc"], "W_dec": w["W_dec"], "b_dec": w["b_dec"]}
    found = load_dictionary(sparsify(tmp_path / name, SPARSIFY, **parts))
    assert torch.allclose(found.encode(X), two_largest(linear(w)), atol=EXACT)
    assert found.hook == hook


@pytest.mark.parametrize(
    ("hook_name", "hook"),
    [
        ("blocks.3.hook_resid_pre", Hook(2)),
        ("blocks.3.hook_mlp_out", Hook(3, "mlp")),
        ("blocks.3.hook_attn_out", Hook(3, "attention")),
    ],
)
def test_names_of_places(tmp_path, hook_name, hook):
    assert load_dictionary(sae_lens(tmp_path / "sae", {**OLD, "hook_name": hook_name}, **weights())).hook == hook


@pytest.mark.parametrize(("said", "start"), [([1, None], 1), ([None], 0), (None, 0), ([0, None], 0)])
def test_the_positions_that_it_was_learnt_from(tmp_path, said, start):
    config = {**NEW, "metadata": {**NEW["metadata"], "seqpos_slice": said}}
    assert load_dictionary(sae_lens(tmp_path / "sae", config, **weights())).hook == Hook(3, start=start)


@pytest.mark.parametrize("more", [{"k": 6}, {"k": None}, {"k": None, "threshold": torch.full((48,), 0.3)}])
def test_what_is_saved_is_read_again(tmp_path, more):
    made = autoencoder(1, "mlp", origin=Origin("new", "tiny", "abc"), **more)
    found = load_dictionary(save_dictionary(made, tmp_path / "new" / "one", tokens=12))
    x = torch.randn(9, 32, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(found.encode(x), made.encode(x.double()).float(), atol=EXACT)
    assert torch.allclose(found.decode(found.encode(x)), made.decode(made.encode(x.double())).float(), atol=EXACT)
    assert (found.hook, found.origin.model, found.origin.model_hash) == (made.hook, "tiny", "abc")
    config = json.loads((tmp_path / "new" / "one" / "cfg.json").read_text())
    assert config["metadata"]["tokens"] == 12
    assert (config["d_in"], config["d_sae"]) == (32, 48)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"normalize_activations": "layer_norm"}, "has normalize_activations 'layer_norm', which is not read here"),
        ({"architecture": "gated"}, r"is of the kind gated \(relu\), which is not read here"),
        ({"architecture": "topk"}, "cannot be read: KeyError: 'activation_fn_kwargs'"),
        ({"metadata": {"hook_name": "blocks.3.attn.hook_z"}}, "'blocks.3.attn.hook_z' is none of hook_resid_post"),
        ({"metadata": {"hook_name": "blocks.0.hook_resid_pre"}}, "'blocks.0.hook_resid_pre' is none of"),
        ({"metadata": {**HOOKED, "model_from_pretrained_kwargs": {"center_writing_weights": True}}}, "TransformerLens changed"),
        ({"architecture": "topk", "k": 8}, "keeps 8 of 7 features, which cannot be"),
    ],
)
def test_what_would_have_other_features_here_is_refused(tmp_path, config, message):
    with pytest.raises(LlmattrError, match=message):
        load_dictionary(sae_lens(tmp_path / "sae", {**NEW, **config}, **weights()))


def test_what_is_no_dictionary(tmp_path):
    (tmp_path / "cfg.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(LlmattrError, match=r"is no dictionary of features: a folder of one has cfg\.json beside"):
            load_dictionary(folder)


def test_a_damaged_one(tmp_path):
    folder = sae_lens(tmp_path / "sae", NEW, **{**weights(), "b_enc": torch.zeros(3)})
    with pytest.raises(LlmattrError, match=r"is damaged: its weights have the shapes \[\(7, 4\), \(3,\), "):
        load_dictionary(folder)
    (folder / "sae_weights.safetensors").write_bytes(b"no tensors")
    with pytest.raises(LlmattrError, match="cannot be read: SafetensorError"):
        load_dictionary(folder)
    (folder / "cfg.json").write_text("[]")
    with pytest.raises(LlmattrError, match="cannot be read: "):
        load_dictionary(folder)
