"""Stand-ins for chat servers, written from the documentation of each: what it requires, what it refuses, what it answers."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "ollama": "OLLAMA_API_KEY", "llamacpp": "LLAMA_API_KEY"}
ROLES = {"system", "user", "assistant"}


class Refusal(Exception):
    """A status, and the body in which this server says why."""


class ChatStandIn(ThreadingHTTPServer):
    """`speak(system and turns as one text) -> answer`. `faults` are used up one a request; `requires` a key where it is set."""

    daemon_threads = True

    def __init__(self, api, speak):
        super().__init__(("127.0.0.1", 0), Handler)
        self.api, self.speak, self.requires, self.models = api, speak, None, ["m1"]
        self.seen, self.faults, self.habits, self.lock = [], [], set(), threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_):
        pass


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path = "/api/tags" if self.server.api == "ollama" else "/v1/models"
        rows = {"models": [{"name": name} for name in self.server.models]}
        rows = rows if self.server.api == "ollama" else {"data": [{"id": name} for name in self.server.models]}
        self.answer(lambda: rows if self.path == path else refuse(404, "not found"))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((self.path, body, dict(self.headers)))
            fault = self.server.faults.pop(0) if self.server.faults else None
        self.answer(lambda: refuse(*fault) if fault else SERVERS[self.server.api](self, body))

    def answer(self, made):
        try:
            self.check_key()
            status, content, headers = 200, made(), {}
        except Refusal as refused:
            status, said, headers = refused.args
            content = error_of(self.server.api, said)
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def check_key(self):
        name, begin = ("x-api-key", "") if self.server.api == "anthropic" else ("Authorization", "Bearer ")
        given = self.headers.get(name, "")
        if self.server.requires and given != begin + self.server.requires:
            refuse(401, f"Incorrect API key provided: {given}")

    def said(self, turns, system=""):
        text = self.server.speak("\n".join([system, *(turn["content"] for turn in turns)]))
        return ("", "cut") if "silent" in self.server.habits else (text, "end")


def refuse(status, said, headers=()):
    raise Refusal(status, said, dict(headers))


def error_of(api, said):
    return {"error": said} if api == "ollama" else {"type": "error", "error": {"type": "some_error", "message": said}}


def check(holds, said):
    if not holds:
        refuse(400, said)


def check_turns(turns, roles):
    check(turns and all(turn.keys() == {"role", "content"} for turn in turns), "messages: role and content are required")
    check(all(turn["role"] in roles and isinstance(turn["content"], str) for turn in turns), "messages: unknown role")


def openai(handler, body):
    """POST /v1/chat/completions. Reasoning models take neither `max_tokens` nor another temperature than 1."""
    check(handler.path == "/v1/chat/completions", "Invalid URL")
    known = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "seed", "stream"}
    check(body.keys() <= known and body["model"], f"Unrecognized request argument supplied: {body.keys() - known}")
    if "reasons" in handler.server.habits:
        check("max_tokens" not in body, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        check(body.get("temperature", 1) == 1, "Unsupported value: 'temperature' does not support 0 with this model.")
    check_turns(body["messages"], ROLES | {"developer"})
    text, end = handler.said(body["messages"])
    message = {"role": "assistant", "content": text, "refusal": None}
    ends = {"end": "stop", "cut": "length"}
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": ends[end]}]}


def anthropic(handler, body):
    """POST /v1/messages with the header anthropic-version; `max_tokens` is required, and no turn is the system's."""
    check(handler.path == "/v1/messages", "Not Found")
    check(handler.headers.get("anthropic-version") == "2023-06-01", "anthropic-version: header is required")
    known = {"model", "messages", "max_tokens", "system", "temperature"}
    check(body.keys() <= known, f"{body.keys() - known}: Extra inputs are not permitted")
    check(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
    if "reasons" in handler.server.habits:
        check("temperature" not in body, "temperature: is not supported by this model")
    check_turns(body["messages"], {"user", "assistant"})
    text, end = handler.said(body["messages"], body.get("system", ""))
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": text}]
    ends = {"end": "end_turn", "cut": "max_tokens"}
    return {"type": "message", "role": "assistant", "content": blocks, "stop_reason": ends[end]}


def ollama(handler, body):
    """POST /api/chat; a stream unless `stream` is false, and settings stand in `options`."""
    check(handler.path == "/api/chat", "404 page not found")
    check(body.get("stream") is False, "this would be a stream of lines")
    check(body.keys() <= {"model", "messages", "stream", "options"}, "unknown field")
    check(body["options"].keys() <= {"temperature", "seed", "num_predict", "num_ctx"}, "invalid option provided")
    check_turns(body["messages"], ROLES | {"tool"})
    text, end = handler.said(body["messages"])
    ends = {"end": "stop", "cut": "length"}
    return {"model": body["model"], "message": {"role": "assistant", "content": text}, "done": True, "done_reason": ends[end]}


def llamacpp(handler, body):
    """POST /v1/chat/completions of llama-server, which takes the options of its /completion, too; completions have no echo."""
    check(not body.get("echo"), "Only no echo is supported")
    check(handler.path == "/v1/chat/completions", "File Not Found")
    check_turns(body["messages"], ROLES)
    text, end = handler.said(body["messages"])
    ends = {"end": "stop", "cut": "length"}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": ends[end]}
    return {"object": "chat.completion", "choices": [choice], "model": body.get("model")}


SERVERS = {"openai": openai, "anthropic": anthropic, "ollama": ollama, "llamacpp": llamacpp}


@contextmanager
def running(api, speak):
    """A stand-in that answers while the block runs."""
    with ChatStandIn(api, speak) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
