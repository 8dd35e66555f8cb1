"""Runs that are killed at random moments and started again end with the bytes of one that was left alone.

LLMATTR_KILLS=20 kills each kind of run 20 times, instead of a few times.
"""

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401 - so that the processes that are forked have it
import datasets  # noqa: F401
import joblib  # noqa: F401
import numpy as np
import pandas as pd  # noqa: F401
import pytest
import sklearn.linear_model  # noqa: F401
from tqdm import tqdm

import eval as evals
import eval.context.bench
import eval.games
import eval.training.facts
import llmattr.training.trace  # noqa: F401
from llmattr import cite
from llmattr.cli import main
from llmattr.context.methods.games import Shapley
from llmattr.context.methods.surrogates import ContextCite
from llmattr.context.removal import ablation
from llmattr.core.attribution import Attribution
from llmattr.model.lm import LM
from tests import tiny_models
from tests.context.test_store import LONG
from tests.eval.test_eval import numbers
from tests.retraining.test_retraining import ASKED, PLACES

KILLS = int(os.environ.get("LLMATTR_KILLS", 2))
IN_A_ROW = 4  # kills of one run, at most, before it is left to end
FORK = multiprocessing.get_context("fork")  # what is imported here is there at once, so that kills meet the work itself

Work = Callable[[Path], Any]  # of a folder


def command(arguments: Sequence[str], folder: Path) -> None:
    """A command line whose words name files in the folder by `{0}`, and beside it by `{1}`."""
    assert main([word.format(folder, folder.parent) for word in arguments]) == 0


def benchmark(name: str, arguments: Sequence[str], folder: Path) -> None:
    place = f"eval.{evals.BENCHMARKS[name].place}"
    import_module(place).command.main([word.format(folder) for word in arguments], standalone_mode=False)


def started(work: Work, folder: Path) -> Any:
    def quietly() -> None:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        tqdm.set_lock(threading.RLock())  # its own is shared by processes: one that is killed with it would stop all others
        work(folder)

    process = FORK.Process(target=quietly)
    process.start()
    return process


def ended(processes: Sequence[Any]) -> None:
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def killed(works: Sequence[Work], folder: Path, seconds: float, rng: np.random.Generator, most: int) -> int:
    """Start the works at once and kill them at random moments, again and again, until they may end; how many were killed."""
    count = 0
    for _ in range(IN_A_ROW):
        processes = [started(work, folder) for work in works]
        time.sleep(rng.uniform(0, seconds))
        for process in processes:
            if count < most and process.is_alive():
                process.kill()
                count += 1
        for process in processes:
            process.join()
            assert process.exitcode in (0, -9)
    ended([started(work, folder) for work in works])
    return count


def contents(folder: Path) -> dict[str, Any]:
    """What the files of a folder say, but for the time that it took and where they are."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".part" and path.name not in ("seconds.json", ".lock"):
            found[str(path.relative_to(folder))] = content(path, str(folder))
    return found


def content(path: Path, folder: str) -> Any:
    if path.suffix == ".npz":
        with np.load(path) as saved:
            return {name: saved[name].tobytes() for name in saved.files if name not in ("seconds", "cost CPU s", "cost bytes")}
    if path.suffix == ".json":
        return timeless(json.loads(path.read_text().replace(folder, "")))
    return b"" if path.suffix == ".md" else path.read_bytes()  # a benchmark's table, which is its JSON's


def timeless(record: Any) -> Any:
    if isinstance(record, dict):
        left = ("seconds", "CPU s", "date", "machine", "digest", "command", "resumed", "forward_passes", "notes", "bytes")
        return {key: timeless(value) for key, value in record.items() if key not in left}
    return [timeless(value) for value in record] if isinstance(record, list) else record


def check(works: Sequence[Work], made: Callable[[Path], None], tmp_path: Path, same: Callable[[Path, Path], None]) -> int:
    """Kill runs of these works until so many kills are done; `same(alone, folder)` compares a run's end with one's alone."""
    rng, kills, runs = np.random.default_rng(0), 0, 0
    alone, timed = tmp_path / "alone", tmp_path / "timed"
    for folder in (alone, timed):
        made(folder)
    for work in works:
        ended([started(work, alone)])
    begun = time.monotonic()
    ended([started(work, timed) for work in works])
    seconds = time.monotonic() - begun
    same(alone, timed)
    while kills < KILLS:
        folder = tmp_path / f"run-{runs}"
        made(folder)
        kills += killed(works, folder, seconds, rng, KILLS - kills)
        runs += 1
        same(alone, folder)
    print(f"{kills} kills in {runs} runs of {seconds:.1f} s: no difference")  # with `pytest -s`
    return kills


def same_bytes(alone: Path, folder: Path) -> None:
    one, other = contents(alone), contents(folder)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def rows(folder: Path) -> None:
    """Training rows and queries, in a new folder."""
    folder.mkdir()
    data = [
        {"prompt": f"{that} {what} of {where} is", "completion": f" {said}"}
        for that in ("The", "That", "This", "One", "Each", "Every", "No", "Some")
        for what, where, said in PLACES
    ]
    for name, these in (("rows", data), ("queries", ASKED)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in these))


INDEX = ("trace", "index", "--data", "{0}/rows.jsonl", "--out", "{0}/index", "--dim", "64")
DATA = ("--data", "{0}/rows.jsonl", "--queries", "{0}/queries.jsonl")
TRAIN = (*DATA, "--out", "{0}/runs", "--steps", "20", "--json", "{0}/it.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        (*INDEX, "--model", "{1}/model"),
        (*INDEX, "--checkpoints", "{1}/model", "--checkpoints", "{1}/other", "--learning-rates", "1,1"),
        ("trace", "index", "--data", "{0}/rows.jsonl", "--out", "{0}/index", "verbatim"),
        ("trace", "datamodel", *TRAIN, "--model", "{1}/model", "--n-models", "24"),
        ("trace", "shapley", *TRAIN, "--n-models", "24"),
    ],
    ids=["index", "checkpoints", "verbatim", "datamodel", "shapley"],
)
def test_commands(arguments, tmp_path):
    for name, seed in (("model", 0), ("other", 1)):
        tiny_models.save(tmp_path / name)
        tiny_models.llama(seed=seed).save_pretrained(tmp_path / name)
    assert check([partial(command, arguments)], rows, tmp_path, same_bytes) == KILLS


def same_figures(alone: Path, folder: Path) -> None:
    """The tables' numbers: in which company an ablation was scored leaves a trace behind the ninth digit alone."""
    one, other = (json.loads((place / "it.json").read_text()) for place in (alone, folder))
    assert one.keys() == other.keys()
    for part in one.keys() - {"agreement"}:  # where rounding may break a tie
        found = [numbers(timeless(record[part]["figures"])) for record in (one, other)]
        np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-9)


BENCHMARKS = {
    "lds": ("grad-dot,datamodel,in-run-shapley", same_bytes),
    "facts": ("bm25,grad-cos,datamodel", same_bytes),
    "context": ("context-cite,leave-one-out,bm25", same_figures),
    "games": ("ridge,shapley", same_figures),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark(name, tmp_path):
    methods, same = BENCHMARKS[name]
    arguments = ("--tiny", "--methods", methods, "--out", "{0}/it.json")
    assert check([partial(benchmark, name, arguments)], Path.mkdir, tmp_path, same) == KILLS


@pytest.mark.slow
def test_two_at_once_on_one_cache(tmp_path, monkeypatch):
    """In float64, in which the company that a prompt is scored in leaves no trace in the first nine digits."""
    monkeypatch.setattr(ablation, "EVERY", 0.02)
    lm = LM(tiny_models.llama().double(), tiny_models.tokenizer(), "tiny")

    def work(name: str, method: Any, folder: Path) -> None:
        cite(lm, LONG, "How wide?", response="It is 82 miles.", method=method, cache=folder / "cache").save(folder / name)

    works = [partial(work, "one.json", ContextCite(n_ablations=64)), partial(work, "two.json", Shapley(n_ablations=96))]

    def same(alone: Path, folder: Path) -> None:
        for name in ("one.json", "two.json"):
            one, other = (Attribution.load(place / name) for place in (alone, folder))
            np.testing.assert_allclose(other.values, one.values, rtol=0, atol=1e-9)
            np.testing.assert_array_equal(other.cited, one.cited)

    assert check(works, Path.mkdir, tmp_path, same) == KILLS
