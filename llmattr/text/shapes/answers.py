"""An answer that comes with its documents, as frameworks return it; its citations are marks in its text."""

from collections.abc import Mapping, Sequence

from llmattr.text.forms import named

# Where the text stands, and the documents: LlamaIndex's `Response`, Haystack's `GeneratedAnswer`, a chain of LangChain.
PARTS = (("response", "source_nodes"), ("data", "documents"), ("answer", "context"))
PLACE = "source_index"  # in the metadata of a document of Haystack's: its number in the prompt, from 1
MOST = 1000  # documents of a prompt


def with_documents(given: object) -> tuple[str, Sequence[object]] | None:
    """The text of such an answer, and what it was given, in the order of the numbers; None for what is none.

    >>> with_documents({"input": "When?", "answer": "In 1889 [1].", "context": ["It was built in 1889."]})
    ('In 1889 [1].', ['It was built in 1889.'])
    """
    for parts in PARTS:
        text, documents = named(given, parts).values()
        if isinstance(text, str) and isinstance(documents, (list, tuple)):
            return text, _in_their_places(documents)
    return None


def _in_their_places(documents: Sequence[object]) -> Sequence[object]:
    """With an empty text for each that was left out: Haystack may keep those alone that are referenced."""
    known = [named(one, ["meta"])["meta"] for one in documents]
    numbers = [one.get(PLACE) if isinstance(one, Mapping) else None for one in known]
    placed = {
        number: one for number, one in zip(numbers, documents, strict=True) if isinstance(number, int) and 0 < number <= MOST
    }
    return documents if len(placed) < len(documents) else [placed.get(i, "") for i in range(1, max(placed, default=0) + 1)]
