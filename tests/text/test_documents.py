"""What retrievers return is read as it is: classes of the same shape here, the real packages in the slow tests."""

import datetime
import itertools
import json
import uuid
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pandas as pd
import pytest

from llmattr import cite
from llmattr.core.progress import Stopped, until
from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM
from llmattr.text import documents
from llmattr.text.documents import read_documents
from llmattr.text.messages import conversation
from tests.tiny_models import CHATML, llama, tokenizer

TEXT = "The tower was built in 1889."
KNOWN = {"title": "Guide", "source": "guide.pdf", "page": 3}


@dataclass
class LangChain:
    page_content: str = TEXT
    metadata: dict = field(default_factory=lambda: dict(KNOWN))
    id: str | None = "7"


@dataclass
class TextNode:
    """LlamaIndex's, with all that it inherits of a node."""

    text: str = TEXT
    metadata: dict = field(default_factory=lambda: dict(KNOWN))
    node_id: str = "7"
    embedding: tuple = (0.5, 0.25)

    def get_content(self) -> str:
        return self.text


@dataclass
class NodeOfParts:
    """LlamaIndex's `Node`: its text is only told."""

    metadata: dict = field(default_factory=lambda: dict(KNOWN))
    node_id: str = "7"

    def get_content(self) -> str:
        return TEXT


@dataclass
class NodeWithScore:
    node: object
    score: float | None = None

    @property
    def text(self) -> str:
        raise ValueError("the node is no TextNode")


@dataclass
class Haystack:
    content: str | None = TEXT
    meta: dict = field(default_factory=lambda: dict(KNOWN))
    id: str = "7"
    score: float | None = None
    blob: None = None


ROW = {"id": "7", "text": TEXT, **KNOWN}
FRAME = pd.DataFrame([ROW, {"id": "8", "text": "It is red.", "title": None, "source": None, "page": None}])
NESTED = {"id": "7", "metadata": KNOWN}


@pytest.mark.parametrize(
    "given",
    [
        [LangChain()],
        LangChain(),
        (one for one in [LangChain()]),
        [TextNode()],
        [NodeOfParts()],
        [NodeWithScore(TextNode())],
        NodeWithScore(NodeOfParts()),
        SimpleNamespace(response="In 1889.", source_nodes=[NodeWithScore(TextNode())]),
        [Haystack()],
        {"documents": [Haystack()]},
        [ROW],
        ROW,
        [{**NESTED, "text": TEXT}],
        [{**NESTED, "page_content": TEXT}],
        [{"id": "7", "meta": KNOWN, "content": TEXT}],
        [{**NESTED, "document": TEXT}],
        [{**NESTED, "snippet": TEXT, "embedding": np.zeros(8)}],
        [{"node_id": "7", "snippet": TEXT, "text": None, **KNOWN}],
        {"ids": [["7"]], "documents": [[TEXT]], "metadatas": [[KNOWN]], "embeddings": None},
        {"ids": ["7"], "documents": [TEXT], "metadatas": [KNOWN]},
        FRAME[:1],
        FRAME.iloc[0],
        [row for _, row in FRAME[:1].iterrows()],
        FRAME[:1].itertuples(index=False),
        datasets.Dataset.from_list([ROW]),
        datasets.Dataset.from_list([ROW]).to_iterable_dataset(),
        np.array([ROW], dtype=object),
    ],
)
def test_every_shape_of_one_document(given):
    (found,) = read_documents(given)
    assert (found.text, found.id, found.title, found.metadata) == (TEXT, "7", "Guide", KNOWN)


@pytest.mark.parametrize(
    "given",
    [
        [(TEXT, 0.5)],
        (TEXT, np.float32(0.5)),
        [(LangChain(metadata={}), 0.5)],
        [NodeWithScore(TextNode(metadata={}), 0.5)],
        [Haystack(meta={}, score=0.5)],
        [(Document(TEXT, "7"), 0.5)],
        [(Haystack(meta={}, score=0.1), 0.5)],
        [{"text": TEXT, "score": np.float64(0.5)}],
    ],
)
def test_scores_are_metadata(given):
    (found,) = read_documents(given)
    assert (found.text, found.metadata) == (TEXT, {"score": 0.5})


def test_several_of_several_kinds():
    found = read_documents(iter([TEXT, LangChain(id=None), {"text": "c", "title": "T"}, Haystack(), Document("d", "mine")]))
    assert [document.id for document in found] == ["1", "Guide", "T", "7", "mine"]
    assert found[2] == Document("c", "T", "T")  # a title alone is no metadata: as it always was


def test_rows_keep_what_their_cells_say():
    first, second = read_documents(FRAME)
    assert first.metadata == KNOWN
    assert (second.text, second.title, second.metadata) == ("It is red.", None, {})
    assert [document.text for document in read_documents(FRAME["text"])] == [TEXT, "It is red."]
    row = namedtuple("row", "text title url")(TEXT, "Guide", "https://example.org")
    assert read_documents([row])[0].metadata == {"title": "Guide", "url": "https://example.org"}


class Answer:
    """Elasticsearch's: it asks its body for what it has not."""

    def __init__(self, body):
        self.body = body

    def __getattr__(self, name):
        return getattr(self.body, name)

    def __getitem__(self, name):
        return self.body[name]

    def __iter__(self):
        return iter(self.body)


HIT = {"_index": "guides", "_id": "7", "_score": 1.5, "_source": {"content": TEXT, **KNOWN}}
HITS = {"took": 1, "hits": {"total": {"value": 1}, "hits": [HIT]}}
MATCH = {"id": "7", "score": 0.5, "values": [0.5] * 20, "metadata": {"text": TEXT, **KNOWN}}
PART = {"type": "text", "text": TEXT}
FOUND = {"id": "7", "filename": "guide.pdf", "score": 0.5}


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"matches": [MATCH], "namespace": ""}, {"score": 0.5, **KNOWN}),  # Pinecone
        (SimpleNamespace(matches=[SimpleNamespace(**MATCH)]), {"score": 0.5, **KNOWN}),
        (HITS, {"_index": "guides", "_score": 1.5, **KNOWN}),  # Elasticsearch
        (Answer(HITS), {"_index": "guides", "_score": 1.5, **KNOWN}),
        ([HIT], {"_index": "guides", "_score": 1.5, **KNOWN}),
        (
            [SimpleNamespace(id="7", score=0.5, payload={"page_content": TEXT, "metadata": KNOWN})],
            {"score": 0.5, **KNOWN},
        ),  # Qdrant
        (SimpleNamespace(points=[SimpleNamespace(id="7", payload={"text": TEXT, **KNOWN})]), KNOWN),
        ({"result": {"points": [{"id": "7", "payload": {"text": TEXT, **KNOWN}}]}}, KNOWN),
        (SimpleNamespace(objects=[SimpleNamespace(uuid="7", properties={"text": TEXT, **KNOWN})]), KNOWN),  # Weaviate
        ([[{"id": "7", "entity": {"text": TEXT, **KNOWN}}]], KNOWN),  # Milvus
        ({"retrievalResults": [{"id": "7", "content": {"text": TEXT}, "metadata": KNOWN}]}, KNOWN),  # Bedrock
        ({"retriever": {"documents": [Haystack()]}}, KNOWN),
        ({"object": "page", "data": [{**FOUND, **KNOWN, "content": [PART]}]}, {"filename": "guide.pdf", "score": 0.5, **KNOWN}),
        (SimpleNamespace(data=[SimpleNamespace(id="7", **KNOWN, content=[SimpleNamespace(**PART)])]), KNOWN),  # OpenAI
        ({"type": "file_search_call", "results": [{"id": "7", "text": TEXT, **KNOWN}]}, KNOWN),
        ({"type": "document", "id": "7", **KNOWN, "source": {"type": "text", "data": TEXT}}, {"title": "Guide", "page": 3}),
        (
            [{"type": "document", "id": "7", **KNOWN, "source": {"type": "content", "content": [PART]}}],
            {"title": "Guide", "page": 3},
        ),
        ([{"type": "search_result", "id": "7", **KNOWN, "content": [PART]}], KNOWN),  # Anthropic
    ],
)
def test_results_of_stores_and_searches(given, known):
    (found,) = read_documents(given)
    assert (found.text, found.id, found.title, found.metadata) == (TEXT, "7", "Guide", known)


def test_a_search_result_of_a_chat_is_a_document():
    part = {"type": "search_result", "source": "https://example.org", "title": "Guide", "content": [PART]}
    (message,) = conversation(None, None, [{"role": "user", "content": [part, PART]}])
    (document,) = message.documents
    assert (document.text, document.metadata) == (TEXT, {"title": "Guide", "source": "https://example.org"})


def test_a_text_that_names_a_file_stays_a_text_with_a_note(tmp_path, monkeypatch, recwarn):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper.pdf").write_text("x")
    for given in ("paper.pdf", [TEXT, "paper.pdf"]):
        with pytest.warns(LlmattrNote, match=r"'paper.pdf' is taken as text; .* give Path\('paper.pdf'\) to read it"):
            assert read_documents(given)[-1].text == "paper.pdf"
    recwarn.clear()
    for text in ("other.pdf", TEXT, "a\0b", " ", "word " * 9999, "paper.pdf\n"):
        read_documents([text, TEXT])
    assert not recwarn


class Broken:
    metadata: dict = {}  # noqa: RUF012

    @property
    def text(self):
        raise KeyError("not\nloaded")


class Endless(Answer):
    def __len__(self):
        return 2


def test_a_result_of_several_queries_with_distances():
    given = {"documents": [["a", "b"], ["c"]], "metadatas": [[{"page": 1}, None], [{}]], "distances": [[0.1, 0.2], [0.3]]}
    found = read_documents({"ids": [["x", "y"], ["z"]], **given})
    assert [(document.id, document.text) for document in found] == [("x", "a"), ("y", "b"), ("z", "c")]
    assert [document.metadata for document in found] == [{"distance": 0.1, "page": 1}, {"distance": 0.2}, {"distance": 0.3}]


def test_metadata_is_what_json_has():
    known = {
        "date": datetime.date(2024, 1, 2),
        "at": pd.Timestamp("2024-01-02 03:04:05"),
        "path": Path("a/b"),
        "uid": uuid.UUID(int=5),
        "share": np.float32(0.5),
        "counts": np.arange(2),
        "none": float("nan"),
        "nested": {"authors": ["Ann", {"name": "Bo"}], 1: None},
    }
    (found,) = read_documents([LangChain(metadata=known)])
    assert found.metadata == {
        "date": "2024-01-02",
        "at": "2024-01-02 03:04:05",
        "path": "a/b",
        "uid": "00000000-0000-0000-0000-000000000005",
        "share": 0.5,
        "counts": [0, 1],
        "none": None,
        "nested": {"authors": ["Ann", {"name": "Bo"}], "1": None},
    }
    assert json.loads(json.dumps(found.metadata)) == found.metadata


def test_an_endless_generator_is_refused_at_a_stated_number(monkeypatch):
    taken = []
    endless = (taken.append(i) or "a" for i in itertools.count())
    with pytest.raises(LlmattrError, match="the context has given 10,000 documents and goes on"):
        read_documents(endless)
    assert len(taken) == documents.MOST + 1
    monkeypatch.setattr(documents, "MOST", 2)
    assert len(read_documents(iter("ab"))) == 2
    assert len(read_documents(["a", "b", "c"])) == 3  # a list says how many there are


CYCLE = {}
CYCLE["me"] = CYCLE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Haystack(content=None)], "document 1 must be a text, or a dict with 'text'"),
        ([TEXT, SimpleNamespace(metadata={})], "document 2 must be a text"),
        (FRAME.drop(columns="text"), "document 1 must be a text"),
        ({"ids": [["a"]], "documents": None}, "document 1 must be a text"),
        ({"documents": "a text"}, "document 1 must be a text"),
        (SimpleNamespace(source_nodes=[]), "the context is empty"),
        (iter([]), "the context is empty"),
        ({TEXT}, "must be a text or a list of documents"),  # in no order
        (b"bytes", "must be a text or a list of documents"),
        (5, "must be a text or a list of documents"),
        ([LangChain(metadata=CYCLE)], "the metadata of document 1 contain themselves"),
        ([TEXT, Broken()], "document 2, a Broken, cannot be read .KeyError: "),
        ((TEXT[: 1 // i] for i in (1, 0)), "the context broke off behind 1 documents .ZeroDivisionError: "),
        (np.array("a"), "the context broke off behind 0 documents .TypeError: "),
        (Endless(itertools.repeat(TEXT)), "the context has given 2 documents and goes on"),
        ({"a": {"documents": [TEXT]}, "b": {"documents": [TEXT]}}, "several of a, b have documents: give those of one"),
        ([{"type": "document", "source": {"type": "base64", "data": "JVBE"}}], "document 1 must be a text"),
        ([LangChain(metadata={"a": "\ud800"})], "the metadata of document 1 is not valid Unicode"),
    ],
)
def test_what_is_no_document_is_refused_in_one_line(given, message):
    with pytest.raises(LlmattrError, match=message) as error:
        read_documents(given)
    assert "\n" not in str(error.value)


def test_a_file_is_not_a_list_of_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("A line.\nAnother.\n")
    with path.open() as file, pytest.raises(LlmattrError, match="must be a text or a list of documents"):
        read_documents(file)


def test_documents_in_a_chat_have_metadata_too():
    part = {"type": "document", "text": TEXT, "title": "Guide", "url": "https://example.org"}
    (message,) = conversation(None, None, [{"role": "user", "content": [part, "When?"]}])
    (document,) = message.documents
    assert document.metadata == {"title": "Guide", "url": "https://example.org"}


def test_what_a_request_asks_of_a_document_is_not_known_of_it():
    source = {"type": "text", "media_type": "text/plain", "data": TEXT}
    asks = {"citations": {"enabled": True}, "cache_control": {"type": "ephemeral"}}
    part = {"type": "document", "source": source, "title": "Guide", **asks}
    (message,) = conversation(None, None, [{"role": "user", "content": [part, {"type": "text", "text": "When?"}]}])
    (document,) = message.documents
    assert (document.text, document.title, document.metadata) == (TEXT, "Guide", {})


@pytest.fixture(scope="module")
def tiny():
    return LM(llama(), tokenizer(CHATML))


def test_cite_reads_a_generator_once_and_shows_the_model_title_and_text_alone(tiny):
    texts = [TEXT, "It is red."]
    plain = cite(tiny, [{"text": text, "title": "Guide"} for text in texts], "When?", response="In 1889.")
    for known in ({"a": 1}, {"a": 2}):
        given = (LangChain(text, {"title": "Guide", **known}) for text in texts)
        result = cite(tiny, given, "When?", response="In 1889.")
        np.testing.assert_array_equal(result.values, plain.values)
        assert result.sources.metadata(0) == {"title": "Guide", **known}


def test_other_metadata_is_the_same_prompt_to_the_cache(tiny, tmp_path):
    def run(metadata):
        given = [LangChain(TEXT + " It is red.", metadata)]
        return cite(tiny, given, "When?", response="In 1889.", method="leave-one-out", verify=False, cache=tmp_path)

    assert "resumed" not in run({"score": 0.1}).run
    assert run({"score": 0.2}).run["resumed"] == 3  # all of them: the whole context, and without each sentence


@pytest.mark.slow
class TestRealPackages:
    def check(self, given, metadata=KNOWN, title="Guide"):
        (found,) = read_documents(given)
        assert (found.text, found.title) == (TEXT, title)
        assert {key: value for key, value in found.metadata.items() if key != "score"} == metadata
        return found

    def test_langchain(self):
        core = pytest.importorskip("langchain_core", reason="langchain-core is not installed")
        from langchain_core.documents import Document as Given
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_core.vectorstores import InMemoryVectorStore

        assert core
        given = Given(page_content=TEXT, metadata=KNOWN, id="7")
        assert self.check(given).id == self.check([given]).id == "7"
        self.check([Given(page_content=TEXT)], {}, None)
        store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
        store.add_documents([given])
        self.check(store.as_retriever().invoke("When?"))
        assert self.check(store.similarity_search_with_score("When?")).metadata["score"] != 0

    def test_llama_index(self):
        pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")
        from llama_index.core.base.response.schema import Response
        from llama_index.core.schema import Document as Given
        from llama_index.core.schema import MediaResource, Node, NodeWithScore, TextNode

        nodes = [
            TextNode(text=TEXT, metadata=KNOWN, id_="7"),
            Given(text=TEXT, metadata=KNOWN, id_="7"),
            Node(text_resource=MediaResource(text=TEXT), metadata=KNOWN, id_="7"),
        ]
        for node in nodes:
            scored = NodeWithScore(node=node, score=0.5)
            assert self.check(node).id == self.check([node]).id == "7"
            assert self.check([scored]).metadata["score"] == 0.5
            self.check([NodeWithScore(node=node)])
            self.check(Response(response="In 1889.", source_nodes=[scored]))

    def test_haystack(self):
        haystack = pytest.importorskip("haystack", reason="haystack-ai is not installed")
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        given = haystack.Document(content=TEXT, meta=KNOWN, id="7")
        assert self.check(given).id == self.check([given]).id == "7"
        store = InMemoryDocumentStore()
        store.write_documents([given])
        found = InMemoryBM25Retriever(store).run("tower")
        assert self.check(found).metadata["score"] == self.check(found["documents"]).metadata["score"] > 0


def test_reading_many_stops_at_the_next_where_nobody_waits():
    read: list[int] = []

    def one_by_one():
        for number in range(10):
            read.append(number)
            yield f"Text {number}."

    with pytest.raises(Stopped), until(lambda: len(read) == 4):
        read_documents(one_by_one())
    assert read == [0, 1, 2, 3]
