# %% [markdown]
# # Which heads carry an answer?
#
# Attention heads are removed, a mask for each row of a batch, and the completion is scored. `verified`, the default,
# asks gradients which heads are worth it, and truly removes the strongest of them.

# %%
from llmattr import LM
from llmattr.components.build import attribute

model = LM.load("smollm2")
question = {"prompt": "The capital of Italy is", "completion": " Rome"}
heads = attribute(model, question)
print(heads)

# %% [markdown]
# As the last line of a cell it is a map of layers and heads; a click shows what a head attends to.

# %%
heads

# %% [markdown]
# **Is it about Italy, or about saying a city at all?** Set against another completion, what both share cancels out.

# %%
rather = attribute(model, {**question, "rather_than": " Paris"})
for name, found in {"Rome": heads, "Rome rather than Paris": rather}.items():
    print(f"{name:24}", ", ".join(f"{one.text} {one.score:+.2f}" for one in found.top(4)))

# %% [markdown]
# **Did gradients foretell what removal did?** Where they did not, the scores of heads that were not removed are worth
# little.

# %%
print(heads.details["agreement"])

# %% [markdown]
# Heads stand in for each other: what is lost without one may be small where what is lost without two is large. The same
# with the layers, of which there are few enough to leave each of them out:

# %%
layers = attribute(model, question, "leave-one-out", parts="layers")
for one in layers.top(5):
    print(f"{one.score:+7.2f}  {one.text}")
