"""Dictionaries at one place of a model: one learnt from what stands there over texts, and two that were not learnt."""

from dataclasses import asdict
from pathlib import Path

from eval import ROOT
from eval.harness import data
from llmattr.components.features.baselines import baseline
from llmattr.components.features.dictionary import SparseAutoencoder
from llmattr.components.features.folders import load_dictionary
from llmattr.components.features.hook import Hook
from llmattr.components.features.plan import Plan
from llmattr.components.features.train import train
from llmattr.core.files import digest
from llmattr.model.lm import LM

FEATURES, NEURONS, DIRECTIONS = KINDS = ("features", "neurons", "directions")
LEARNING, TINY = Plan(1024, 16, steps=1500, batch=256, learning_rate=2e-3), Plan(64, 4, steps=20, batch=32)
SET, OWN = "wikitext2", ROOT / "recipes" / "documents" / "panama_canal.md"
LONG = 80  # characters: what is shorter is a heading


def dictionaries(lm: LM, folder: Path, layer: int, tokens: int, tiny: bool) -> dict[str, SparseAutoencoder]:
    """Of each kind, as many features active at a token; learnt when they are not in the folder yet."""
    plan, hook, texts = TINY if tiny else LEARNING, Hook(0 if tiny else layer), lines(tiny)
    known = digest([lm.fingerprint(), lm.record()["dtype"], asdict(plan), asdict(hook), tokens, texts])[:12]
    place = folder / f"dictionary {known}"
    rows = [{"text": line} for line in texts]
    learnt = load_dictionary(place) if place.exists() else train(lm, rows, place, hook, plan, tokens=tokens)[0]
    return {FEATURES: learnt, NEURONS: baseline(learnt, "neurons"), DIRECTIONS: baseline(learnt, "random")}


def lines(tiny: bool) -> list[str]:
    """Paragraphs of WikiText-2's validation file; of a note of our own for a tiny run."""
    file = OWN if tiny else data.files(SET) / "valid.txt"
    return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if len(line) > LONG]
