"""Which rows each step of a training run saw, as its sampler drew them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch.utils.data import BatchSampler, DataLoader, IterableDataset, Sampler

STEPS = "rows_of_steps.jsonl"


class Drawn(Sampler[int]):
    """A sampler that remembers what it draws, each time that it is gone through."""

    def __init__(self, sampler: Iterable[int]) -> None:
        self.sampler = sampler
        self.epochs: list[list[int]] = []

    def __iter__(self) -> Iterator[int]:
        self.epochs.append([])
        for row in self.sampler:
            self.epochs[-1].append(int(row))
            yield row

    def __len__(self) -> int:
        return len(self.sampler)  # pyright: ignore[reportArgumentType]: those of data that has a length have one

    def set_epoch(self, epoch: int) -> None:
        """What accelerate tells the samplers that draw by the epoch."""
        from accelerate.data_loader import SeedableRandomSampler

        if isinstance(self.sampler, SeedableRandomSampler):
            self.sampler.set_epoch(epoch)


class Steps:
    """The rows of each step, a line of a file for each: `{"step": 1, "rows": [17, 4]}`, from 0, in the order of the data.

    Batches are drawn before they are used: what is drawn is cut into batches, of which as many are counted as were used.
    """

    def __init__(self, batches: BatchSampler, path: Path) -> None:
        self.drawn, self.size, self.path = Drawn(batches.sampler), batches.batch_size, path
        batches.sampler = self.drawn
        self.used, self.epoch, self.rows = 0, -1, list[int]()
        path.write_text("", encoding="utf-8")

    @staticmethod
    def of(loader: object, path: Path) -> "Steps | None":
        """Of a Trainer's data loader; None where the order cannot be told: of a stream, and of several processes."""
        match loader:
            case DataLoader(dataset=IterableDataset()):
                return None
            case DataLoader(batch_sampler=BatchSampler() as batches) if type(batches) is BatchSampler:
                return Steps(batches, path)
        return None

    def begin_epoch(self) -> None:
        """Another time through the data."""
        self.epoch, self.used = self.epoch + 1, 0

    def use(self) -> None:
        """One batch more was used."""
        start = self.used * self.size
        self.rows += self.drawn.epochs[self.epoch][start : start + self.size]
        self.used += 1

    def end(self, step: int) -> None:
        """Write the rows of the batches that were used since the last step."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "rows": self.rows}) + "\n")
        self.rows = []
