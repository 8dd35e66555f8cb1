"""`llmattr serve` as a command: it says where it is, ends by a signal, and refuses in one line what cannot be served."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from llmattr.cli import main

pytest.importorskip("uvicorn", reason="uvicorn is not installed (extra serve)")

ASKED = {"documents": ["The canal is long. It has locks."], "query": "When?", "response": "It has locks."}


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_it_says_where_it_is_answers_and_stops(tiny_folder, tmp_path, stop, code):
    command = [sys.executable, "-m", "llmattr", "serve", "--port", "0", "--model", str(tiny_folder), "--cache", str(tmp_path)]

    def heed():  # a test run in the background ignores Ctrl-C, and its children would too
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=heed, **pipes) as running:
        try:
            said = running.stdout.readline()
            address = re.fullmatch(rf"llmattr serves {re.escape(str(tiny_folder))} on (\S+) \(Ctrl-C stops it\)\n", said)[1]
            asked = urllib.request.Request(f"{address}/cite", json.dumps(ASKED).encode(), {"content-type": "application/json"})
            with urllib.request.urlopen(asked, timeout=60) as answer:
                assert json.load(answer)["response"] == "It has locks."
        finally:
            running.send_signal(stop)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (code, "")
    assert err.strip() == ("llmattr: stopped" if stop == signal.SIGINT else "")
    assert list(tmp_path.glob("*.npz"))  # what was scored is kept


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "no.such.host.invalid"), "cannot serve on 'no.such.host.invalid': "),
        (("--host", "192.0.2.1", "--port", "0"), "cannot serve on 192.0.2.1 port 0: "),
        (("--no-cache", "--cache", "kept"), "--cache would be of no use: --no-cache keeps nothing"),
        (("--port", "70000"), "70000 is not in the range"),
        (("--waiting", "-1"), "-1 is not in the range"),
        (("--max-megabytes", "nan"), "'--max-megabytes': nan is no amount"),
        (("--time-limit", "inf"), "'--time-limit': inf is no amount"),
        (("--timeout", "nan"), "'--timeout': nan is no amount"),
        (
            ("--allow-host", "a.example", "--allow-host", "http://b.example"),
            "a name alone, as llmattr.example, not 'http://b.ex",
        ),
        (("--allow-host", "a.example:8080"), "a name alone, as llmattr.example, not 'a.example:8080'"),
        (("--port", "0", "--model", "nothing/here"), "cannot load the model 'nothing/here'"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments, said, capsys):
    assert main(["serve", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_a_port_that_is_taken_is_said_before_a_model_is_loaded(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port), "--model", "nothing/here"]) == 2
    assert f"cannot serve on 127.0.0.1 port {port}: Address already in use" in capsys.readouterr().err


def test_what_to_install_is_said_where_it_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "llmattr.service.server", raising=False)
    assert main(["serve"]) == 2
    assert "llmattr serve needs pip install 'llmattr[serve]'" in capsys.readouterr().err


def test_more_than_this_machine_is_told_what_that_means(monkeypatch, capsys):
    assert main(["serve", "--host", "0.0.0.0", "--port", "0", "--model", "nothing/here"]) == 2
    assert "note: whoever reaches 0.0.0.0 may ask: there is no password" in capsys.readouterr().err
