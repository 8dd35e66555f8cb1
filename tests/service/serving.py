"""A service on a free port, in a thread, and what asks it."""

import contextlib
import http.client
import json
import threading
import time
from typing import NamedTuple

from llmattr.model.lm import LM
from llmattr.service.answers import Attributor
from llmattr.service.app import Service
from llmattr.service.guard import Guard
from llmattr.service.queue import Queue
from llmattr.service.server import Server, bound

JSON = {"content-type": "application/json"}


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class Served:
    """Where it is, its queue, and its server."""

    def __init__(self, port, queue, server):
        self.port, self.queue, self.server = port, queue, server

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, path, given=None, headers=JSON, method="POST"):
        body = json.dumps(given) if isinstance(given, (dict, list)) else given
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, dict(headers))
            got = connection.getresponse()
            return Reply(got.status, got.headers, got.read())

    def get(self, path, headers=()):
        return self.ask(path, headers=headers, method="GET")

    def leaving(self, path, given):
        """A client that has asked, and may leave (close)."""
        connection = self.connect()
        connection.request("POST", path, json.dumps(given), JSON)
        return connection


@contextlib.contextmanager
def serving(lm, waiting=8, seconds=60.0, most=1_000_000, host="127.0.0.1", characters=1_000_000):
    queue, ready = Queue(waiting + 1, seconds), threading.Event()
    app = Guard(Service(Attributor(lm, most=characters), queue, most).app(), host, frozenset({"llmattr.example"}))
    with bound("127.0.0.1", 0) as sock:
        port, server = sock.getsockname()[1], Server(app, queue, ready.set)
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        assert ready.wait(30)
        try:
            yield Served(port, queue, server)
        finally:
            server.should_exit = server.force_exit = True
            thread.join(30)
            assert not thread.is_alive()


def until(holds):
    """Wait for what another thread does; a minute without it fails the test."""
    for _ in range(6000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


class Gated(LM):
    """A model whose every answer waits for the gate: `gate` lets so many pass, `passed` counts them."""

    def score(self, requests):
        for scored in super().score(requests):
            GATE.acquire()
            PASSED.append(scored[0])
            yield scored


GATE, PASSED = threading.Semaphore(0), []
