# %% [markdown]
# # Check an answer's own citations
#
# Your application's answers carry citations. Do they hold, and does a sentence lack one? By words alone it takes no
# model, and no second.

# %%
from llmattr import check

documents = [
    {"id": "guide.pdf", "title": "Guide", "text": "The tower was designed by Anna Berg. It was built in 1889."},
    {"id": "bridges.pdf", "title": "Bridges", "text": "The bridge was opened in 1932. It carries two roads."},
]
answer = "The tower was built in 1889 [1]. The bridge was opened in 1932 [1]. It carries two roads. Ships pay a toll [2]."
checked = check(None, answer, documents)
print(checked.to_text())

# %% [markdown]
# Three kinds of faults: a marker that does not hold, a sentence that nothing supports, and one that is supported and
# says not by what.

# %%
print("wrong:      ", [f"[{one.marker.number}] {one.standing}" for one in checked.wrong])
print("unsupported:", [checked.said(t) for t in checked.unsupported])
print("missing:    ", [checked.said(t) for t in checked.missing])

# %% [markdown]
# The same answer, mended: markers that do not hold are dropped or replaced, those that are missing are added.

# %%
print(checked.repaired().text)

# %% [markdown]
# **It compares words, names and numbers, and is mostly blind to right words in a wrong relation.** Who designed whom is
# told where the document says it alike; what was built in 1889 is not:

# %%
for said in ("Anna Berg was designed by the tower [1].", "Anna Berg was built in 1889 [1]."):
    print(f"{said} {len(check(None, said, documents).wrong)} wrong markers")

# %% [markdown]
# With a model a document must make the sentence likelier, too. `judge=` names an entailment model, which decides beside
# either.

# %%
asked = check("smollm2", answer, documents, "When were the tower and the bridge built?")
print(asked.to_text())
asked

# %% [markdown]
# In continuous integration: which kinds of faults are to fail the build? `checked.save("checks.xml")` writes a test
# case for each marker and each sentence, as such systems show them. On the command line that is `llmattr check
# --questions answers.jsonl --quick --fail-on wrong,unsupported --junit checks.xml` ([in CI](../start/check.md)).

# %%
print(checked.fails(on=["wrong", "unsupported"]))
