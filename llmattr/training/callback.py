"""What a training run must leave so that it can be traced, for transformers' Trainer."""

from collections.abc import Sequence
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llmattr.errors import LlmattrError, check_number, note
from llmattr.training.seen import STEPS, Steps

SHARES = (0.06, 0.15, 0.3, 0.6, 1.0)  # of the steps: where the loss falls fast, and at the end


class KeepCheckpoints(TrainerCallback):
    """Saves a Trainer's checkpoints at these shares of its steps, with the learning rate and the optimizer's state.

    So `trace index --checkpoints FOLDER` has what it needs, whatever the Trainer's own saving is set to. Beside them the file
    rows_of_steps.jsonl says which rows of the data each step saw (`Steps`), of a run of one process that is not resumed. Raises
    `LlmattrError` where the Trainer would delete some of the checkpoints again.
    """

    def __init__(self, shares: Sequence[float] = SHARES) -> None:
        for share in shares:
            check_number("a share of the steps", share, 0)
        if not shares or max(shares) > 1:
            raise LlmattrError("checkpoints are kept at shares of the steps, each from 0 to 1")
        self.shares = shares
        self.seen: Steps | None = None

    def steps(self, last: int) -> list[int]:
        """The steps behind which a checkpoint is saved, of `last`.

        >>> KeepCheckpoints((0.06, 0.5, 1.0)).steps(10)
        [1, 5, 10]
        """
        return sorted({min(max(round(share * last), 1), last) for share in self.shares})

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: object) -> None:
        """Refuse settings that would undo it; begin to look which rows are seen."""
        kept = len(self.steps(state.max_steps))
        if args.save_total_limit is not None and args.save_total_limit < kept:
            raise LlmattrError(f"save_total_limit={args.save_total_limit} deletes some of the {kept} checkpoints: leave it out")
        if args.save_only_model:
            note("save_only_model leaves no optimizer state: methods that go by Adam's steps will not have it")
        assert args.output_dir is not None  # what was not given is set by the arguments themselves
        path = Path(args.output_dir) / STEPS
        path.parent.mkdir(parents=True, exist_ok=True)
        self.seen = None if state.global_step else Steps.of(more["train_dataloader"], path)
        if self.seen is None:
            note(f"{STEPS} is of runs of one process, from their start, on data with a length: not of this one")

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Another time through the data."""
        if self.seen is not None:
            self.seen.begin_epoch()

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """A batch whose gradient is added to the next one's."""
        if self.seen is not None:
            self.seen.use()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> TrainerControl:
        """Ask for a checkpoint, and for the learning rate in its log."""
        if self.seen is not None:
            self.seen.use()
            self.seen.end(state.global_step)
        if state.global_step in self.steps(state.max_steps):
            control.should_save = control.should_log = True
        return control
