"""Small dictionaries with known parts, and folders of them in the forms that others write."""

import json

import torch
from safetensors.torch import save_file

from llmattr.components.features.dictionary import Origin, SparseAutoencoder
from llmattr.components.features.hook import Hook

WIDTH = 32  # of the small models
RANDOM = Origin("random")


def autoencoder(layer=0, place="stream", *, size=48, width=WIDTH, k=6, threshold=None, seed=0, origin=RANDOM):
    """Random directions of length 1, read by their transposes, in float64."""
    drawn = torch.Generator().manual_seed(seed)
    rows = torch.randn(size, width, generator=drawn, dtype=torch.float64)
    rows /= rows.norm(dim=1, keepdim=True)
    biases = [0.1 * torch.randn(n, generator=drawn, dtype=torch.float64) for n in (size, width)]
    return SparseAutoencoder(rows.clone(), biases[0], rows, biases[1], Hook(layer, place), k, threshold, origin)


def sae_lens(folder, config, **weights):
    """A folder as SAELens writes it."""
    folder.mkdir(parents=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "sae_weights.safetensors")
    return folder


def sparsify(folder, config, **weights):
    """A folder as sparsify writes it."""
    folder.mkdir(parents=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    names = {"encoder": "encoder.weight", "encoder_bias": "encoder.bias"}
    save_file({names.get(name, name): tensor.contiguous() for name, tensor in weights.items()}, folder / "sae.safetensors")
    return folder
