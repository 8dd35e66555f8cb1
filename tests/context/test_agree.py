"""Does a small model stand for a served one? Worlds in which it is that one, its reverse, and one that only generates."""

import dataclasses
import json
import math
import re
import threading
import warnings

import numpy as np
import pytest

from llmattr import cite
from llmattr.cli import main
from llmattr.context.agree import agreement
from llmattr.core.agreement import Agreement
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.metrics import rank_agreement
from llmattr.model.chat import ChatServer
from llmattr.model.lm import LM
from llmattr.model.server import ServerLM
from tests import tiny_models
from tests.model.chat_servers import running
from tests.model.test_server import Server

SENTENCES = ["The canal is long.", "It has nine locks.", "It opened in 1914.", "Ships pay a toll.", "The lake is high."]
CONTEXT = " ".join(SENTENCES)
ANSWER = "It opened in 1914."
SECRET = "sk-very-secret-1"


class Counting(LM):
    """A small model to which every sentence of the context makes any answer a nat likelier."""

    def score(self, requests):
        for i, request in enumerate(requests):
            text = self.tokenizer.decode(request.ids[: request.response.start])
            r = request.response.stop - request.response.start
            yield i, np.full(r, (sum(sentence in text for sentence in SENTENCES) - 10) / r)


class Reverse(Server):
    """A server of the small model to which everything that is likelier to the small one is less likely."""

    def completion(self, body):
        found = super().completion(body)
        for choice in found["choices"]:
            given = choice["logprobs"]
            given["token_logprobs"] = [None if lp is None else -40.0 - lp for lp in given["token_logprobs"]]
        return found


@pytest.fixture
def counting(tiny):
    return Counting(tiny.model, tiny.tokenizer, "counting")


@pytest.fixture(autouse=True)
def by_words(monkeypatch):
    monkeypatch.setattr("llmattr.context.opening.usual", lambda: "words")


@pytest.fixture(params=[Server, Reverse])
def scoring(request, tiny):
    """A server with log-probabilities, and the agreement that it should have with the tiny model."""
    with request.param(tiny) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server, -1.0 if request.param is Reverse else 1.0
        server.shutdown()


def kept(text):
    """All that it is given of the context: the more, the more alike to the whole."""
    return " ".join(sentence for sentence in SENTENCES if sentence in text)


def lost(text):
    return " ".join(sentence for sentence in SENTENCES if sentence not in text)


class TestRankAgreement:
    def test_of_numbers(self):
        rng = np.random.default_rng(0)
        one, noise = rng.normal(size=(2, 40))
        found = rank_agreement(one, one + noise)
        assert -1 < found.low < found.mean < found.high < 1
        assert rank_agreement(one, -np.exp(one)) == (-1, -1, -1)
        assert rank_agreement(one * 0, one).mean == 0
        assert all(np.isnan(rank_agreement(one, one * 0)))

    def test_the_interval_holds_the_truth_as_often_as_it_says(self):
        """200 samples of 30 normal pairs with correlation 0.7, whose rank correlation is 6 / pi asin(0.7 / 2) = 0.683.

        The percentile bootstrap of so few pairs holds it somewhat less often than in 95 %: 0.90 at least but for chance.
        """
        rng, truth = np.random.default_rng(0), 6 / math.pi * math.asin(0.35)
        pairs = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=(200, 30))
        found = [rank_agreement(one[:, 0], one[:, 1], draws=300) for one in pairs]
        assert np.mean([one.low <= truth <= one.high for one in found]) > 0.87


def test_the_model_itself_agrees_and_its_reverse_does_not(tiny, scoring):
    server, expected = scoring
    found = cite(tiny, CONTEXT, "When?", response=ANSWER, method="context-cite")
    there = ServerLM(server.url, tokenizer=tiny_models.tokenizer())
    said = agreement(found, there)
    assert said == Agreement("tiny", server.url, "log-probability", 16, expected, expected, expected)


def test_only_ablations_that_the_result_was_fitted_on_are_asked_for(counted, scoring):
    lm, asked = counted
    server, _ = scoring
    found = cite(lm, CONTEXT, "When?", response=ANSWER, method="context-cite")
    here, before = len(asked), len(server.seen)
    there = ServerLM(server.url, tokenizer=tiny_models.tokenizer())
    assert agreement(found, there, 8) == agreement(found, there, 8)
    assert sum(asked[here:]) == 0
    assert len(server.seen) - before <= 2 * (8 + 5)  # each with what a server is checked by
    other = agreement(found, there, 8, seed=1)
    assert other.rank == agreement(found, there, 8).rank


@pytest.mark.parametrize(("speak", "expected"), [(kept, 1.0), (lost, -1.0)])
def test_a_server_without_log_probabilities(counting, speak, expected):
    """F1 of what is said and the whole rises with every kept sentence of four words; so does, or falls, the small model's."""
    found = cite(counting, CONTEXT, "What is it?", response=CONTEXT, method="context-cite")
    with running("openai", speak) as server:
        said = agreement(found, ChatServer(server.url))
    assert said == Agreement("m1", server.url, "similarity", 16, expected, expected, expected)


def test_a_method_that_asks_for_nothing_is_compared_on_random_ablations(counting):
    found = cite(counting, CONTEXT, "What is it?", response=CONTEXT, method="bm25", verify=False)
    with running("ollama", kept) as server:
        assert agreement(found, ChatServer(server.url, "ollama"), 20).rank == 1
    assert len({turn["messages"][0]["content"] for _, turn, _ in server.seen}) == 20


def test_as_many_as_there_are(counting):
    found = cite(counting, "The canal is long. It has nine locks.", "What?", response="It is long.", method="leave-one-out")
    with running("llamacpp", kept) as server:
        assert agreement(found, ChatServer(server.url, "llamacpp")).ablations == 4


def test_a_server_that_always_says_the_same(counting):
    found = cite(counting, CONTEXT, "What?", response=CONTEXT, method="leave-one-out")
    with running("openai", lambda text: "Hello.") as server:
        said = agreement(found, ChatServer(server.url))
    assert np.isnan(said.rank)
    text = dataclasses.replace(found, agreement=said)
    assert "all 16 ablations are equal there" in text.html()


def test_refused(counting, tmp_path):
    lm = ChatServer("http://127.0.0.1:1")
    found = cite(counting, CONTEXT, "What?", response=CONTEXT, method="leave-one-out")
    with pytest.raises(LlmattrError, match="only a fresh result"):
        agreement(Attribution.load(found.save(tmp_path / "saved.json")), lm)
    with pytest.raises(LlmattrError, match="n_ablations must be 4 or more"):
        agreement(found, lm, 3)
    with pytest.raises(LlmattrError, match="leave rather_than out"):
        agreement(cite(counting, CONTEXT, "What?", response="A.", rather_than="B.", method="leave-one-out"), lm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LlmattrNote)
        one = cite(counting, "The canal is long.", "What?", response="It is.", method="leave-one-out")
    with pytest.raises(LlmattrError, match="with one source"):
        agreement(one, lm)


def test_it_is_a_field_of_the_result(counting, tmp_path):
    found = cite(counting, CONTEXT, "What?", response=CONTEXT, method="leave-one-out")
    for rank in (0.7, float("nan")):
        said = dataclasses.replace(found, agreement=Agreement("m", "http://h", "similarity", 16, rank, 0.4, 0.9))
        loaded = Attribution.load(said.save(tmp_path / "saved.json"))
        assert repr(loaded.agreement) == repr(said.agreement)
        assert loaded[0].agreement is not None
        assert "agreement" not in found.run


@pytest.mark.parametrize(
    ("rank", "low", "how"),
    [
        (0.9, 0.7, "counting stands well for gpt"),
        (0.71, 0.4, "counting stands roughly for gpt: rank agreement 0.71 (0.40 to 0.95) over 16 ablations"),
        (0.3, 0.1, "counting stands badly for gpt"),
        (0.3, -0.1, "counting cannot be said to stand for gpt"),
    ],
)
def test_in_words(counting, rank, low, how):
    found = cite(counting, CONTEXT, "What?", response=CONTEXT, method="leave-one-out")
    said = dataclasses.replace(found, agreement=Agreement("gpt", "http://h", "similarity", 16, rank, low, 0.95))
    assert how in said.html()


class TestCommand:
    @pytest.fixture
    def run(self, tiny_folder, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "canal.txt").write_text(CONTEXT, encoding="utf-8")

        def call(*arguments, model=tiny_folder, response=ANSWER):
            given = ["--response", response] if response else []
            code = main(["cite", "canal.txt", "--query", "When?", *given, "--model", str(model), *arguments])
            return code, *capsys.readouterr()

        return call

    def test_with_log_probabilities(self, run, scoring, tiny_folder, tmp_path):
        server, expected = scoring
        files = ["--json", "out.json", "--html", "out.html"]
        code, out, err = run("--agree-with", server.url, "--tokenizer", str(tiny_folder), "--no-cache", *files)
        assert (code, err) == (0, "")
        stands = r"^\S+ (stands well|cannot be said to stand) for tiny: rank agreement (\S+) \(.*\) over 16 ablations .*$"
        line = re.search(stands, out, re.MULTILINE)
        assert line
        assert abs(float(line[2]) - expected) < 0.02  # the command computes in float32
        saved = json.loads((tmp_path / "out.json").read_text("utf-8"))
        assert saved["agreement"]["ablations"] == 16
        assert saved["agreement"]["by"] == "log-probability"
        assert line[0].split(" for ")[1] in (tmp_path / "out.html").read_text("utf-8")

    @pytest.mark.parametrize("api", ["openai", "anthropic", "ollama", "llamacpp"])
    def test_without(self, run, api, tmp_path, monkeypatch):
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_API_KEY", "LLAMA_API_KEY"):
            monkeypatch.setenv(name, SECRET)
        files = ["--json", "out.json", "--html", "out.html", "-v"]
        with running(api, kept) as server:
            server.requires = SECRET
            code, out, err = run("--agree-with", server.url, "--served-api", api, "--agree-ablations", "5", *files)
            assert code == 0, err
            assert "gives no log-probabilities of an answer" in err
            assert f"asking as {api} was only tried against a stand-in" in err
            assert re.search(r"for m1: rank agreement .* over 5 ablations \(the similarity of its answers at http", out)
            assert len(server.seen) == 5
            run("--agree-with", server.url, "--served-api", api, "--agree-ablations", "5")
            assert len(server.seen) == 5  # they were kept
            server.requires = "another"
            code, _, failed = run("--agree-with", server.url, "--served-api", api, "--no-cache")
        assert code == 2
        assert failed.splitlines()[-1].count("answered 401") == 1
        written = "".join((tmp_path / name).read_text("utf-8") for name in ("out.json", "out.html"))
        assert SECRET not in out + err + failed + written

    def test_a_model_behind_a_chat_server(self, run, tmp_path):
        with running("openai", lambda text: ANSWER if ANSWER in text else "Nobody knows.") as server:
            code, out, err = run("leave-one-out", "--json", "out.json", "-v", model=server.url, response=None)
        assert code == 0
        assert "gives no log-probabilities" in err
        assert "[1] canal.txt, line 1" in out
        assert "come back more alike" in out
        assert "6 answers generated, compared by words" in out
        assert json.loads((tmp_path / "out.json").read_text("utf-8"))["measure"] == "generated"

    def test_an_answer_that_was_given_is_said_to_be_another_models(self, run):
        _, out, _ = run("leave-one-out")
        assert "if another model wrote the answer, they stand in for its own, and --agree-with URL measures how well." in out
        _, out, _ = run("leave-one-out", "--max-new-tokens", "4", response=None)
        assert "stand in" not in out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--agree-ablations", "8"), "--agree-ablations would be of no use: there is no --agree-with"),
            (("--served-api", "ollama"), "--served-api would be of no use: --model is no server"),
            (("--agree-with", "http://h", "--rather-than", "B."), "--rather-than would be of no use"),
            (("--agree-with", "localhost:80"), "begins with http://"),
            (("--agree-with", "http://127.0.0.1:1", "--served-api", "openai"), "cannot reach http://127.0.0.1:1/"),
        ],
    )
    def test_refused(self, run, arguments, said):
        code, out, err = run(*arguments, "--no-cache")
        assert (code, out) == (2, "")
        assert said in err.splitlines()[-1]

    def test_a_server_needs_no_stand_in(self, run):
        code, _, err = run("--agree-with", "http://127.0.0.1:1", model="http://127.0.0.1:2")
        assert code == 2
        assert "--model is a server itself" in err
