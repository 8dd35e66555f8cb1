"""Dictionaries as folders: those of SAELens (`cfg.json`, `sae_weights.safetensors`) and of sparsify (`sae.safetensors`)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from llmattr.components.features.dictionary import Origin, SparseAutoencoder
from llmattr.components.features.hook import Hook, Place
from llmattr.core.files import write
from llmattr.core.plain_json import json_text
from llmattr.errors import LlmattrError

CONFIG, SAE_LENS, SPARSIFY = "cfg.json", "sae_weights.safetensors", "sae.safetensors"
HOOKS: dict[str, Place] = {"hook_resid_post": "stream", "hook_attn_out": "attention", "hook_mlp_out": "mlp"}
PARTS: dict[str, Place] = {"": "stream", "mlp": "mlp", "attn": "attention", "self_attn": "attention", "attention": "attention"}
PLAIN = {  # settings of both that would make other features of the same weights, and where they make none
    "normalize_activations": (None, "none", False),
    "reshape_activations": (None, "none"),
    "finetuning_scaling_factor": (None, False),
    "transcode": (None, False),
    "skip_connection": (None, False),
    "embed_skip": (None, False),
    "gram_lookup": (None, False),
    "signed": (None, False),
}
Weights = Mapping[str, torch.Tensor]


def load_dictionary(folder: str | Path, device: torch.device | str = "cpu") -> SparseAutoencoder:
    """Read a dictionary in float32; raises `LlmattrError` for what is none, and for one whose features would be others here."""
    place = Path(folder)
    files = [name for name in (SAE_LENS, SPARSIFY) if (place / name).is_file()]
    if not files or not (place / CONFIG).is_file():
        wanted = f"{CONFIG} beside {SAE_LENS} (SAELens) or {SPARSIFY} (sparsify)"
        raise LlmattrError(f"{str(folder)!r} is no dictionary of features: a folder of one has {wanted}")
    try:
        config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        weights = {name: tensor.float() for name, tensor in load_file(place / files[0], device=str(device)).items()}
        check_plain(config, place)
        return (_of_sae_lens if files[0] == SAE_LENS else _of_sparsify)(config, weights, place)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise LlmattrError(f"the dictionary {str(folder)!r} cannot be read: {type(error).__name__}: {error}") from error


def check_plain(config: Mapping[str, Any], place: Path) -> None:
    """Raise `LlmattrError` for settings under which these weights are no plain sparse autoencoder."""
    for name, plain in PLAIN.items():
        if config.get(name) not in plain:
            raise LlmattrError(f"the dictionary {str(place)!r} has {name} {config[name]!r}, which is not read here")
    changed = _metadata(config).get("model_from_pretrained_kwargs") or {}
    if changed.get("center_writing_weights") or changed.get("fold_ln"):
        raise LlmattrError(
            f"the dictionary {str(place)!r} is of a model whose weights TransformerLens changed (centred or folded)"
        )


def _metadata(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a folder of SAELens says of the model: apart since version 6, before beside the rest."""
    return config.get("metadata") or config


def _of_sae_lens(config: Mapping[str, Any], weights: Weights, place: Path) -> SparseAutoencoder:
    """`encoder = W_enc'`; the decoder's bias is taken off the input by the encoder's, and row norms are made part of both."""
    about, (k, threshold) = _metadata(config), _kept(config, weights, place)
    encoder, encoder_bias, rows, bias = weights["W_enc"].T.contiguous(), weights["b_enc"], weights["W_dec"], weights["b_dec"]
    check_shapes([encoder, encoder_bias, rows, bias] + ([] if threshold is None else [threshold]), k, place)
    if config.get("apply_b_dec_to_input", True):
        encoder_bias = encoder_bias - encoder @ bias
    if config.get("rescale_acts_by_decoder_norm"):
        norms = rows.norm(dim=1)
        encoder, encoder_bias, rows = encoder * norms[:, None], encoder_bias * norms, rows / norms[:, None]
    origin = Origin(str(place), about.get("model_name") or "", about.get("llmattr_model_hash", ""))
    start = (*(about.get("seqpos_slice") or ()), None)[0] or 0  # of the positions that it was learnt from
    hook = replace(_hook(about["hook_name"], place), start=start)
    return SparseAutoencoder(encoder, encoder_bias, rows, bias, hook, k, threshold, origin)


def _kept(config: Mapping[str, Any], weights: Weights, place: Path) -> tuple[int | None, torch.Tensor | None]:
    """How many features of a token are kept, or above which thresholds; None of what does not limit them."""
    kind = config.get("architecture", "standard")
    activation = config.get("activation_fn_str", config.get("activation_fn", "relu"))
    if kind == "topk" or activation == "topk":
        return (config["k"] if "k" in config else config["activation_fn_kwargs"]["k"]), None
    if kind == "jumprelu":
        return None, weights["threshold"].relu()
    if kind != "standard" or activation != "relu":
        said = f"{kind} ({activation})"
        raise LlmattrError(f"the dictionary {str(place)!r} is of the kind {said}, which is not read here")
    return None, None


def _of_sparsify(config: Mapping[str, Any], weights: Weights, place: Path) -> SparseAutoencoder:
    """The folder's name says where it is: `layers.5`, `layers.5.mlp`, `h.5`."""
    if config.get("activation", "topk") != "topk":
        raise LlmattrError(f"the dictionary {str(place)!r} has the activation {config['activation']!r}, which is not read here")
    names = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")
    encoder, encoder_bias, rows, bias = parts = [weights[name] for name in names]
    check_shapes(parts, config["k"], place)
    hook = _hook(place.resolve().name, place)
    return SparseAutoencoder(encoder, encoder_bias - encoder @ bias, rows, bias, hook, config["k"], origin=Origin(str(place)))


def _hook(name: str, place: Path) -> Hook:
    """Of a name of TransformerLens (`blocks.5.hook_resid_post`) or of a module (`layers.5.mlp`)."""
    if found := re.fullmatch(r"blocks\.(\d+)\.(\w+)", name):
        layer, where = int(found[1]), HOOKS.get(found[2])
        if found[2] == "hook_resid_pre" and layer > 0:
            layer, where = layer - 1, "stream"
    else:
        found = re.fullmatch(r"(?:\w+\.)*?(\d+)\.?(\w*)", name)
        layer, where = (int(found[1]), PARTS.get(found[2])) if found else (0, None)
    if where is None:
        known = ", ".join((*HOOKS, "layers.5", "layers.5.mlp"))
        raise LlmattrError(f"where the dictionary {str(place)!r} stands is not known here: {name!r} is none of {known}")
    return Hook(layer, where)


def check_shapes(weights: Sequence[torch.Tensor], k: int | None, place: Path) -> None:
    """Raise `LlmattrError` where encoder, its bias, decoder, its bias and thresholds do not fit each other."""
    shapes = [tuple(weight.shape) for weight in weights]
    n, d = (*shapes[2], 0)[:2]
    if shapes != [(n, d), (n,), (n, d), (d,), (n,)][: len(shapes)]:
        raise LlmattrError(f"the dictionary {str(place)!r} is damaged: its weights have the shapes {shapes}")
    if k is not None and not 1 <= k <= n:
        raise LlmattrError(f"the dictionary {str(place)!r} keeps {k} of {n} features, which cannot be")


def save_dictionary(dictionary: SparseAutoencoder, folder: str | Path, **about: object) -> Path:
    """Write a folder, which SAELens reads, too; `about` goes into its metadata."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    n, d = dictionary.rows.shape
    hook = next(name for name, where in HOOKS.items() if where == dictionary.hook.place)
    metadata = {
        "sae_lens_version": "6.0.0",  # the form of this file
        "model_name": dictionary.origin.model,
        "hook_name": f"blocks.{dictionary.hook.layer}.{hook}",
        "seqpos_slice": [dictionary.hook.start, None],
        "llmattr_model_hash": dictionary.origin.model_hash,
        **about,
    }
    kind = "standard" if dictionary.k is None else "topk"
    shape = {"architecture": kind if dictionary.threshold is None else "jumprelu", "d_in": d, "d_sae": n, "dtype": "float32"}
    few = {} if dictionary.k is None else {"k": dictionary.k, "rescale_acts_by_decoder_norm": False}
    input_ = {"apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none", "device": "cpu"}
    weights = {"W_enc": dictionary.encoder.T, "b_enc": dictionary.encoder_bias, "W_dec": dictionary.rows}
    weights |= {"b_dec": dictionary.bias, **({} if dictionary.threshold is None else {"threshold": dictionary.threshold})}
    write(place / SAE_LENS, save({name: tensor.detach().float().cpu().contiguous() for name, tensor in weights.items()}))
    write(place / CONFIG, json_text({**shape, **few, **input_, "metadata": metadata}))
    return place
