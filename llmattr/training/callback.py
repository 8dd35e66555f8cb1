"""What a training run must leave so that it can be traced, for transformers' Trainer."""

from collections.abc import Sequence

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llmattr.errors import LlmattrError, check_number, note

SHARES = (0.06, 0.15, 0.3, 0.6, 1.0)  # of the steps: where the loss falls fast, and at the end


class KeepCheckpoints(TrainerCallback):
    """Saves a Trainer's checkpoints at these shares of its steps, with the learning rate and the optimizer's state.

    So `trace index --checkpoints FOLDER` has what it needs, whatever the Trainer's own saving is set to. Raises `LlmattrError`
    where the Trainer would delete some of them again.
    """

    def __init__(self, shares: Sequence[float] = SHARES) -> None:
        for share in shares:
            check_number("a share of the steps", share, 0)
        if not shares or max(shares) > 1:
            raise LlmattrError("checkpoints are kept at shares of the steps, each from 0 to 1")
        self.shares = shares

    def steps(self, last: int) -> list[int]:
        """The steps behind which a checkpoint is saved, of `last`.

        >>> KeepCheckpoints((0.06, 0.5, 1.0)).steps(10)
        [1, 5, 10]
        """
        return sorted({min(max(round(share * last), 1), last) for share in self.shares})

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Refuse settings that would undo it."""
        kept = len(self.steps(state.max_steps))
        if args.save_total_limit is not None and args.save_total_limit < kept:
            raise LlmattrError(f"save_total_limit={args.save_total_limit} deletes some of the {kept} checkpoints: leave it out")
        if args.save_only_model:
            note("save_only_model leaves no optimizer state: methods that go by Adam's steps will not have it")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> TrainerControl:
        """Ask for a checkpoint, and for the learning rate in its log."""
        if state.global_step in self.steps(state.max_steps):
            control.should_save = control.should_log = True
        return control
