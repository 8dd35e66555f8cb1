"""What is cited, in the shapes of vendors: their names and units, and back again; their own types, where these are there."""

import copy
import dataclasses
import json

import numpy as np
import pytest

from llmattr.core.attribution import Attribution
from llmattr.core.evidence import Evidence, TargetEvidence
from llmattr.core.sources import Document, Sources, Targets
from llmattr.errors import LlmattrError
from llmattr.text.shapes import SHAPES, read
from llmattr.text.shapes.cited import Cited, Sentence

TOWER = "The tower 🗼 was built in 1889. It is 330 me\u0301tres tall."
DOCUMENTS = (
    Document(
        TOWER, "tower", "Guide", metadata={"url": "https://example.org/g.pdf"}, places=((0, {"page": 3}), (40, {"page": 4}))
    ),
    Document("Éiffel 🛠 designed it. A heading", "maker.txt"),
)
SPANS = [(0, 30), (31, len(TOWER)), (0, 21), (22, 31)]
FIRST, SECOND, THIRD = "Built 🗼 in 1889 by E\u0301iffel.", "It is tall 👩‍🚒.", "Nobody knows."
ANSWER = f"{FIRST}  {SECOND} {THIRD}"


def attribution(**changes):
    """The first sentence cites both documents, the second the first; a heading, with the highest score, is never cited."""
    groups = np.array([0, 0, 1, 1])
    texts = [DOCUMENTS[group].text[slice(*span)] for group, span in zip(groups, SPANS, strict=True)]
    ids = ["tower#0", "tower#1", "maker#0", "maker#1"]
    quotable = np.array([True, True, True, False])
    starts = [ANSWER.index(text) for text in (FIRST, SECOND, THIRD)]
    spans = [(0, len(ANSWER)), (0, starts[1]), (starts[1], starts[2]), (starts[2], len(ANSWER))]  # with the space behind
    verdicts = ["context", "context", "context", "unsupported"]
    evidence = Evidence(
        tuple(TargetEvidence(0.0, -5.0, verdict) for verdict in verdicts), np.array(spans[:1]), np.zeros(1), np.zeros(1)
    )
    made = Attribution(
        values=np.array([[5.0, 5, 5, 5], [4, 0, 3, 9], [0, 3, 0, 0], [4, 0, 0, 0]]),
        sources=Sources("sentences", ids, texts, np.array(SPANS), groups, DOCUMENTS, quotable=quotable),
        targets=Targets([ANSWER[a:b] for a, b in spans], np.array(spans)),
        unit="nats of log-odds",
        method={"name": "screening"},
        stderr=np.full((4, 4), 0.25),
        response=ANSWER,
        evidence=evidence,
    )
    return dataclasses.replace(made, **changes)


def cited(found):
    """What each marker claims, and the sentence that it stands for or behind."""
    ends = [(FIRST, ANSWER.index(FIRST) + len(FIRST)), (SECOND, ANSWER.index(SECOND) + len(SECOND))]
    return [(next(text for text, end in ends if one.end <= end), one.document) for one in found.markers]


RECORD = {
    "unit": "nats of log-odds",
    "method": "screening",
    "sentences": [
        {"start": 0, "end": 27, "verdict": "context", "support": 5.0, "citations": [
            {"id": "tower#0", "document": "tower", "start": 0, "end": 30, "score": 4.0, "stderr": 0.25},
            {"id": "maker#0", "document": "maker.txt", "start": 0, "end": 21, "score": 3.0, "stderr": 0.25}]},
        {"start": 29, "end": 44, "verdict": "context", "support": 5.0, "citations": [
            {"id": "tower#1", "document": "tower", "start": 31, "end": 54, "score": 3.0, "stderr": 0.25}]},
        {"start": 45, "end": 58, "verdict": "unsupported", "support": 5.0, "citations": []},
    ],
}  # fmt: skip
QUOTES = [TOWER[:30], DOCUMENTS[1].text[:21], TOWER[31:]]
URL = "https://example.org/g.pdf"
EXPECTED = {
    "anthropic": {
        "type": "message", "role": "assistant", "llmattr": RECORD,
        "content": [
            {"type": "text", "text": f"{FIRST}  ", "citations": [
                {"type": "page_location", "cited_text": QUOTES[0], "document_index": 0, "document_title": "Guide",
                 "file_id": None, "start_page_number": 3, "end_page_number": 4},
                {"type": "char_location", "cited_text": QUOTES[1], "document_index": 1, "document_title": None, "file_id": None,
                 "start_char_index": 0, "end_char_index": 21}]},
            {"type": "text", "text": f"{SECOND} ", "citations": [
                {"type": "page_location", "cited_text": QUOTES[2], "document_index": 0, "document_title": "Guide",
                 "file_id": None, "start_page_number": 3, "end_page_number": 5}]},
            {"type": "text", "text": THIRD, "citations": None},
        ],
    },
    "openai": {
        "type": "output_text", "text": ANSWER, "llmattr": RECORD,
        "annotations": [
            {"type": "url_citation", "start_index": 0, "end_index": 27, "url": URL, "title": "Guide"},
            {"type": "file_citation", "file_id": "maker.txt", "filename": "maker.txt", "index": 27},
            {"type": "url_citation", "start_index": 29, "end_index": 44, "url": URL, "title": "Guide"},
        ],
    },
    "gemini": {
        "content": {"role": "model", "parts": [{"text": ANSWER, "partMetadata": {"llmattr": RECORD}}]},
        "groundingMetadata": {
            "groundingChunks": [
                {"retrievedContext": {"title": "Guide", "uri": URL, "text": QUOTES[0], "pageNumber": 3}},
                {"retrievedContext": {"title": "maker.txt", "uri": "maker.txt", "text": QUOTES[1]}},
                {"retrievedContext": {"title": "Guide", "uri": URL, "text": QUOTES[2], "pageNumber": 3}},
            ],
            "groundingSupports": [
                {"segment": {"partIndex": 0, "startIndex": 0, "endIndex": 31, "text": FIRST}, "groundingChunkIndices": [0, 1]},
                {"segment": {"partIndex": 0, "startIndex": 33, "endIndex": 56, "text": SECOND}, "groundingChunkIndices": [2]},
            ],
        },
    },
    "cohere": {
        "role": "assistant", "content": [{"type": "text", "text": ANSWER}], "llmattr": RECORD,
        "citations": [
            {"start": 0, "end": 27, "text": FIRST, "content_index": 0, "type": "TEXT_CONTENT", "sources": [
                {"type": "document", "id": "tower",
                 "document": {"id": "tower", "title": "Guide", "url": URL, "page": 3, "snippet": QUOTES[0]}},
                {"type": "document", "id": "maker.txt", "document": {"id": "maker.txt", "snippet": QUOTES[1]}}]},
            {"start": 29, "end": 44, "text": SECOND, "content_index": 0, "type": "TEXT_CONTENT", "sources": [
                {"type": "document", "id": "tower",
                 "document": {"id": "tower", "title": "Guide", "url": URL, "page": 3, "snippet": QUOTES[2]}}]},
        ],
    },
    "bedrock": {
        "output": {"message": {"role": "assistant", "content": [
            {"citationsContent": {"content": [{"text": f"{FIRST}  "}], "citations": [
                {"title": "Guide", "source": URL, "sourceContent": [{"text": QUOTES[0]}],
                 "location": {"documentPage": {"documentIndex": 0, "start": 3, "end": 4}}},
                {"title": "maker.txt", "source": "maker.txt", "sourceContent": [{"text": QUOTES[1]}],
                 "location": {"documentChar": {"documentIndex": 1, "start": 0, "end": 21}}}]}},
            {"citationsContent": {"content": [{"text": f"{SECOND} "}], "citations": [
                {"title": "Guide", "source": URL, "sourceContent": [{"text": QUOTES[2]}],
                 "location": {"documentPage": {"documentIndex": 0, "start": 3, "end": 5}}}]}},
            {"text": THIRD},
        ]}},
        "additionalModelResponseFields": {"llmattr": RECORD},
    },
    "langchain": {
        "type": "text", "text": ANSWER, "extras": {"llmattr": RECORD},
        "annotations": [
            {"type": "citation", "start_index": 0, "end_index": 27, "title": "Guide", "cited_text": QUOTES[0], "url": URL},
            {"type": "citation", "start_index": 0, "end_index": 27, "title": "maker.txt", "cited_text": QUOTES[1]},
            {"type": "citation", "start_index": 29, "end_index": 44, "title": "Guide", "cited_text": QUOTES[2], "url": URL},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_names_and_units_are_the_vendors(shape):
    written = attribution().citations(shape)
    assert written == EXPECTED[shape]
    assert json.loads(json.dumps(written)) == written


@pytest.mark.parametrize("shape", [*SHAPES, "markdown"])
def test_what_is_written_is_read(shape):
    written = attribution().citations(shape)
    for found in (read(written, documents=DOCUMENTS), read(written, shape, documents=DOCUMENTS)):
        assert found.answer == ANSWER
        assert cited(found) == [(FIRST, 0), (FIRST, 1), (SECOND, 0)]
        if shape not in ("openai", "markdown"):  # these quote nothing, or with the white space of a line
            assert [one.quote for one in found.markers] == QUOTES
        if shape not in ("openai", "markdown", "cohere"):
            assert len({one.start for one in found.markers}) == 2


def test_a_result_from_a_file_cites_the_same(tmp_path):
    loaded = Attribution.load(attribution().save(tmp_path / "a.json"))
    assert [loaded.citations(shape) for shape in EXPECTED] == list(EXPECTED.values())


def places(given, path=()):
    """The way to everything in dicts and lists."""
    items = given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("shape", SHAPES)
def test_damage_is_read_or_told_in_a_line(shape):
    """Whatever stands in the place of anything: never another error, never a marker that is not in the answer."""
    whole = {name: value for name, value in EXPECTED[shape].items() if name not in ("llmattr", "extras")}
    told = []
    for *way, last in places(whole):
        for odd in (None, 7, "x", [], {}, [None], True):
            damaged = copy.deepcopy(whole)
            there = damaged
            for key in way:
                there = there[key]
            there[last] = odd
            try:
                found = read(damaged, shape, documents=DOCUMENTS)
            except LlmattrError as error:
                told.append(str(error))
            else:
                assert all(0 <= one.start <= one.end <= len(found.answer) for one in found.markers)
    assert told
    assert [line for line in told if "\n" in line or len(line) > 250] == []


def test_without_documents_what_was_quoted_comes_back():
    found = read(attribution().citations("cohere"))
    assert [(one.id, one.title, one.text) for one in found.documents] == [
        ("tower", "Guide", f"{QUOTES[0]}\n{QUOTES[2]}"), ("maker.txt", None, QUOTES[1]),
    ]  # fmt: skip


def test_sources_that_are_no_parts_of_documents_are_documents():
    sources = Sources("sentences", ["a", "b", "c", "d"], ["A.", "B.", "C.", "D."])
    citation = attribution(sources=sources).citations("anthropic")["content"][1]["citations"][0]
    assert (citation["document_index"], citation["start_char_index"], citation["end_char_index"]) == (1, 0, 2)


def test_a_page_that_is_no_number_is_no_page():
    documents = (dataclasses.replace(DOCUMENTS[0], places=((0, {"page_label": "iv", "page": 3}),)), DOCUMENTS[1])
    sources = dataclasses.replace(attribution().sources, documents=documents)
    citation = attribution(sources=sources).citations("anthropic")["content"][0]["citations"][0]
    assert (citation["type"], citation["end_char_index"]) == ("char_location", 30)


@pytest.mark.parametrize(
    ("answer", "spans", "expected"),
    [
        ("One. Two.", [(0, 4), (5, 9)], ["One. ", "Two."]),
        ("\n One.\n\n", [(2, 6)], ["\n One.\n\n"]),
        ("So: one. two; three.", [(4, 8), (14, 20)], ["So: ", "one.", " two; ", "three."]),
        ("One two.", [(0, 8), (4, 8)], ["One two."]),
        ("One.", [], ["One."]),
        (" ", [(0, 0)], []),
    ],
)
def test_blocks_lose_nothing(answer, spans, expected):
    blocks = Cited(answer, tuple(Sentence(a, b, ()) for a, b in spans), {}).blocks
    assert [text for text, _ in blocks] == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"traced": True}, "these sources are training rows"),
        ({"response": None}, "these targets are no parts of an answer"),
        ({"cites": False}, "nothing is cited by the scores of screening: use another method"),
    ],
)
@pytest.mark.parametrize("shape", ["openai", "markdown"])
def test_where_nothing_can_be_cited_a_line_says_so(changes, said, shape):
    with pytest.raises(LlmattrError, match=said):
        attribution(**changes).citations(shape)


def test_other_shapes_are_refused():
    with pytest.raises(LlmattrError, match=r"shape must be one of gemini, .* not 'antropic'; did you mean 'anthropic'"):
        attribution().citations("antropic")


@pytest.mark.slow
class TestVendorsOwnTypes:
    """What is written passes the vendors' own checks; their objects are read as the dicts are."""

    def read_as_its_dict(self, given, shape):
        assert read(given, documents=DOCUMENTS) == read(attribution().citations(shape), documents=DOCUMENTS)

    def test_anthropic(self):
        types = pytest.importorskip("anthropic.types", reason="anthropic is not installed")
        known = {"id": "msg_1", "model": "m", "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}
        message = types.Message.model_validate({**attribution().citations("anthropic"), **known}, strict=True)
        first = message.content[0].citations
        assert isinstance(first[0], types.CitationPageLocation)
        assert isinstance(first[1], types.CitationCharLocation)
        self.read_as_its_dict(message, "anthropic")
        self.read_as_its_dict(message.content, "anthropic")

    def test_openai(self):
        responses = pytest.importorskip("openai.types.responses", reason="openai is not installed")
        part = responses.ResponseOutputText.model_validate(attribution().citations("openai"), strict=True)
        assert [type(one).__name__ for one in part.annotations][:2] == ["AnnotationURLCitation", "AnnotationFileCitation"]
        message = responses.ResponseOutputMessage(id="m", content=[part], role="assistant", status="completed", type="message")
        self.read_as_its_dict(message, "openai")

    def test_gemini(self):
        types = pytest.importorskip("google.genai.types", reason="google-genai is not installed")
        candidate = types.Candidate.model_validate(attribution().citations("gemini"))  # it forbids what it does not know
        segment = candidate.grounding_metadata.grounding_supports[1].segment
        assert ANSWER.encode()[segment.start_index : segment.end_index].decode() == segment.text == SECOND
        self.read_as_its_dict(types.GenerateContentResponse(candidates=[candidate]), "gemini")
        self.read_as_its_dict(candidate.model_dump(), "gemini")

    def test_cohere(self):
        pytest.importorskip("cohere", reason="cohere is not installed")
        from cohere.types import AssistantMessageResponse, DocumentSource  # pyright: ignore[reportMissingImports]

        message = AssistantMessageResponse.model_validate(attribution().citations("cohere"))
        assert isinstance(message.citations[0].sources[0], DocumentSource)
        self.read_as_its_dict(message, "cohere")

    def test_bedrock(self):
        session = pytest.importorskip("botocore.session", reason="botocore is not installed")
        from botocore.validate import ParamValidator  # pyright: ignore[reportMissingImports]

        shape = session.get_session().get_service_model("bedrock-runtime").shape_for("ConverseResponse")
        known = {"stopReason": "end_turn", "metrics": {"latencyMs": 1}}
        known["usage"] = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
        report = ParamValidator().validate({**attribution().citations("bedrock"), **known}, shape)
        assert report.generate_report() == ""

    def test_langchain(self):
        pytest.importorskip("langchain_core", reason="langchain-core is not installed")
        from langchain_core.messages import AIMessage  # pyright: ignore[reportMissingImports]
        from langchain_core.messages.content import TextContentBlock  # pyright: ignore[reportMissingImports]
        from pydantic import ConfigDict, TypeAdapter, with_config

        block = attribution().citations("langchain")
        strict = with_config(ConfigDict(extra="forbid"))(TextContentBlock)
        TypeAdapter(strict).validate_python(block)
        message = AIMessage(content=[block])
        assert message.content_blocks == [block]
        self.read_as_its_dict(message, "langchain")
        self.read_as_its_dict(message.content_blocks, "langchain")
