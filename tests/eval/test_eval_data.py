"""The public data of the benchmarks: fetched from a repository or a folder, checked, kept, and found again."""

import hashlib
import re
import threading
from email.message import Message
from urllib.error import HTTPError, URLError

import pytest
from click.testing import CliRunner

from eval import data as data_command
from eval.context import data as context_data
from eval.context.own import read_own
from eval.harness import data, fetch
from eval.training import data as facts_data
from llmattr.errors import LlmattrError
from tests.conftest import SHARED

COMMIT = "c" * 40
CONTENTS = {  # by the paths in the repository
    "data/dev.jsonl": b'{"one": 1}\n',
    "LICENSE": b"Do what you like.\n",
    "data/relations/P1.jsonl": b"capital\n" * 20_000,  # more than a block
    "data/relations/P2.jsonl": b"currency\n",
}
NAMES = ["small_200.jsonl", "LICENSE", "facts/P1.jsonl", "facts/P2.jsonl"]


def sha(content):
    return hashlib.sha256(content).hexdigest()


def line(path):
    return f'"{path}", {len(CONTENTS[path])}, "{sha(CONTENTS[path])}"'


def short(name):
    content = CONTENTS[f"data/relations/{name}.jsonl"]
    return f"{name} {len(content)} {sha(content)[:16]}"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder that stands in for the repository of the one set that there is."""
    table = f"""
        [small]
        what = "two relations"
        licence = "MIT"
        repository = "someone/Small"
        commit = "{COMMIT}"
        parts = {{ dev = "small_200.jsonl" }}
        files = [[{line("data/dev.jsonl")}, "small_200.jsonl"], [{line("LICENSE")}]]
        [[small.folders]]
        path = "data/relations/*.jsonl"
        name = "facts/*.jsonl"
        files = "{short("P1")}, {short("P2")}"
    """
    (tmp_path / "data.toml").write_text(table)
    folder = tmp_path / "raw" / "someone" / "Small" / COMMIT
    for path, content in CONTENTS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    monkeypatch.setattr(fetch, "RAW", (tmp_path / "raw").as_uri() + "/{repository}/{commit}/{path}")
    monkeypatch.setenv("LLMATTR_EVAL_DATA", str(tmp_path / "kept"))
    monkeypatch.setattr(data, "TABLE", tmp_path / "data.toml")
    data.sets.cache_clear()
    yield folder
    data.sets.cache_clear()


@pytest.fixture
def kept(tmp_path, repository):
    return tmp_path / "kept" / "small"


def run(*words):
    return CliRunner().invoke(data_command.command, [str(word) for word in words])


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} if folder.exists() else set()


def state():
    return data_command.row(data.find("small"))["state"]


class TestFetching:
    def test_from_the_repository(self, repository, kept):
        assert state() == "missing"
        assert "| small | missing | 4     | 160," in run().stdout
        assert run("small").exit_code == 0
        assert files_of(kept) == {*NAMES, data.CHECKED}
        assert [(kept / name).read_bytes() for name in NAMES] == list(CONTENTS.values())
        assert state() == "here"
        assert "| small | here" in run().stdout

    def test_only_what_is_missing_or_wrong(self, repository, kept):
        run("small")
        for path in CONTENTS.keys() - {"LICENSE"}:
            (repository / path).unlink()
        (kept / "LICENSE").write_text("Do not.\n")
        assert state() == "wrong"
        assert run("dev").exit_code == 0  # the name of a part stands for its set
        assert (kept / "LICENSE").read_bytes() == CONTENTS["LICENSE"]

    @pytest.mark.parametrize("altered", [b"", b"capital\n", CONTENTS["data/relations/P1.jsonl"] + b"and more" * 99])
    def test_what_is_not_as_published_is_not_kept(self, repository, kept, altered):
        (repository / "data/relations/P1.jsonl").write_bytes(altered)
        done = run("small")
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1
        content = CONTENTS["data/relations/P1.jsonl"]
        wrong = f"facts/P1.jsonl of small is not as published: {len(content)} bytes with SHA-256 {sha(content)[:16]}"
        assert wrong in done.stderr
        read = altered[: len(content) + 1]  # no more than a byte too many
        assert f"{len(read)} with {sha(read)[:16]} found" in done.stderr
        assert files_of(kept) == {"small_200.jsonl", "LICENSE"}

    def test_goes_on_after_a_kill(self, repository, kept):
        def killed(one, file):
            yield b"capital\n"
            if file.name == "facts/P1.jsonl":
                raise KeyboardInterrupt
            yield from ()

        def until_p1(one, file):
            return killed(one, file) if file.name == "facts/P1.jsonl" else fetch.from_repository(one, file)

        with pytest.raises(KeyboardInterrupt):
            fetch.fetch(data.find("small"), until_p1)
        assert files_of(kept) == {"small_200.jsonl", "LICENSE"}
        fetch.fetch(data.find("small"), fetch.from_repository)
        assert state() == "here"

    def test_two_at_once(self, repository, kept):
        barrier = threading.Barrier(2)
        failed = []

        def together(one, file):
            barrier.wait(10)  # both are about to write the same file
            return fetch.from_repository(one, file)

        def work():
            try:
                fetch.fetch(data.find("small"), together)
            except BaseException as error:
                failed.append(error)

        both = [threading.Thread(target=work) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert not failed
        assert files_of(kept) == {*NAMES, data.CHECKED}
        assert state() == "here"

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (URLError("Name or service not known"), "cannot reach raw.githubusercontent.com (Name or service not known)"),
            (TimeoutError("timed out"), "cannot reach raw.githubusercontent.com (timed out)"),
            (HTTPError("", 404, "", Message(), None), f"someone/Small/{COMMIT}/data/dev.jsonl answered 404"),
        ],
    )
    def test_offline_one_line_says_what_to_do(self, repository, kept, monkeypatch, error, said):
        def unreachable(url, timeout):
            assert url == f"https://raw.githubusercontent.com/someone/Small/{COMMIT}/data/dev.jsonl"
            raise error

        monkeypatch.setattr(fetch, "RAW", "https://raw.githubusercontent.com/{repository}/{commit}/{path}")
        monkeypatch.setattr(fetch, "urlopen", unreachable)
        done = run("small")
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1
        assert said in done.stderr
        assert "python -m eval data small --from FOLDER" in done.stderr
        assert not files_of(kept)

    def test_a_folder_that_is_closed(self, repository, tmp_path):
        (tmp_path / "kept").write_text("a file")
        done = run("small")
        assert done.exit_code == 1
        assert "cannot make the folder" in done.stderr

    @pytest.mark.parametrize("words", [["smal"], ["--from", "."], ["small", "--from", "nowhere"], ["--example", "nothing"]])
    def test_bad_input_is_refused(self, repository, words):
        done = run(*words)
        assert done.exit_code == 2
        if words == ["smal"]:
            assert "there is no set 'smal'; did you mean 'small'? (there are: small, dev)" in done.stderr


class TestFromAFolder:
    @pytest.mark.parametrize("layout", ["by set", "by name", "flat", "checkout"])
    def test_whatever_matches_by_name(self, repository, kept, tmp_path, layout):
        given = tmp_path / "given"
        for name, (path, content) in zip(NAMES, CONTENTS.items(), strict=True):
            places = {"by set": f"small/{name}", "by name": name, "flat": name.rpartition("/")[2], "checkout": path}
            place = given / places[layout]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        if layout == "by set":
            (given / "LICENSE").write_text("of another set")
        assert run("--all", "--from", given).exit_code == 0
        assert files_of(kept) == {*NAMES, data.CHECKED}
        assert state() == "here"

    def test_what_is_not_there_is_named(self, repository, kept, tmp_path):
        (tmp_path / "given").mkdir()
        done = run("small", "--from", tmp_path / "given")
        assert done.exit_code == 1
        assert "small_200.jsonl of small is not in" in done.stderr
        assert not files_of(kept)
        assert run("--all", "--from", tmp_path / "given").exit_code == 1  # nothing came

    def test_what_is_not_as_published_is_not_kept(self, repository, kept):
        (repository / "LICENSE").write_text("Do not.\n")
        done = run("small", "--from", repository)
        assert done.exit_code == 1
        assert "LICENSE of small is not as published: 18 bytes" in done.stderr
        assert files_of(kept) == {"small_200.jsonl"}


class TestFinding:
    def test_a_set_and_a_part_of_it(self, repository, kept):
        with pytest.raises(LlmattrError, match=re.escape("the set dev is not here: python -m eval data dev")):
            data.files("dev")
        run("small")
        assert data.files("small") == data.files("dev") == kept
        assert data.part("dev") == kept / "small_200.jsonl"
        (kept / "facts/P2.jsonl").write_text("no currency\n")
        with pytest.raises(LlmattrError, match=re.escape("small is here, but facts/P2.jsonl is not as published")):
            data.files("small")

    def test_checksums_are_computed_once(self, repository, kept, monkeypatch):
        run("small")
        computed = []
        monkeypatch.setattr(data, "sha256", lambda path, size, changed: computed.append(path.name) or "0" * 64)
        data.files("small")
        assert not computed
        (kept / "LICENSE").write_bytes(CONTENTS["LICENSE"] + b" ")
        with pytest.raises(LlmattrError, match="LICENSE is not as published"):
            data.files("small")
        assert computed == ["LICENSE"]
        (kept / data.CHECKED).write_text("damaged")
        assert len(data.wrong(data.find("small"))) == 4
        assert len(computed) == 5

    def test_who_only_reads_writes_nothing(self, repository, kept):
        run("small")
        (kept / data.CHECKED).unlink()
        data.files("small")
        run()
        run("small")  # all is here
        assert files_of(kept) == set(NAMES)

    def test_a_digest_for_keys(self, repository):
        whole, part = data.digest("small"), data.digest("dev")
        assert re.fullmatch("[0-9a-f]{16}", whole)
        assert whole != part
        table = data.TABLE.read_text()
        data.TABLE.write_text(table.replace(sha(CONTENTS["LICENSE"]), "0" * 64))
        data.sets.cache_clear()
        assert data.digest("dev") == part
        assert data.digest("small") != whole


class TestTheTable:
    def test_every_set_is_whole(self):
        names = [part for one in data.sets().values() for part in (one.name, *one.parts)]
        assert len(names) == len(set(names))
        for one in data.sets().values():
            assert one.what
            assert one.licence
            assert re.fullmatch(r"[\w-]+/[\w-]+", one.repository)
            assert re.fullmatch("[0-9a-f]{40}", one.commit)
            assert len({file.name for file in one.files}) == len({file.path for file in one.files}) == len(one.files)
            assert set(one.parts.values()) <= {file.name for file in one.files}
            for file in one.files:
                assert re.fullmatch("[0-9a-f]{16}|[0-9a-f]{64}", file.sha256)
                assert file.size > 0
                assert "*" not in file.name + file.path

    def test_the_questions_of_the_benchmarks_are_parts(self):
        assert all(name in data.find(name).parts for name in context_data.SETS if name != "canal")

    def test_the_data_that_is_here(self, tmp_path, monkeypatch):
        if not (SHARED / "data").is_dir():
            pytest.skip("no ../shared/data")
        monkeypatch.setenv("LLMATTR_EVAL_DATA", str(tmp_path))
        done = run("--all", "--from", SHARED / "data")
        assert done.exit_code == 0  # one is not there, and the others are had all the same
        count = len(data.sets())
        assert f"{count - 1} of {count} sets are here; not in" in done.stderr
        assert "ftrace_synth (python -m eval data ftrace_synth)" in done.stderr
        states = {one.name: data_command.row(one)["state"] for one in data.sets().values()}
        assert states.pop("ftrace_synth") == "missing"
        assert set(states.values()) == {"here"}
        assert next(context_data.questions("qed")).gold.sum() == 1
        assert len(facts_data.pararel(data.files("pararel"), 10).queries) == 10
        assert len(facts_data.fewrel(data.files("fewrel"), 10).queries) == 10


class TestExamples:
    @pytest.mark.parametrize("example", ["questions", "citations"])
    def test_questions(self, tmp_path, example):
        path = tmp_path / "mine.jsonl"
        path.write_text(run("--example", example).stdout)
        asked = list(read_own(path))
        assert len(asked) == 2
        marked = [1, 1] if example == "citations" else [0, 0]
        assert [one.gold.sum() for one in asked] == marked
        assert [one.answer is not None for one in asked] == [bool(one) for one in marked]

    def test_rows_and_queries(self, tmp_path):
        for example in ("rows", "queries"):
            (tmp_path / f"{example}.jsonl").write_text(run("--example", example).stdout)
        facts = facts_data.own(str(tmp_path / "rows.jsonl"), str(tmp_path / "queries.jsonl"))
        assert facts.gold.tolist() == [[True, True, False], [False, False, True]]
