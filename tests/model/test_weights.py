"""Weights in other forms than tensors of numbers: packed by quantisation, in parts with several processes."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from llmattr import LM, LlmattrError, build_index, cite
from tests import tiny_models

ROWS = [{"prompt": "It opened in", "completion": " 1914."}, {"prompt": "It has", "completion": " locks."}]


class Packed(torch.nn.Module):
    """A linear layer whose weights are bytes times a step, in a tuple; no gradient goes through it."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        step = linear.weight.abs().max() / 127
        self.packed = ((linear.weight / step).round().to(torch.int8), step.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole, step = self.packed
        return torch.nn.functional.linear(x.detach(), whole * step)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[f"{prefix}packed"] = self.packed
        destination[f"{prefix}dtype"] = torch.int8


def quantised(factor: float = 1.0) -> LM:
    """A small model with every linear layer packed, after its head was multiplied by a factor."""
    model = tiny_models.llama()
    with torch.no_grad():
        model.lm_head.weight[0] *= factor
    for name, layer in [(name, layer) for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)]:
        model.set_submodule(name, Packed(layer))
    return LM(model, tiny_models.tokenizer(), "quantised")


def test_a_quantised_model_is_cited_and_known_by_its_weights():
    """It ranks as the model that it was made of, and is another model with other weights."""
    asked = {"context": "It opened in 1914. It is long.", "query": "When?", "response": "In 1914.", "method": "leave-one-out"}
    found, whole = cite(quantised(), **asked), cite(LM(tiny_models.llama(), tiny_models.tokenizer()), **asked)
    assert found.values.argsort(axis=1).tolist() == whole.values.argsort(axis=1).tolist()
    assert quantised().fingerprint() == quantised().fingerprint() != quantised(3.0).fingerprint()


def test_what_has_no_gradients_is_refused_by_what_needs_them(tmp_path):
    with pytest.raises(LlmattrError, match="the model has no head that can be tracked: take other --parameters"):
        build_index(quantised(), ROWS, tmp_path / "i", "grad-cos")
    assert len(build_index(quantised(), ROWS, tmp_path / "j", "rep-sim").query(ROWS[0]).top(1)) == 1


def test_weights_in_parts_are_refused(tmp_path):
    """Under fully_shard, of one process here."""
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        model = fully_shard(tiny_models.llama(), mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(
            LlmattrError, match=r"lie in parts with several processes \(fully_shard\).*: save it, and give its folder"
        ):
            build_index((model, tiny_models.tokenizer()), ROWS, tmp_path / "i", "grad-cos")
    finally:
        dist.destroy_process_group()
