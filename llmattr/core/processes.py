"""Several processes of one job, as `accelerate launch` starts them: a share of the work each, then everyone's results."""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def several() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def is_main() -> bool:
    """Whether this process is the one that speaks and writes."""
    return int(os.environ.get("RANK", 0)) == 0


def share(items: Sequence[T]) -> list[T]:
    """This process's part: every k-th item of k processes."""
    if not several():
        return list(items)
    state = _state()
    return list(items[state.process_index :: state.num_processes])


def gathered(items: list[T]) -> list[T]:
    """The items of all processes, the same in each."""
    if not several():
        return items
    from accelerate.utils import gather_object

    _state()
    return gather_object(items)


def of_main(value: T) -> T:
    """The main process's value, in every process."""
    if not several():
        return value
    from accelerate.utils import broadcast_object_list

    _state()
    return broadcast_object_list([value])[0]


def device() -> str | None:
    """The device of this process among several; None where there is one process alone."""
    return str(_state().device) if several() else None


def _state() -> Any:
    import torch
    from accelerate import PartialState

    return PartialState() if torch.cuda.is_available() else PartialState(cpu=True)
