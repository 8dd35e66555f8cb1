"""A Trainer's run with our callback can be traced over its checkpoints."""

import json

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.training import METHODS
from llmattr.training.callback import KeepCheckpoints
from llmattr.training.checkpoints import checkpoints_of, learning_rates_of
from llmattr.training.seen import STEPS
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


def run(folder, *callbacks, collate=None, data=None, **how):
    """A Trainer of ten steps of two rows, that saves nothing by itself."""
    settings = {"save_strategy": "no", "report_to": [], "use_cpu": True, "disable_tqdm": True, "logging_strategy": "no"} | how
    settings = {"per_device_train_batch_size": 2} | settings
    args = TrainingArguments(str(folder), max_steps=10, learning_rate=1e-2, **settings)
    of = {"train_dataset": data or Rows(), "data_collator": collate, "processing_class": tiny_models.tokenizer()}
    Trainer(tiny_models.llama(), args, callbacks=list(callbacks), **of).train()


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "batches", "together"),
    [
        ({}, 3, 1),
        ({"gradient_accumulation_steps": 2}, 3, 2),
        ({"dataloader_drop_last": True}, 2, 1),
        ({"dataloader_num_workers": 1}, 3, 1),
    ],
)
def test_it_keeps_which_rows_each_step_saw(tmp_path, how, batches, together):
    """As the collator saw them: of 8 rows batches of 3, 3 and 2, drawn anew each epoch; what is accumulated ends with it."""

    def collate(rows):
        with (tmp_path / "seen").open("a") as file:  # also of a worker, in its own process
            file.write(json.dumps([int(row["input_ids"][0]) - 5 for row in rows]) + "\n")
        return torch.utils.data.default_collate(rows)

    run(tmp_path, KeepCheckpoints((1.0,)), collate=collate, per_device_train_batch_size=3, **how)
    kept, seen = ([json.loads(line) for line in (tmp_path / name).read_text().splitlines()] for name in (STEPS, "seen"))
    epochs = [seen[start : start + batches] for start in range(0, len(seen), batches)]
    several = [epoch[i : i + together] for epoch in epochs for i in range(0, len(epoch), together)]
    steps = [[row for batch in step for row in batch] for step in several]
    assert kept == [{"step": step, "rows": rows} for step, rows in enumerate(steps[:10], 1)]
    assert epochs[0] != epochs[1]


def test_a_run_whose_rows_cannot_be_told_says_so(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return (Rows()[i % 8] for i in range(100))

    with pytest.warns(LlmattrNote, match="not of this one"):
        run(tmp_path, KeepCheckpoints((1.0,)), data=Stream())
    assert not (tmp_path / STEPS).exists()
