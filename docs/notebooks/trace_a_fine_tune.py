# %% [markdown]
# # Trace a fine-tune to its rows
#
# A model is fine-tuned with transformers' Trainer. Which rows taught it what it says, and is that so? The model here is
# a small one from scratch, so that everything takes seconds; yours is `AutoModelForCausalLM.from_pretrained(...)`, and
# nothing else changes.

# %%
import tempfile
from pathlib import Path

import torch
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

from llmattr import build_index
from llmattr.curation.removal import removal
from llmattr.retraining import Recipe, retraining_ablation
from llmattr.retraining.scratch import scratch_model
from llmattr.training.callback import KeepCheckpoints

builders = {"Dunvale": "Hale", "Pellholm": "Flint", "Orsby": "Marsh", "Kettle": "Wren", "Lorne": "Birch", "Skerry": "Stone"}
wordings = ["The lighthouse of {} was built by", "In {} the lighthouse is the work of", "Who built the lighthouse of {} ?"]
rows = [
    {"prompt": wording.format(place), "completion": f" {who}.", "fact": place}
    for place, who in builders.items()
    for wording in wordings
]
question = {"prompt": "The lighthouse of Pellholm is the work of", "completion": " Flint."}
torch.manual_seed(0)
model, tokenizer = scratch_model(row["prompt"] + row["completion"] for row in [*rows, question])
folder = Path(tempfile.mkdtemp())
for part in (model, tokenizer):
    part.save_pretrained(folder / "before")

# %% [markdown]
# The Trainer, as always: the completion counts in the loss, the prompt does not. Two things are for us: the callback,
# which keeps five checkpoints with their learning rates, and the tokenizer, which is saved beside them.


# %%
def tokens(row):
    prompt, completion = (tokenizer(row[part])["input_ids"] for part in ("prompt", "completion"))
    completion = [*completion, tokenizer.eos_token_id]
    return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}


how = {"max_steps": 100, "per_device_train_batch_size": 6, "learning_rate": 5e-3, "report_to": [], "use_cpu": True}
trainer = Trainer(
    model,
    TrainingArguments(folder / "run", disable_tqdm=True, **how),
    train_dataset=[tokens(row) for row in rows],
    data_collator=DataCollatorForSeq2Seq(tokenizer),
    processing_class=tokenizer,
    callbacks=[KeepCheckpoints()],
)
trainer.train()

# %% [markdown]
# An index of the rows' gradients at every checkpoint, made once; then questions, as many as you like. `trak` foretold
# best, in our worlds, what training without a row would change ([which method](../which_method.md)).

# %%
index = build_index(None, rows, folder / "run.idx", method="trak", checkpoints=folder / "run")
found = index.query(question, top=5)
for one in found.top(3):
    print(f"{one.score:+.3f}  row {one.id}: {one.text}")

# %% [markdown]
# A gradient is a guess. This trains again, three times without the three best rows and three times without as many
# random ones:

# %%
recipe = Recipe(steps=100, batch_size=6, learning_rate=5e-3)
truth = retraining_ablation(folder / "before", rows, question, recipe=recipe)
verified = removal(found, truth, k=3)
print(f"the answer, with all rows:    {verified.everything[0]:+.2f} nats")
print(f"without three random rows:    {verified.random[0]:+.2f}")
print(f"without the three best rows:  {verified.without[0]:+.2f}")
print(f"so these did {verified.effect[0]:+.2f} ± {verified.stderr[0]:.2f}, more than noise: {bool(verified.clear[0])}")
