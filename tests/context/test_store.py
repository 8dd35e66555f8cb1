"""Scored ablations are kept: nothing is scored twice, whatever stops a run."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from llmattr import cite
from llmattr.cli import main
from llmattr.context.methods.surrogates import ContextCite
from llmattr.context.removal.ablation import Store, store_path
from llmattr.context.removal.cache import shrink
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM
from tests import ROOT
from tests.context.test_evidence import ANSWER
from tests.core.test_files import AT_ONCE, WRITES, at_once

LONG = " ".join(f"The lock {i} is {3 * i} metres wide." for i in range(30))


def run(lm, cache, n=64, **how):
    return cite(lm, LONG, "How wide?", response=ANSWER, method=ContextCite(n_ablations=n), cache=cache, verify=False, **how)


@pytest.mark.slow
def test_256_after_64_cost_192(counted, tmp_path):
    lm, asked = counted
    first = run(lm, tmp_path)
    assert sum(asked) == 64
    more = run(lm, tmp_path, 256)
    assert sum(asked) == 256
    assert (more.run["forward_passes"], more.run["resumed"]) == (192, 64)
    again = run(lm, tmp_path)
    assert sum(asked) == 256
    assert (again.run["forward_passes"], again.run["resumed"]) == (0, 256)
    np.testing.assert_array_equal(again.values, first.values)


def test_another_prompt_answer_or_model_is_another_file(counted, tmp_path, tiny):
    lm, _ = counted
    run(lm, tmp_path, 8)
    cite(lm, LONG, "How long?", response=ANSWER, method=ContextCite(n_ablations=8), cache=tmp_path, verify=False)
    cite(lm, LONG, "How wide?", response="No.", method=ContextCite(n_ablations=8), cache=tmp_path, verify=False)
    cite(
        lm, LONG, "How wide?", response=ANSWER, sources="words", method=ContextCite(n_ablations=8), cache=tmp_path, verify=False
    )
    run(LM(tiny.model.float(), tiny.tokenizer, "counted"), tmp_path, 8)
    tiny.model.double()
    assert len(list(tmp_path.glob("*.npz"))) == 5


def test_what_was_scored_before_a_stop_is_kept(counted, tmp_path):
    lm, asked = counted

    class Stopped(type(lm)):
        def score(self, requests):
            for count, scored in enumerate(super().score(requests)):
                if count == 20:
                    raise KeyboardInterrupt
                yield scored

    with pytest.raises(KeyboardInterrupt):
        run(Stopped(lm.model, lm.tokenizer, "counted"), tmp_path)
    asked.clear()
    resumed = run(lm, tmp_path)
    assert asked == [44]
    np.testing.assert_allclose(resumed.values, run(lm, None).values, atol=1e-8)


def test_other_responses_are_kept_beside_the_masks(tmp_path):
    """Each with its own number of tokens; two that add to one file lose nothing."""
    path, answers = store_path(tmp_path, "x"), {"One.": [-1.0], "Deux, trois…": [-2.0, -3.0, -4.0]}
    first, second = Store(path), Store(path)
    for store, (answer, logprobs) in zip((first, second), answers.items(), strict=True):
        store.add_other(answer, np.array(logprobs))
        store.save()
    second.add(np.array([True, False]).tobytes(), np.array([-5.0, -6.0]))
    second.save()
    found = Store(path)
    assert {answer: row.tolist() for answer, row in found.others.items()} == answers
    assert [row.tolist() for row in found.rows.values()] == [[-5.0, -6.0]]
    assert found.resumed == len(found) == 3


def test_a_damaged_file_is_scored_again(tmp_path):
    path = store_path(tmp_path, "x")
    store = Store(path)
    store.add(np.array([True, False]).tobytes(), np.array([-1.0, -2.0]))
    store.save()
    assert next(iter(Store(path).rows.values())).tolist() == [-1.0, -2.0]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.warns(LlmattrNote, match="is damaged"):
        assert len(Store(path)) == 0
    assert not list(tmp_path.glob("*.part"))


def test_a_changed_byte_is_scored_again_and_never_an_error(tmp_path):
    """Every byte of the file is covered by its digest: headers, names, and the numbers."""
    path, rng = store_path(tmp_path, "x"), np.random.default_rng(0)
    store = Store(path)
    for mask in rng.integers(0, 2, (6, 9)).astype(bool):
        store.add(mask.tobytes(), rng.normal(size=4))
    store.save()
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        for changed in (whole[:at], whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :]):
            path.write_bytes(changed)
            with pytest.warns(LlmattrNote, match="is damaged.*is scored again"):
                assert len(Store(path)) == 0


def _save_rows(folder, number):
    store = Store(store_path(folder, "shared"))
    for k in range(WRITES):
        row = WRITES * number + k
        store.add(np.array([row >> bit & 1 for bit in range(9)], dtype=bool).tobytes(), np.full(20, float(row)))
        store.save()


@pytest.mark.slow
def test_processes_add_to_one_file(tmp_path):
    """8 processes save 60 times each, every time with one row more: each row is there, with its own numbers."""
    at_once(_save_rows, tmp_path)
    rows = Store(store_path(tmp_path, "shared")).rows
    found = {int(np.frombuffer(mask, dtype=bool) @ 2 ** np.arange(9)): set(row) for mask, row in rows.items()}
    assert found == {row: {float(row)} for row in range(AT_ONCE * WRITES)}
    assert not list(tmp_path.glob("*.part"))


def test_a_place_that_cannot_be_written_is_a_note(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LlmattrError, match="is a file, not a folder"):
        store_path(tmp_path / "file", "x")
    store = Store(tmp_path / "file" / "x.npz")
    store.add(np.array([True]).tobytes(), np.array([-1.0]))
    with pytest.warns(LlmattrNote, match="cannot keep what was scored"):
        store.save()
    assert len(store) == 1


def test_the_command_line_keeps_what_it_scored(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LLMATTR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "lock.txt").write_text(LONG)
    command = ["cite", str(tmp_path / "lock.txt"), "--query", "How wide?", "--response", ANSWER, "--model", str(tiny_folder),
               "--n-ablations", "8"]  # fmt: skip
    assert main([*command, "--no-cache"]) == 0
    assert not (tmp_path / "cache").exists()
    assert main(command) == 0
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1
    one = capsys.readouterr().out
    assert main(command) == 0
    assert capsys.readouterr().out.split("\n")[0] in one


def kept_file(folder, name, size, used):
    path = store_path(folder, name)
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    """Of 100 + 200 + 300 bytes 450 may stay: the oldest goes, then the next; what is not ours stays, whatever its age."""
    old, used, new = (kept_file(tmp_path, name, size, size) for name, size in (("a", 100), ("b", 200), ("c", 300)))
    (tmp_path / "mine.npz").write_bytes(bytes(10**6))
    (tmp_path / f"{used.name}.host.1.2.part").write_bytes(bytes(50))  # of a process that was killed
    assert shrink(tmp_path, 1e6) == []
    assert [one.path.suffix for one in shrink(tmp_path, 600.0)] == [".part"]
    assert [one.path for one in shrink(tmp_path, 450.0)] == [old, used]
    assert {path.name for path in tmp_path.iterdir()} == {new.name, "mine.npz", ".lock"}


def test_reading_is_using(counted, tmp_path, monkeypatch):
    """A cache without room for a second file keeps the one that is in use, and forgets the other."""
    lm, asked = counted
    run(lm, tmp_path, 8)
    (first,) = tmp_path.glob("*.npz")
    other = kept_file(tmp_path, "other", 2 * first.stat().st_size, time.time() - 60)
    os.utime(first, (0, 0))
    monkeypatch.setenv("LLMATTR_CACHE_LIMIT", str(2 * first.stat().st_size / 1e9))
    asked.clear()
    run(lm, tmp_path, 8)
    assert (first.exists(), other.exists(), sum(asked)) == (True, False, 0)
    monkeypatch.setenv("LLMATTR_CACHE_LIMIT", "much")
    with pytest.raises(LlmattrError, match="LLMATTR_CACHE_LIMIT must be a number of gigabytes"):
        run(lm, tmp_path, 8)


def test_a_cache_that_is_cleared_beside_a_running_process(tmp_path):
    store = Store(store_path(tmp_path, "x"))
    masks = np.eye(3, dtype=bool)
    for mask in masks[:2]:
        store.add(mask.tobytes(), np.zeros(2))
    store.save()
    assert len(shrink(tmp_path, -1.0)) == 1
    store.add(masks[2].tobytes(), np.zeros(2))
    store.save()
    assert len(Store(store.path)) == 3


def test_the_command_shows_and_clears(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LLMATTR_CACHE", str(tmp_path / "cache"))
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"scored ablations: {tmp_path / 'cache'}\n0 files (0.0 MB), of 1 GB at most\n"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "mine.txt").write_text("stays")
    for name in "ab":
        kept_file(tmp_path / "cache", name, 700_000, 86400 * 365)
    monkeypatch.setenv("LLMATTR_CACHE_LIMIT", "2.5")
    assert main(["cache"]) == 0
    said = capsys.readouterr().out
    assert "2 files (1.4 MB), of 2.5 GB at most" in said
    assert "used from 1971-01-01" in said
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"removed 2 files (1.4 MB) from {tmp_path / 'cache'}\n"
    assert main(["cache", "--cache", str(tmp_path / "cache"), "clear"]) == 0
    assert "removed 0 files" in capsys.readouterr().out
    assert (tmp_path / "cache" / "mine.txt").exists()
    assert main(["cache", "--cache", str(tmp_path / "cache" / "mine.txt")]) == 2
    assert "is a file, not a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_share_the_masks(tiny_folder, tmp_path):
    """`accelerate launch` with two processes: one answer is printed, equal to that of one process."""
    (tmp_path / "lock.txt").write_text(LONG)
    arguments = ["cite", str(tmp_path / "lock.txt"), "--query", "How wide?", "--model", str(tiny_folder), "--n-ablations", "32",
                 "--max-new-tokens", "20"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("LLMATTR_CACHE")
    said = {}
    for name, launch in {
        "one": ["-m", "llmattr"],
        "two": ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "-m", "llmattr"],
    }.items():
        command = [
            sys.executable,
            *launch,
            *arguments,
            "--cache",
            str(tmp_path / name),
            "--json",
            str(tmp_path / f"{name}.json"),
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said[name] = done.stdout
    from llmattr.core.attribution import Attribution

    one, two = (Attribution.load(tmp_path / f"{name}.json") for name in ("one", "two"))
    np.testing.assert_allclose(one.values, two.values, atol=1e-3)  # float32, other packs
    assert one.run["forward_passes"] == two.run["forward_passes"]
    assert said["two"].count("Sources") == said["one"].count("Sources")
