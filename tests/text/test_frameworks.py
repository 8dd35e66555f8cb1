"""The page about frameworks: its blocks run against the real packages, where these are installed."""

import importlib
import re
import warnings

import pytest

from llmattr import check
from llmattr.errors import LlmattrError
from llmattr.text.shapes import read
from llmattr.text.shapes.answers import with_documents
from tests import ROOT

PAGE = (ROOT / "docs" / "guides" / "frameworks.md").read_text(encoding="utf-8")
ANSWER = "It was built in 1889 [1]. It is red [2]."
DOCUMENTS = ["The tower was built in 1889.", "The bridge is long."]


class Response:
    """LlamaIndex's, of which only this is read."""

    response = ANSWER
    source_nodes = DOCUMENTS


class GeneratedAnswer:
    """Haystack's."""

    data = ANSWER
    documents = DOCUMENTS


CHAIN = {"input": "When?", "context": DOCUMENTS, "answer": ANSWER}


@pytest.mark.parametrize("given", [Response(), GeneratedAnswer(), CHAIN], ids=["LlamaIndex", "Haystack", "LangChain"])
def test_an_answer_brings_its_documents(given):
    found = read(given)
    assert found.answer == "It was built in 1889. It is red."
    assert [one.document for one in found.markers] == [0, 1]
    assert [one.text for one in found.documents] == DOCUMENTS
    assert [one.standing for one in check(None, given).markers] == ["needed", "wrong"]


def test_documents_that_are_given_count_before_its_own():
    assert [one.text for one in read(Response(), documents=["It is red."]).documents] == ["It is red."]


@pytest.mark.parametrize(
    "given", [{"answer": ANSWER}, {"answer": ANSWER, "context": "one text"}, {"data": None, "documents": []}]
)
def test_what_lacks_one_of_both_is_no_such_answer(given):
    assert with_documents(given) is None
    with pytest.raises(LlmattrError, match="this is no answer with citations that is known"):
        read(given)


def test_documents_of_haystack_stand_where_they_stood():
    """Of four those that were referenced are left, in another order."""

    class Kept:
        def __init__(self, content, number):
            self.content, self.meta = content, {"source_index": number}

    answer = GeneratedAnswer()
    answer.data, answer.documents = "It was built in 1889 [4]. It is long [2].", [Kept(DOCUMENTS[0], 4), Kept(DOCUMENTS[1], 2)]
    assert [one.standing for one in check(None, answer).markers] == ["needed", "needed"]
    for odd in (4, 0, -1, 10**9, "2", None):
        answer.documents[1].meta["source_index"] = odd
        assert with_documents(answer)[1] == answer.documents, odd


def blocks(section):
    """The code of a section of the page, as one program."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return "\n".join(re.findall(r"^```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.slow
class TestRealPackages:
    @pytest.fixture
    def names(self, request, smollm2):
        """What stands in the names of a section after its blocks have run; a framework's own warnings are not ours."""
        section, package = request.param
        pytest.importorskip(package, reason=f"{package} is not installed")
        names = {"model": smollm2}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(blocks(section), names)
        return names

    @pytest.mark.parametrize("names", [("LangChain", "langchain_core")], indirect=True)
    def test_langchain(self, names):
        (annotation,) = names["message"].content_blocks[0]["annotations"]
        assert (annotation["title"], annotation["cited_text"]) == ("guide.pdf", "The tower was built in 1889.")
        assert names["checked"].repaired().text == "It was built in 1889 [1]. It is red."

    @pytest.mark.parametrize("names", [("LlamaIndex", "llama_index.core")], indirect=True)
    def test_llama_index(self, names):
        assert names["checked"].markers[0].standing == "needed"
        assert [one.node.metadata["file_name"] for one in names["needed"]] == ["guide.pdf"]

    @pytest.mark.parametrize("names", [("Haystack", "haystack")], indirect=True)
    def test_haystack(self, names):
        assert names["checked"].missing == [1]
        assert names["checked"].repaired().text == "The tower was built in 1889 [1]. It is 330 metres tall [1]."
        assert [one.meta["file_path"] for one in names["needed"]] == ["guide.pdf"]

    def test_numbers_hold_where_haystack_keeps_what_is_referenced_alone(self):
        """It says where each stood before (`source_index`)."""
        pytest.importorskip("haystack", reason="haystack-ai is not installed")
        haystack, builders = importlib.import_module("haystack"), importlib.import_module("haystack.components.builders")
        documents = [haystack.Document(content=text) for text in reversed(DOCUMENTS)]
        builder = builders.AnswerBuilder(reference_pattern=r"\[(\d+)\]")
        built = builder.run(query="When?", replies=["It was built in 1889 [2]."], documents=documents)
        (found,) = check(None, built["answers"][0]).markers
        assert found.standing == "needed"
