# %% [markdown]
# # Which method should I believe?
#
# Two questions, and a method may be good at one and poor at the other. *Support*: does it find what states the answer
# (MRR)? *Prediction*: do its scores foretell what the model says when sources are removed (LDS: a rank correlation with
# ablations that it has not seen; 0 is chance)? First what was measured, from the repository's results; then on a
# question of your own.

# %%
import json
from pathlib import Path

import numpy as np
import pandas as pd

from llmattr import LM, cite, metrics
from llmattr.ablation import random_masks

here = Path.cwd()
results = next(folder / "eval" / "results" for folder in (here, *here.parents) if (folder / "eval" / "results").is_dir())


def table(name, part, *columns):
    """Some columns of a published table, the highest LDS first."""
    record = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))[part]
    print(record["about"], record["command"], record["date"], sep="\n")
    shown = pd.DataFrame(record["figures"]).set_index("method")[list(columns)]
    return shown.sort_values("LDS", ascending=False).round(2)


# %%
context = table("families", "context", "LDS", "LDS 95 %", "MRR", "MRR n", "passes")
print(context.to_string())

# %% [markdown]
# The intervals are wide: they are of few questions. **Read a difference only where the record says so**:

# %%
notes = json.loads((results / "families.json").read_text(encoding="utf-8"))["context"]["notes"]
print(*(note for note in notes if note.startswith(("LDS beside", "MRR beside"))), sep="\n")

# %% [markdown]
# Training rows, judged by models that were trained without some of them. `ceiling`: what noise between trainings leaves
# possible.

# %%
training = table("lds", "table", "LDS", "LDS 95 %", "models", "CPU s")
print(training.head(12).to_string())

# %% [markdown]
# **Now your own question.** Three methods score the same answer; then the model is asked under 32 random contexts that
# none of them has seen (they draw theirs with seed 0, these are drawn with seed 1).

# %%
document = "The tower was designed by Anna Berg. It was built in 1889. It is 330 metres tall. It is red."
asked = {"context": document, "query": "When was the tower built?", "response": "The tower was built in 1889."}
lm, methods = LM.load("smollm2"), ["context-cite", "leave-one-out", "bm25"]
found = {method: cite(lm, **asked, method=method, verify=False) for method in methods}
ablation = found["context-cite"].session.ablation
masks = random_masks(32, len(ablation.sources), seed=1)
outputs = ablation(masks)

# %%
lds = pd.Series({method: metrics.lds(one.values, masks, outputs)[0] for method, one in found.items()}, name="LDS")
lds["random"] = metrics.lds(np.random.default_rng(0).normal(size=found["bm25"].values.shape), masks, outputs)[0]
print(lds.round(2).to_string())

# %% [markdown]
# One question tells next to nothing. `recipes/compare_methods.py` does this over a file of your questions or rows, with
# intervals.
