"""The service as a client meets it: every answer, every refusal, and that nothing stops it."""

import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")

from llmattr import check, cite
from llmattr.core.plain_json import json_text
from llmattr.model.lm import LM
from llmattr.report.json import from_json, to_dict
from llmattr.text.shapes import read
from llmattr.text.split.sentences import sentence_spans
from tests.service import serving as places
from tests.service.serving import JSON, Gated, serving, until

DOCUMENTS = [
    {"id": "canal", "text": "The canal is long. It has locks. It opened in 1914.", "metadata": {"page": 3}},
    "The lake is high. Ships pay a toll.",
]
ASKED = {"documents": DOCUMENTS, "query": "When?", "response": "It opened in 1914. It has locks."}
EXACT = {**ASKED, "options": {"method": "leave-one-out"}}
QUICK = {"documents": DOCUMENTS, "answer": "It opened in 1914 [1]. It has locks [2].", "options": {"quick": True}}


@pytest.fixture(scope="module")
def served(tiny):
    with serving(tiny) as served:
        yield served


@pytest.fixture
def gated(tiny, monkeypatch):
    """The tiny model with a gate that is closed, and is opened at the end, so that no thread is left behind it."""
    gate = threading.Semaphore(0)
    monkeypatch.setattr(places, "GATE", gate)
    monkeypatch.setattr(places, "PASSED", [])
    yield Gated(tiny.model, tiny.tokenizer, "gated")
    gate.release(100_000)


def open_gate(n=100_000):
    places.GATE.release(n)


def without_time(result):
    """A result without what differs from run to run."""
    run = {name: value for name, value in result["run"].items() if name != "seconds"}
    return {**json.loads(json_text(result)), "run": json.loads(json_text(run))}


class TestAnswers:
    def test_cite_gives_what_the_library_gives(self, served, tiny):
        got = served.ask("/cite", EXACT)
        found = cite(tiny, DOCUMENTS, "When?", response=EXACT["response"], method="leave-one-out")
        assert got.status == 200
        assert without_time(got.json) == {**without_time(to_dict(found)), "notes": []}
        assert from_json(got.body.decode())[0].top(1)[0].id == found[0].top(1)[0].id

    def test_check_gives_what_the_library_gives(self, served, tiny):
        for given, lm in ((QUICK, None), ({**QUICK, "options": {"repair": True}}, tiny)):
            got, found = served.ask("/check", given).json, check(lm, given["answer"], DOCUMENTS)
            assert got.pop("notes") == []
            repaired = got.pop("repaired", None)
            assert without_time(got) == without_time(found.to_dict())
            assert (repaired is None) == (lm is None)
            assert repaired is None or repaired["text"] == found.repaired().text

    def test_check_takes_a_chat_that_ends_with_the_answer(self, served, tiny):
        call = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
        chat = [
            {"role": "user", "content": "When did it open?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "The canal opened in 1914.", "tool_call_id": "c"},
            {"role": "assistant", "content": "The canal opened in 1914 [1]. It opened in 1915 [step 3]."},
        ]
        for options, lm in (({"quick": True}, None), ({}, tiny)):
            got = served.ask("/check", {"messages": chat, "options": options})
            assert (got.status, got.json["documents"][0]["id"]) == (200, "step 3: result of search")
            found = check(lm, messages=chat).to_dict()
            assert [one["standing"] for one in got.json["markers"]] == [one["standing"] for one in found["markers"]]
        refused = served.ask("/check", {"messages": chat[:-1], "options": {"quick": True}})
        assert (refused.status, "there is no answer" in refused.error) == (422, True)

    def test_a_vendors_shape_goes_out_and_comes_back(self, served):
        shaped = served.ask("/cite", {**EXACT, "shape": "anthropic"}).json
        assert read(shaped, documents=DOCUMENTS).answer == EXACT["response"]
        checked = served.ask("/check", {**QUICK, "answer": shaped, "shape": "anthropic"})
        assert checked.status == 200
        assert checked.json["answer"] == EXACT["response"]
        assert len(checked.json["markers"]) == sum(len(one["citations"] or ()) for one in shaped["content"])

    def test_markdown_is_a_text(self, served):
        got = served.ask("/cite", {**EXACT, "shape": "markdown"})
        assert got.headers.get_content_type() == "text/markdown"
        assert "It has locks." in got.body.decode()

    def test_a_chat_and_other_names_of_the_same(self, served):
        chat = [{"role": "user", "content": "Notes: {context}"}, {"role": "assistant", "content": "It has locks."}]
        got = served.ask("/cite", {"context": DOCUMENTS, "messages": chat, "options": {"quick": True}}).json
        assert (got["response"], got["method"]["name"]) == ("It has locks.", "alone")
        assert served.ask("/cite", {**ASKED, "answer": "Two."}).error.endswith("are two names of the same: give one")

    def test_the_model_answers_where_no_answer_is_given_and_notes_come_along(self, served):
        asked = {"documents": DOCUMENTS, "query": "When?", "options": {"max_new_tokens": 3, "quick": True}}
        got = served.ask("/cite", asked).json
        assert got["response"]
        assert "the answer was cut off at 3 tokens" in got["notes"]

    def test_health_waits_for_nothing(self, served):
        assert served.get("/health").json == {"status": "ok", "model": "tiny", "waiting": 0}


class TestManyAtOnce:
    def test_each_of_200_has_its_answer_or_a_time_to_come_back(self, gated):
        answered = 5
        with serving(gated, waiting=answered - 1) as served, ThreadPoolExecutor(200) as clients:
            asked = [{**ASKED, "response": f"It opened in 1914. Number {i}.", "options": {"quick": True}} for i in range(200)]
            replies = [clients.submit(served.ask, "/cite", one) for one in asked]
            until(lambda: sum(one.done() for one in replies) == 200 - answered)  # the model has not answered once
            assert places.PASSED == []
            assert served.get("/health").json["waiting"] == answered - 1
            refused = [one.result() for one in replies if one.done()]
            open_gate()
            served_well = [(i, one.result()) for i, one in enumerate(replies) if one.result() not in refused]
        assert {one.status for one in refused} == {429}
        assert all(int(one.headers["retry-after"]) >= 1 and "come back in" in one.error for one in refused)
        assert len(served_well) == answered
        assert all((one.status, one.json["response"]) == (200, asked[i]["response"]) for i, one in served_well)

    def test_who_is_refused_while_sending_much_reads_the_reason(self, gated):
        with serving(gated, waiting=0, most=50_000_000) as served:
            first = served.leaving("/cite", ASKED)
            until(lambda: served.queue.taken == 1)
            much = {**ASKED, "documents": ["x" * 20_000_000]}
            assert served.ask("/cite", much, {**JSON, "connection": "close"}).status == 429
            first.close()
            open_gate()


class TestLeaving:
    def test_work_of_a_client_who_left_stops_between_two_passes_and_work_that_waits_never_starts(self, gated):
        with serving(gated) as served:
            first, second = served.leaving("/cite", ASKED), None
            open_gate(2)
            until(lambda: len(places.PASSED) == 2)
            second = served.leaving("/cite", {**ASKED, "response": "Ships pay."})
            until(lambda: served.queue.taken == 2)
            second.close()
            first.close()
            until(lambda: served.queue.taken == 0)
            open_gate(1)  # the pass at which the first is
            until(lambda: len(places.PASSED) == 3)
            open_gate()
            got = served.ask("/check", {**QUICK, "options": {}})
            assert got.status == 200
            assert len(places.PASSED) == 3 + got.json["run"]["forward_passes"]

    def test_cutting_for_a_client_who_left_stops_at_the_next_paragraph(self, tiny, monkeypatch):
        gate, cut = threading.Semaphore(0), []

        def gated(text, language):
            gate.acquire()
            cut.append(text)
            return sentence_spans(text, language)

        with serving(tiny) as served:
            monkeypatch.setattr(import_module("llmattr.text.split.cut"), "sentence_spans", gated)
            asked = served.leaving("/check", {**QUICK, "documents": ["It opened in 1914. Ships pay.\n\n" * 5_000]})
            gate.release(10)
            until(lambda: len(cut) == 10)
            asked.close()
            until(lambda: served.queue.taken == 0)
            gate.release(1)  # the paragraph at which it is
            until(lambda: len(cut) == 11)
            monkeypatch.undo()
            assert served.ask("/check", QUICK).status == 200
        assert len(cut) == 11
        gate.release(100_000)

    def test_a_request_beyond_its_time_is_refused_and_the_next_is_answered(self, gated):
        with serving(gated, seconds=0.2) as served:
            late = served.ask("/cite", ASKED)
            assert late.status == 503
            assert late.error.startswith("not done within 0.2 s: ask for less")
            assert int(late.headers["retry-after"]) >= 1
            open_gate()
            served.queue.seconds = 60.0
            assert served.ask("/cite", ASKED).status == 200

    def test_at_its_end_the_work_is_finished_and_what_waits_is_told(self, gated):
        with serving(gated) as served, ThreadPoolExecutor(2) as clients:
            running = clients.submit(served.ask, "/cite", ASKED)
            open_gate(1)
            until(lambda: len(places.PASSED) == 1)
            waiting = clients.submit(served.ask, "/cite", ASKED)
            until(lambda: served.queue.taken == 2)
            served.server.handle_exit(signal.SIGTERM, None)
            assert waiting.result(30).status == 503
            assert waiting.result().error == "the service is stopping"
            open_gate()
            assert running.result(30).status == 200
            with pytest.raises(OSError):  # noqa: PT011  # refused or reset: nobody listens
                served.get("/health")

    def test_at_its_end_work_without_end_is_given_up(self, gated, monkeypatch):
        monkeypatch.setattr("llmattr.service.queue.GRACE", 0.1)
        with serving(gated) as served, ThreadPoolExecutor(1) as clients:
            running = clients.submit(served.ask, "/cite", ASKED)
            open_gate(1)
            until(lambda: len(places.PASSED) == 1)
            served.server.handle_exit(signal.SIGTERM, None)
            assert running.result(30).error == "the service is stopping"


class TestLimits:
    @pytest.mark.parametrize("headers", [JSON, {**JSON, "connection": "close"}])
    def test_a_hundred_megabytes_are_one_clear_line(self, served, headers):
        got = served.ask("/cite", b"x" * 100_000_000, headers)
        assert (got.status, got.error) == (413, "the body has more than 1 MB: send less")
        assert served.get("/health").status == 200

    def test_so_are_they_in_pieces_of_no_said_length(self, served):
        connection = served.connect()
        connection.request("POST", "/cite", (b"x" * 1_000_000 for _ in range(30)), JSON, encode_chunked=True)
        assert connection.getresponse().status == 413

    def test_a_client_that_asks_before_it_sends_need_not_send(self, served):
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
            head = "POST /cite HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            client.sendall(f"{head}Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")

    def test_a_body_that_does_not_come_holds_no_place(self, served, monkeypatch):
        monkeypatch.setattr("llmattr.service.guard.SENDING", 0.1)
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
            client.sendall(
                b"POST /cite HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            assert client.recv(100).startswith(b"HTTP/1.1 408 ")
        until(lambda: served.queue.taken == 0)

    @pytest.mark.parametrize("documents", [["x" * 300_000], ["x"] * 3000, ["x. " * 3000]])
    def test_what_no_window_holds_is_refused_before_masks_are_made(self, served, documents):
        for path, more in (("/cite", {"query": "When?", "response": "It is."}), ("/check", {"answer": "It is [1]."})):
            got = served.ask(path, {"documents": documents, **more})
            assert got.status == 422
            assert "window of 2" in got.error

    @pytest.mark.parametrize(
        ("path", "given"),
        [
            ("/check", {**QUICK, "documents": ["A tower is tall. " * 20]}),
            ("/check", {**QUICK, "answer": "A tower is tall. " * 20}),
            ("/cite", {**ASKED, "query": "When? " * 60}),
            ("/cite", {"messages": [{"role": "user", "content": "A tower is tall. " * 20}]}),
            ("/cite", {**ASKED, "options": {"rather_than": "A tower is tall. " * 20}}),
        ],
    )
    def test_texts_beyond_the_characters_are_refused_before_they_are_cut(self, tiny, monkeypatch, path, given):
        monkeypatch.setattr("llmattr.service.answers.check", lambda *_, **__: pytest.fail("it was cut"))
        monkeypatch.setattr("llmattr.service.answers.cite", lambda *_, **__: pytest.fail("it was cut"))
        with serving(tiny, characters=300) as served:
            got = served.ask(path, given)
            assert got.status == 413
            assert got.error.endswith(" characters are more than the 300 that a request may have: send less")

    def test_texts_within_the_characters_are_answered(self, tiny):
        with serving(tiny, characters=300) as served:
            assert served.ask("/check", QUICK).status == 200


class TestWhoMayAsk:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8000", "llmattr.example", "LLMATTR.example:80"])
    def test_its_own_names(self, served, host):
        assert served.get("/health", {"Host": host}).status == 200

    @pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[", "a@localhost:b"])
    def test_no_name_of_others(self, served, host):
        for path in ("/", "/health"):
            got = served.get(path, {"Host": host})
            assert got.status == 403
            assert "--allow-host" in got.error

    def test_one_that_serves_every_address_has_their_numbers_and_the_machines_name(self, tiny):
        with serving(tiny, host="0.0.0.0") as served:
            for host in ("10.0.0.1:8765", "[fe80::1]", socket.gethostname()):
                assert served.get("/health", {"Host": host}).status == 200
            assert served.get("/health", {"Host": "evil.example"}).status == 403

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost", ""])
    def test_no_page_of_others(self, served, origin):
        for path, given, headers in (("/cite", ASKED, JSON), ("/", "do=cite", FORM)):
            got = served.ask(path, given, {**headers, "Origin": origin})
            assert (got.status, got.error) == (403, "a page of another site may not ask this service")
        assert "access-control-allow-origin" not in got.headers
        assert served.ask("/cite", headers={"Origin": origin}, method="OPTIONS").status == 403

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
    def test_only_json_which_no_form_of_others_can_send(self, served, kind):
        got = served.ask("/cite", ASKED, {"content-type": kind})
        assert got.status == 415
        assert "takes application/json" in got.error

    def test_a_form_needs_the_origin_that_browsers_write(self, served):
        assert served.ask("/", "do=cite&d1=a", FORM).status == 415

    def test_ways_that_are_none(self, served):
        assert served.get("/nothing").error == "GET /nothing: Not Found"
        assert served.get("/cite").status == 405


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.usefixtures("unchecked")
class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("{", "the body is no JSON"),
            (b"\xff\xfe{", "the body is no JSON"),
            ("[" * 100_000, "nested too deeply"),
            ("9" * 10_000, "the body"),
            ([], "must be a JSON object, not []"),
            ({}, "context is missing"),
            ({**ASKED, "dokuments": []}, "knows no 'dokuments'; did you mean 'documents'?"),
            ({**ASKED, "documents": []}, "the context is empty"),
            ({**ASKED, "documents": 3}, "must be a text or a list of documents"),
            ({**ASKED, "documents": ["a\ud800"]}, "not valid Unicode"),
            ({**ASKED, "query": ["When?"]}, "'query' must be a text"),
            ({**ASKED, "query": " "}, "the query is empty"),
            ({**ASKED, "response": {"a": 1}}, "'response' must be a text"),
            ({**ASKED, "shape": "anthropics"}, "did you mean 'anthropic'?"),
            ({**ASKED, "messages": "hello"}, "'messages' must be a list"),
            ({**ASKED, "options": "quick"}, "'options' must be an object"),
            ({**ASKED, "options": {"quick": "yes"}}, "quick must be True or False"),
            ({**ASKED, "options": {"method": "leave-one-in"}}, "did you mean 'leave-one-out'?"),
            ({**ASKED, "options": {"method": {"name": "at2", "weights": "/etc/passwd"}}}, "method must be a text"),
            ({**ASKED, "options": {"judge": "/etc"}}, "options knows no 'judge'"),
            ({**ASKED, "options": {"seed": 1e999}}, "seed must lie between 0 and"),
            ({**ASKED, "options": {"max_new_tokens": 10**9}}, "max_new_tokens must lie between 1 and"),
            ({**ASKED, "options": {"sources": "letters"}}, "sources must be one of"),
            ({**ASKED, "options": {"language": "\ud800"}}, "the language is not valid Unicode"),
            ({"messages": [{"role": "user", "content": [{"type": {"a": 1}, "text": 1}]}]}, "neither text nor a document"),
        ],
    )  # fmt: skip
    def test_is_one_clear_line(self, served, given, said):
        got = served.ask("/cite", given)
        assert got.status == 422
        assert said in got.error
        assert "\n" not in got.error
        assert "Traceback" not in got.error

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"answer": None}, "'answer' is missing"),
            ({"answer": {"odd": 1}}, "this is no answer with citations that is known"),
            ({"answer": "It opened.", "shape": "openai"}, "is a dict or their object, not a text"),
            ({"names": ["Doe"]}, "names must be a dict"),
            ({"options": {"method": "ridge"}}, "options knows no 'method'"),
        ],
    )
    def test_of_a_check_is_one_clear_line(self, served, changed, said):
        got = served.ask("/check", {**QUICK, **changed})
        assert got.status == 422
        assert said in got.error

    def test_a_text_that_is_a_files_name_is_a_text_and_nothing_says_whether_the_file_is_there(self, served, tmp_path):
        secret = tmp_path / "secret.txt"
        secret.write_text("The word is swordfish.")
        there = [str(secret), [str(secret)], [{"text": str(secret)}], {"documents": [str(secret)]}]
        for documents in there:
            got = served.ask("/cite", {**EXACT, "documents": documents})
            assert got.status == 200
            assert got.json["documents"][0]["text"] == str(secret)
            assert b"swordfish" not in got.body
            absent = served.ask("/cite", json.loads(json.dumps({**EXACT, "documents": documents}).replace("secret", "absent")))
            assert absent.json["notes"] == got.json["notes"]
        checked = served.ask("/check", {**QUICK, "documents": [str(secret)]})
        assert b"swordfish" not in checked.body

    def test_a_fault_of_ours_shows_nothing_of_it_and_the_next_request_is_answered(self, tiny):
        class Broken(LM):
            def score(self, requests):
                raise RuntimeError("the key is swordfish")

        with serving(Broken(tiny.model, tiny.tokenizer, "broken")) as served:
            got = served.ask("/cite", ASKED)
            assert (got.status, got.error) == (500, "a fault of the service (RuntimeError): its log says more")
            assert served.ask("/check", QUICK).status == 200


class TestPage:
    def form(self, served, **fields):
        from urllib.parse import urlencode

        origin = f"http://127.0.0.1:{served.port}"
        got = served.ask("/", urlencode(fields), {**FORM, "Origin": origin})
        return got, got.body.decode()

    def test_it_is_a_form_without_scripts_and_asks_for_nothing(self, served):
        got = served.get("/")
        policy = got.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
        html = got.body.decode()
        assert '<form method="post" action="/">' in html
        assert not any(word in html for word in ("<script", "http://", "https://", "<img", "<link"))

    def test_cite_and_check_give_their_pages(self, served):
        asked = {"d1": "The canal is long. It has locks.", "d2": "It opened in 1914.", "query": "When?"}
        got, html = self.form(served, **asked, response="It opened in 1914.", do="cite")
        assert got.status == 200
        assert got.headers["cache-control"] == "no-store"
        assert "<title>It opened in 1914. | llmattr</title>" in html
        got, html = self.form(served, **asked, response="It opened in 1914 [2].", do="check", quick="yes")
        assert got.status == 200
        assert "1 of 1 markers hold" in html

    def test_what_was_wrong_stands_above_what_was_written(self, served):
        evil = "</textarea><script>alert(1)</script>"
        got, html = self.form(served, d1=evil, d4="four", query="", response="It is.", do="cite")
        assert got.status == 422
        assert 'role="alert">The query is empty' in html
        assert "&lt;/textarea&gt;&lt;script&gt;" in html
        assert "<script" not in html
        assert "<details open>" in html

    def test_no_document_at_all_is_said(self, served):
        got, html = self.form(served, d1=" ", query="When?", response="", do="cite")
        assert got.status == 422
        assert "The context is empty" in html

    def test_it_is_refused_in_words_on_the_page(self, gated):
        with serving(gated, waiting=0) as served:
            first = served.leaving("/cite", ASKED)
            until(lambda: served.queue.taken == 1)
            got, html = self.form(served, d1="The canal.", query="When?", response="It is.", do="cite")
            assert got.status == 429
            assert int(got.headers["retry-after"]) >= 1
            assert "1 requests are here already" in html
            first.close()
