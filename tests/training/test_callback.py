"""A Trainer's run with our callback can be traced over its checkpoints."""

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.training import METHODS
from llmattr.training.callback import KeepCheckpoints
from llmattr.training.checkpoints import checkpoints_of, learning_rates_of
from llmattr.training.trace import build_index
from tests import tiny_models
from tests.training.test_training import ROWS


class Rows(torch.utils.data.Dataset):
    """Eight rows of tokens."""

    def __len__(self):
        return 8

    def __getitem__(self, number):
        ids = torch.arange(5 + number, 25 + number)
        return {"input_ids": ids, "labels": ids}


def run(folder, *callbacks, **how):
    """A Trainer of ten steps of two rows, that saves nothing by itself."""
    settings = {"save_strategy": "no", "report_to": [], "use_cpu": True, "disable_tqdm": True, "logging_strategy": "no"} | how
    args = TrainingArguments(str(folder), max_steps=10, per_device_train_batch_size=2, learning_rate=1e-2, **settings)
    Trainer(
        tiny_models.llama(), args, train_dataset=Rows(), processing_class=tiny_models.tokenizer(), callbacks=list(callbacks)
    ).train()


def test_it_leaves_what_an_index_needs(tmp_path):
    run(tmp_path, KeepCheckpoints((0.01, 0.5, 1.0)))
    found = checkpoints_of(tmp_path)
    assert [path.name for path in found] == ["checkpoint-1", "checkpoint-5", "checkpoint-10"]
    rates = np.array(learning_rates_of(found, []), dtype=float)  # of a linear schedule, as the step after sees it or before
    assert (np.abs(rates - 1e-2 * (1 - np.array([1, 5, 10]) / 10)) <= 1e-3 + 1e-9).all()
    build_index(None, ROWS, tmp_path / "i", METHODS["tracin"](normalize="steps"), checkpoints=tmp_path)


@pytest.mark.parametrize("shares", [(), (1.5,), (-0.1,), (float("nan"),)])
def test_shares_that_are_none(shares):
    with pytest.raises(LlmattrError, match="share"):
        KeepCheckpoints(shares)


def test_settings_that_would_undo_it(tmp_path):
    with pytest.raises(LlmattrError, match=r"save_total_limit=2 deletes some of the 5 checkpoints: leave it out"):
        run(tmp_path, KeepCheckpoints(), save_total_limit=2)
    with pytest.warns(LlmattrNote, match="save_only_model leaves no optimizer state"):
        run(tmp_path, KeepCheckpoints((1.0,)), save_only_model=True)
    assert not (tmp_path / "checkpoint-10" / "optimizer.pt").exists()
