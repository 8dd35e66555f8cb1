"""Files that are written whole or not at all, by many at once; what was changed on the disk is seen."""

import json
import multiprocessing
import os
import threading

import numpy as np
import pytest

from llmattr.core.files import alone, digest, read_arrays, read_record, whole, write, write_arrays, write_record
from llmattr.errors import LlmattrError

AT_ONCE, WRITES = 8, 60


def _write(folder, number):
    for k in range(WRITES):
        write(folder / "one.txt", f"{number} " * 1000 + str(k))
        write_arrays(folder / "one.npz", numbers=np.full(1000, number), k=k)


def _count(folder, _number):
    for _ in range(WRITES):
        with alone(folder):
            count = int((folder / "count").read_text())
            write(folder / "count", str(count + 1))


def at_once(work, folder):
    """The work in several processes; every one of them ends well."""
    processes = [multiprocessing.get_context("fork").Process(target=work, args=(folder, k)) for k in range(AT_ONCE)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * AT_ONCE


def check_whole(folder):
    """One writer's file, and nothing beside it."""
    first, *others, _ = (folder / "one.txt").read_text().split(" ")
    assert others == [first] * 999
    assert len(set(read_arrays(folder / "one.npz")["numbers"])) == 1
    assert {path.name for path in folder.iterdir()} == {"one.txt", "one.npz"}


def test_processes_write_one_file(tmp_path):
    at_once(_write, tmp_path)
    check_whole(tmp_path)


def test_threads_write_one_file(tmp_path):
    failed = []

    def work(number):
        try:
            _write(tmp_path, number)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    check_whole(tmp_path)


def test_alone_in_a_folder(tmp_path):
    (tmp_path / "count").write_text("0")
    at_once(_count, tmp_path)
    assert int((tmp_path / "count").read_text()) == AT_ONCE * WRITES


def test_a_killed_process_leaves_no_lock(tmp_path):
    def killed(folder):
        with alone(folder):
            os.kill(os.getpid(), 9)

    process = multiprocessing.get_context("fork").Process(target=killed, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -9
    with alone(tmp_path):  # or this raises OSError after a while
        assert tmp_path.exists()


def test_the_old_file_stays_where_writing_fails(tmp_path):
    path = write(tmp_path / "a", "old")

    def half():
        with whole(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(LlmattrError, match=r"cannot write .*no such folder.*: No such file or directory"):
        write(tmp_path / "no such folder" / "a", "new")


def test_links_pipes_and_long_names(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "place")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "place").read_text() == "new"
    write(tmp_path / ("é" * 127), "new")  # 254 of the 255 bytes that a name may have
    (tmp_path / "null").symlink_to("/dev/null")
    write(tmp_path / "null", "x")


def test_a_digest_is_of_the_contents():
    assert digest({"a": 1, "b": [1, 2.5]}) == digest({"b": (1, 2.5), "a": 1})
    assert digest({2: "x", 10: "y"}) == digest(json.loads(json.dumps({2: "x", 10: "y"})))
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": 1}) != digest({"a": 1.5})
    # the SHA-256 of the canonical text {"a":1}, from `printf '{"a":1}' | sha256sum`
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_a_record_says_when_it_was_changed(tmp_path):
    record = {"name": "Zürich \ud800", "layers": ["a", "b"], "n": 3, "rate": 1e-05, "nothing": None, "digest_of": {"x": [1]}}
    path = write_record(tmp_path / "run.json", record)
    assert read_record(path) == record
    data = path.read_bytes()
    for at in range(len(data)):
        for changed in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
            path.write_bytes(changed)
            try:
                assert read_record(path) == record  # white space means nothing
            except LlmattrError as error:
                assert str(path) in str(error)  # noqa: PT017
    with pytest.raises(OSError, match="No such file"):
        read_record(tmp_path / "other.json")


def test_arrays_say_when_a_byte_was_changed(tmp_path):
    arrays = {"masks": np.eye(3, dtype=bool), "logprobs": np.linspace(-3, 0, 12).reshape(3, 4)}
    path = tmp_path / "a.npz"
    write_arrays(path, **arrays)
    for found in (read_arrays(path), np.load(path)):  # it is an .npz for others too
        assert set(found) == set(arrays)
        np.testing.assert_array_equal(found["logprobs"], arrays["logprobs"])
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in range(len(data)):
        for changed in (data[:at], data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :]):
            path.write_bytes(changed)
            with pytest.raises(LlmattrError, match=r"a\.npz' is damaged"):
                read_arrays(path)
