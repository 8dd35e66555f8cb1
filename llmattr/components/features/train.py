"""`train`: a dictionary of features of one place in a model, learnt from texts and saved as a folder."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from llmattr.components.features.activations import activations, read_pieces
from llmattr.components.features.dictionary import Dictionary, Origin, SparseAutoencoder, unexplained
from llmattr.components.features.folders import save_dictionary
from llmattr.components.features.hook import Hook
from llmattr.components.features.learning import learn
from llmattr.components.features.plan import Plan
from llmattr.components.features.splice import host_of
from llmattr.core.files import digest, read_record, write_record
from llmattr.errors import LlmattrError, check_number
from llmattr.model.lm import LM
from llmattr.text.reading import Data

RUN = "run.json"
FEWEST = 20  # tokens, of which one is held out
HELD_OUT = 0.05  # share of the tokens that judge


@dataclass(frozen=True)
class Quality:
    """How good a dictionary is on so many `tokens` that it did not learn from.

    `fvu`: the share of their variance that it does not explain. `l0`: features active at one. `dead`: the share of all
    features that none makes active.
    """

    fvu: float
    l0: float
    dead: float
    tokens: int


def train(
    model: object, data: Data, out: str | Path, hook: Hook, plan: Plan = Plan(), *, tokens: int = 200_000, seed: int = 0
) -> tuple[SparseAutoencoder, Quality]:
    """Learn a dictionary of what stands at the hook over at most so many tokens of the data, and save it as the folder `out`.

    `data`: rows as for training (`read_pieces`). A run that was killed goes on where it was when it
    is started again, and ends at the same bits. Raises `LlmattrError` where `out` is there, or the model has no such place.
    """
    place = Path(out)
    check_new(place)
    plan.check()
    check_number("tokens", tokens, FEWEST, whole=True)
    lm = LM.load(model)
    host, texts = host_of(lm, hook), read_pieces(lm, data)
    np.random.default_rng(seed).shuffle(texts)  # so that those held out are like the others
    if sum(len(ids) - 1 for ids in texts) < FEWEST:
        raise LlmattrError("the data have too few tokens to learn features from: give more, or longer texts")
    origin = Origin(str(place), lm.name, lm.fingerprint()["model_hash"])
    run = {"plan": asdict(plan), "hook": asdict(hook), "tokens": tokens, "seed": seed, "data": digest(texts)}
    run |= {**asdict(origin), "dtype": lm.record()["dtype"]}  # other numbers stand there in another type
    folder = begun(place, run)
    states = activations(lm, host, texts, tokens, folder)
    judging = max(1, int(HELD_OUT * len(states)))
    found = replace(learn(states[:-judging], plan, seed, lm.device, folder), hook=replace(hook, start=1), origin=origin)
    quality = judged(found, states[-judging:])
    save_dictionary(found, folder / "whole", training=run, quality=asdict(quality)).replace(place)
    shutil.rmtree(folder)
    return found, quality


def check_new(place: Path) -> None:
    """Raise `LlmattrError` where there is something already."""
    if place.exists():
        raise LlmattrError(f"cannot write {str(place)!r}: it is there already, and a dictionary is saved as a new folder")


def begun(place: Path, run: Mapping[str, Any]) -> Path:
    """The folder beside `place` for all that a run keeps on the way; what another run left there is thrown away."""
    folder = place.with_name(f".{place.name}.llmattr-features")  # nobody's but ours
    try:
        same = read_record(folder / RUN) == run
    except (FileNotFoundError, LlmattrError):
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_record(folder / RUN, dict(run))
    return folder


@torch.no_grad()
def judged(found: Dictionary, states: Float32[np.ndarray, "tokens d"]) -> Quality:
    """How good it is on these activations."""
    x = torch.from_numpy(np.array(states)).to(found.rows)
    codes = torch.cat([found.encode(some) for some in x.split(1024)])
    error = torch.cat([some - found.decode(of) for some, of in zip(x.split(1024), codes.split(1024), strict=True)])
    active = codes > 0
    l0, dead = active.sum(dim=1).double().mean(), 1 - active.any(dim=0).double().mean()
    return Quality(unexplained(x, error), float(l0), float(dead), len(x))
