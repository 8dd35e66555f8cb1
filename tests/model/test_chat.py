"""Chat servers that only generate, each as its documentation says: what is asked, what is read, and what nobody may see."""

import socket
import warnings

import numpy as np
import pytest

from llmattr import cite, surrogate
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.apis import APIS
from llmattr.model.chat import SAYS, ChatServer, words
from llmattr.model.served import served
from llmattr.model.server import ServerLM
from llmattr.retrieval.similarity import similarities
from tests.model.chat_servers import KEYS, SERVERS, running

CONTEXT = "The canal is long. It has locks. It opened in 1914. Ships pay a toll."
ANSWER = "It opened in 1914."
SECRET = "sk-very-secret-1"


FOUR = [
    pytest.param("openai", marks=pytest.mark.stub("OpenAI's chat completions", "--served-api openai", "2026-11-30")),
    pytest.param("anthropic", marks=pytest.mark.stub("Anthropic's messages", "--served-api anthropic", "2026-11-30")),
    pytest.param("ollama", marks=pytest.mark.stub("Ollama's chat", "--served-api ollama", "2026-11-30")),
    pytest.param("llamacpp", marks=pytest.mark.stub("llama.cpp's llama-server", "--served-api llamacpp", "2026-11-30")),
]


def speak(text):
    """Says what the context says, or that it does not know: two answers without a word in common."""
    return ANSWER if ANSWER in text else "Nobody knows."


@pytest.fixture(params=FOUR)
def server(request):
    with running(request.param, speak) as server:
        yield server


@pytest.fixture
def chat(server):
    return ChatServer(server.url, server.api, backoff=0.01, timeout=10, retries=2)


@pytest.fixture(autouse=True)
def by_words(monkeypatch):
    monkeypatch.setattr("llmattr.context.opening.usual", lambda: "words")


def test_scores_are_what_answers_lose(chat, server):
    """Similarity is 1 with the sentence and 0 without it, whatever else there is."""
    found = cite(chat, CONTEXT, "When did it open?", method="leave-one-out")
    assert found.response == ANSWER
    np.testing.assert_array_equal(found[0].values, [[0.0, 0.0, 1.0, 0.0]])
    assert found.cited[0].tolist() == [False, False, True, False]
    assert (found.unit, found.evidence) == ("similarity of what is generated", None)
    assert found.run["answers"] == 5
    assert found.run["model"] == "m1"
    assert len(server.seen) == 1 + 5


@pytest.mark.slow
def test_every_method_that_asks_ablations_works_on_it(chat):
    ablation = cite(chat, CONTEXT, "When?", response=ANSWER, method="alone").session.ablation
    for method in ("screening", "ridge", "context-cite", "shapley"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LlmattrNote)
            assert cite(chat, CONTEXT, "When?", response=ANSWER, method=method).values[0].argmax() == 2
    np.testing.assert_allclose(surrogate.shapley(ablation).values[0], [0, 0, 1, 0], atol=1e-12)


def test_a_chat_is_sent_turn_by_turn(chat, server):
    turns = [
        {"role": "system", "content": 'Answer "briefly".'},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Yes?\n"},
        {"role": "user", "content": "Notes: {context}\nWhen?"},
    ]
    cite(chat, CONTEXT, messages=turns, response=ANSWER, method="alone")
    body = server.seen[0][1]
    expected = [*turns[:3], {"role": "user", "content": turns[3]["content"].replace("{context}", "")}]
    alone = [text for _, body, _ in server.seen if (text := body["messages"][-1]["content"]).count(".") == 1]
    assert len(alone) == 4
    if server.api == "anthropic":
        assert body["system"] == expected[0]["content"]
        expected = expected[1:]
    assert [turn["role"] for turn in body["messages"]] == [turn["role"] for turn in expected]
    assert body["messages"][:-1] == expected[:-1]


def test_calls_of_tools_are_refused(chat):
    turns = [{"role": "user", "content": "When?"}, {"role": "tool", "content": CONTEXT}]
    with pytest.raises(LlmattrError, match="tools and their calls are not sent"):
        cite(chat, messages=turns, response=ANSWER)
    with pytest.raises(LlmattrError, match=r"U\+10FFFE"):
        cite(chat, CONTEXT + SAYS, "When?", response=ANSWER)


def test_the_key_is_sent_to_the_server_and_shown_to_no_one(server, monkeypatch):
    monkeypatch.setenv(KEYS[server.api], SECRET + "\n")
    others = {name: f"other-{api}" for api, name in KEYS.items() if api != server.api}
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    server.requires = SECRET
    lm = ChatServer(server.url, server.api, retries=0)
    found = cite(lm, CONTEXT, "When?", response=ANSWER, method="alone")
    sent = "".join(value for _, _, headers in server.seen for value in headers.values())
    assert SECRET in sent
    assert not any(value in sent for value in others.values())
    shown = [repr(lm), repr(lm._connection), repr(found.run), found.html(), found.markdown(), repr(vars(found.session))]
    assert not any("secret" in text for text in shown)
    monkeypatch.setenv(KEYS[server.api], "sk-wrong-secret-2")
    with pytest.raises(LlmattrError) as caught:
        cite(ChatServer(server.url, server.api, retries=0), CONTEXT, "When?", response=ANSWER, method="alone")
    assert "answered 401: Incorrect API key provided: " in str(caught.value)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv(KEYS[server.api], "sk-secret\nX: y")
    with pytest.raises(LlmattrError, match="has characters that no key has") as caught:
        cite(ChatServer(server.url, server.api), CONTEXT, "When?", response=ANSWER, method="alone")
    assert "secret" not in str(caught.value)


def test_nothing_goes_to_another_host(chat, server, monkeypatch):
    reached, connect = [], socket.socket.connect

    def connecting(self, address):
        reached.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    cite(chat, CONTEXT, "When?", method="alone")
    assert set(reached) == {server.server_address}
    with running(server.api, speak) as elsewhere:
        server.faults = [(307, "moved", {"Location": elsewhere.url + APIS[server.api].path})]
        with pytest.raises(LlmattrError, match="answered 307: it leads elsewhere, and nothing is sent there"):
            cite(chat, CONTEXT, "Where?", method="alone")
        assert elsewhere.seen == []
    assert set(reached) == {server.server_address}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((429, "slow down"), "answered 429, 3 times: slow down"),
        ((500, "out of memory"), "answered 500, 3 times: out of memory"),
        ((400, "prompt is too long"), "answered 400: prompt is too long"),
    ],
)
def test_faults_are_one_line(chat, server, fault, said):
    server.faults = [fault] * 99
    with pytest.raises(LlmattrError) as caught:
        cite(chat, CONTEXT, "When?", response=ANSWER, method="alone")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_fault_that_passes_is_tried_again(chat, server):
    server.faults = [(529, "overloaded"), (429, "slow down")]
    assert cite(chat, CONTEXT, "When?", method="leave-one-out").values[0, 2] == 1


def test_another_server_is_told(chat, server, monkeypatch):
    monkeypatch.setitem(SERVERS, server.api, lambda handler, body: {"result": "Hello."})
    with pytest.raises(LlmattrError, match="no text where it should stand: is it one that is asked as"):
        cite(chat, CONTEXT, "When?", method="alone")


def test_a_model_that_thinks_until_the_end(chat, server):
    server.habits = {"silent"}
    with pytest.raises(LlmattrError, match=r"said nothing within 256 tokens .*--max-new-tokens"):
        cite(chat, CONTEXT, "When?", method="alone")


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_model_that_takes_no_temperature(api):
    with running(api, speak) as server:
        server.habits = {"reasons"}
        with pytest.warns(LlmattrNote, match="takes no temperature: its answers are drawn by chance"):
            found = cite(ChatServer(server.url, api, concurrency=1), CONTEXT, "When?", method="leave-one-out")
        assert found.values[0, 2] == 1
        assert len(server.seen) == 1 + 1 + 5  # what was refused is not tried again


def test_answers_are_kept(chat, server, tmp_path):
    first = cite(chat, CONTEXT, "When?", response=ANSWER, method="leave-one-out", cache=tmp_path)
    asked = len(server.seen)
    again = cite(chat, CONTEXT, "When?", response=ANSWER, method="leave-one-out", cache=tmp_path)
    assert len(server.seen) == asked
    np.testing.assert_array_equal(again.values, first.values)
    cite(chat, CONTEXT, "When?", response=ANSWER, method="leave-one-out", cache=tmp_path, max_new_tokens=8)
    assert len(server.seen) == 2 * asked


def test_what_needs_log_probabilities_is_refused(chat):
    for options in ({"method": "source-gates"}, {"method": "leave-one-out", "rather_than": "In 1932."}):
        with pytest.raises(LlmattrError, match="server"):
            cite(chat, CONTEXT, "When?", response=ANSWER, **options)


class TestServed:
    def test_the_host_says_how_it_is_asked(self):
        for url, api in {"https://api.anthropic.com/v1": "anthropic", "http://localhost:11434": "ollama"}.items():
            with pytest.warns(LlmattrNote, match=f"asking as {api} was only tried against a stand-in"):
                lm = served(url, served_model="m")
            assert lm.api == api
        assert isinstance(served("http://localhost:8000", "completions"), ServerLM)

    @pytest.mark.parametrize("api", ["openai", "llamacpp"])
    def test_without_log_probabilities_it_is_asked_to_answer(self, api):
        with running(api, speak) as server, pytest.warns(LlmattrNote, match="gives no log-probabilities"):
            found = cite(server.url, CONTEXT, "When?", method="leave-one-out")
        assert found.values[0, 2] == 1

    def test_a_wrong_key_is_told_before_anything_else_is_tried(self):
        with running("openai", speak) as server:
            server.requires = SECRET
            with pytest.raises(LlmattrError, match="answered 401"):
                served(server.url)
            assert server.seen == []

    @pytest.mark.parametrize("url", ["https://me:sk-secret@host.example/v1", "https://host.example/v1?key=sk-secret"])
    def test_a_key_in_an_address_is_refused_and_not_shown(self, url):
        for make in (served, ChatServer, ServerLM):
            with pytest.raises(LlmattrError, match="the key in the environment") as caught:
                make(url)
            assert "secret" not in str(caught.value)

    def test_addresses_with_and_without_their_paths_are_one(self):
        for api, one in APIS.items():
            for end in ("", "/", one.path, "/api" if api == "ollama" else "/v1"):
                assert ChatServer("http://h" + end, api)._connection.base == "http://h"


def test_words_spell_the_response():
    for text in ("It opened  in 1914.\n", " a", "", "é\u00a0b\n\n- c"):
        ids, spans = words("", text)
        assert "".join(ChatServer.tokenizer.decode([i]) for i in ids) == text
        assert [text[a:b] for a, b in spans] == [ChatServer.tokenizer.decode([i]) for i in ids]


class TestSimilarities:
    def test_the_best_of_the_answer_and_its_sentences(self):
        found = similarities(["It is long. It opened in 1914.", "In 1914."], [ANSWER, "It is long. It opened in 1914."])
        np.testing.assert_allclose(found, [[1, 1], [2 * 2 / 6, 2 * 2 / 9]])

    def test_by_an_encoder(self):
        pytest.importorskip("gguf")
        answers = ["The canal opened in 1914.", "Bananas are yellow.", " "]
        alike, other, nothing = similarities(answers, [ANSWER], "minilm")[:, 0]
        assert alike > 0.5 > other
        assert nothing == 0
