"""The folder of an index: what is read of it, what is refused, and who may build in it."""

import multiprocessing
import os
import shutil
import time
import tracemalloc
import weakref

import numpy as np
import pytest
import torch

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.model.lm import LM
from llmattr.training import METHODS, checkpoint, searching
from llmattr.training.asked import Said
from llmattr.training.found import Found, as_attribution
from llmattr.training.index import files as index_files
from llmattr.training.index import rows as index_rows
from llmattr.training.index.files import building
from llmattr.training.index.search import Products, Top, Weighed
from llmattr.training.index.store import GradientIndex
from llmattr.training.projection import Projection
from llmattr.training.trace import build_index, open_index
from tests import tiny_models
from tests.training.test_training import ASKED, ROWS

SMALL = {"projection": Projection(dim=64)}
RANDOM = {"projection": Projection(dim=64, kind="random"), "row_type": "float32"}
TRACKSTAR = METHODS["trackstar"](normalize="none")


@pytest.fixture(scope="module")
def pair():
    return tiny_models.llama(), tiny_models.tokenizer()


@pytest.fixture(scope="module")
def built(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "i"
    build_index(pair, ROWS, folder, "grad-cos", **SMALL)
    return folder


@pytest.fixture
def folder(built, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(built, tmp_path / "i")


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


class TestDamage:
    def test_a_changed_byte_of_run_json_is_refused_or_means_nothing(self, folder):
        path, run = folder / "run.json", GradientIndex.open(folder).run
        whole = path.read_bytes()
        rng = np.random.default_rng(0)
        for at in rng.choice(len(whole), 400):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :])
            try:
                assert GradientIndex.open(folder).run == run
            except LlmattrError as error:
                assert "is damaged: run.json" in str(error) or "has version" in str(error)  # noqa: PT017

    def test_a_changed_letter_of_a_layers_name(self, folder):
        path = folder / "run.json"
        path.write_text(path.read_text().replace('"lm_head"', '"lm_heat"'))
        with pytest.raises(LlmattrError, match=r"is damaged: run\.json is not what was written; remove the folder"):
            GradientIndex.open(folder)

    @pytest.mark.parametrize("name", ["vectors.bin", "scales.bin", "doubt.bin", "fitted.safetensors", "rows.parquet"])
    def test_a_file_that_is_changed_or_missing(self, folder, name):
        flip(folder / name, 100 if name == "vectors.bin" else 50)
        for attempt in (GradientIndex.open, lambda out: build_index(pair_of(), ROWS, out, "grad-cos", **SMALL)):
            with pytest.raises(LlmattrError, match=rf"is damaged: {name} (is not what was written|cannot be read)"):
                attempt(folder)
        (folder / name).unlink()
        with pytest.raises(LlmattrError, match=rf"is damaged: {name} cannot be read \(No such file"):
            GradientIndex.open(folder)

    def test_nothing_is_appended_to_what_is_damaged(self, pair, folder):
        flip(folder / "vectors.bin", 100)
        with pytest.raises(LlmattrError, match=r"is damaged: vectors\.bin"):
            build_index(pair, ROWS[:5], folder, "grad-cos", append=True, **SMALL)

    def test_what_is_left_without_a_record_is_nobodys(self, pair, folder):
        """Somebody removed run.json: the same numbers of other rows must not be taken for the new index's."""
        (folder / "run.json").unlink()
        others = [{**row, "completion": row["completion"] + " Never."} for row in ROWS]
        found = build_index(pair, others, folder, "grad-dot", **SMALL)
        assert found.index.rows([0])[0]["completion"].endswith("Never.")
        again = build_index(pair, others, folder.with_name("anew"), "grad-dot", **SMALL)
        np.testing.assert_array_equal(found.query(ASKED, None).values, again.query(ASKED, None).values)

    def test_a_marker_of_tomorrow_says_nothing(self, folder):
        """A clock that was wrong: bytes are compared all the same."""
        tomorrow = time.time() + 86_400
        os.utime(folder / "checked", (tomorrow, tomorrow))
        flip(folder / "vectors.bin", 3)
        with pytest.raises(LlmattrError, match=r"vectors\.bin"):
            open_index(folder)

    @pytest.mark.parametrize("name", ["moment.npz", "root.0.3.npz"])
    def test_what_was_worked_out_is_worked_out_again(self, pair, tmp_path, name):
        index = build_index(pair, ROWS, tmp_path / "i", "trackstar", **SMALL)
        expected = index.query(ASKED, 3).values
        kept = tmp_path / "i" / name
        whole = kept.read_bytes()
        flip(kept, 5000)
        for root in (tmp_path / "i").glob("root.*"):
            if root != kept:
                root.unlink()  # else nobody needs the moment
        np.testing.assert_array_equal(index.query(ASKED, 3).values, expected)
        assert kept.read_bytes() == whole

    def test_what_was_worked_out_is_of_all_rows(self, pair, tmp_path):
        """Asked, appended to and asked again: as if all rows had been there at once."""
        for name, parts in (("two", (ROWS[:16], ROWS[16:])), ("one", (ROWS,))):
            for number, rows in enumerate(parts):
                index = build_index(pair, rows, tmp_path / name, TRACKSTAR, append=number > 0, **RANDOM)
                index.query(ASKED, None)
        one, two = (open_index(tmp_path / name, pair).query(ASKED, None) for name in ("one", "two"))
        np.testing.assert_array_equal(one.sources.ids, two.sources.ids)
        np.testing.assert_allclose(one.values, two.values, atol=1e-5)  # float32; batches of other rows

    def test_an_index_of_checkpoints(self, pair, tmp_path):
        build_index(None, ROWS, tmp_path / "i", "tracin", checkpoints=[pair, pair], **SMALL)
        flip(tmp_path / "i" / "run.json", 60)
        with pytest.raises(LlmattrError, match=r"is damaged: run\.json"):
            open_index(tmp_path / "i", [pair, pair])


def pair_of():
    return tiny_models.llama(), tiny_models.tokenizer()


class TestReading:
    def test_bytes_are_compared_once(self, pair, tmp_path, monkeypatch):
        read, sha256 = [], index_files._sha256
        monkeypatch.setattr(index_files, "_sha256", lambda path: read.append(path.name) or sha256(path))
        build_index(pair, ROWS, tmp_path / "i", "grad-cos", **SMALL)
        every = ["vectors.bin", "scales.bin", "doubt.bin", "fitted.safetensors", "rows.parquet"]
        assert read == ["fitted.safetensors", *every]  # to write them down when it is begun and done, and not to open it
        GradientIndex.open(tmp_path / "i")
        assert len(read) == 6
        flip(tmp_path / "i" / "doubt.bin", 3)
        with pytest.raises(LlmattrError, match=r"doubt\.bin"):
            GradientIndex.open(tmp_path / "i")
        assert read[6:] == ["doubt.bin"]

    def test_only_the_rows_that_are_wanted_are_read(self, pair, tmp_path, monkeypatch):
        monkeypatch.setattr(index_rows, "GROUP", 4)
        index = build_index(pair, ROWS, tmp_path / "i", "grad-cos", **SMALL)
        assert index.index.rows() == ROWS
        assert index.index.rows([17, 3, 17]) == [ROWS[17], ROWS[3], ROWS[17]]
        parsed, loads = [], index_rows.json.loads
        monkeypatch.setattr(index_rows.json, "loads", lambda text: parsed.append(text) or loads(text))
        result = index.query(ROWS[5], 2, foreign=0)  # for p-values a question's highest rows are read, too
        assert result.top(1)[0].id == "5"
        assert len(parsed) == 1 + len(result.sources) <= 5  # and row 0, in whose form is asked

    def test_rows_that_are_there_already_are_not_added_again(self, pair, folder):
        with pytest.warns(LlmattrNote, match="has this data already: nothing is added"):
            assert len(build_index(pair, ROWS, folder, "grad-cos", append=True, **SMALL)) == len(ROWS)

    def test_rows_that_are_added_stand_behind_the_others(self, tmp_path):
        index_rows.add_rows(tmp_path, ROWS[:10])
        index_rows.add_rows(tmp_path, ROWS[10:])
        assert index_rows.count_rows(tmp_path) == 24
        assert index_rows.read_rows(tmp_path) == ROWS
        assert index_rows.read_rows(tmp_path, np.array([9, 10])) == ROWS[9:11]


class TestNotFinite:
    def index(self, folder, row_type):
        run = {"dim": 3, "row_type": row_type, "data_hash": "x"}
        return GradientIndex.create(folder, run, [{"text": "a"}] * 4)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_it_is_never_stored(self, tmp_path, bad):
        index, block = self.index(tmp_path / "i", "int8"), np.ones((2, 3), dtype=np.float32)
        with pytest.raises(LlmattrError, match="the gradient of row 3 is not finite"):
            index.write([1, 3], np.array([[1, 1, 1], [1, bad, 1]], dtype=np.float32), np.zeros(2))
        with pytest.raises(LlmattrError, match="the gradient of row 1 is not finite"):
            index.write([1, 3], block, np.array([bad, 0.0]))
        assert not index.done.any()

    def test_a_type_that_is_too_small(self, tmp_path):
        index = self.index(tmp_path / "i", "float16")
        with pytest.raises(LlmattrError, match="the gradient of row 2 is too large for float16: store rows as int8 or float32"):
            index.write([0, 2], np.array([[1, 1, 1], [1, 1e5, 1]], dtype=np.float32), np.zeros(2))
        assert not index.done.any()

    def test_a_score_that_is_none(self, built, pair, monkeypatch):
        monkeypatch.setattr(searching, "project", lambda *_: np.full((1, 64), np.nan, dtype=np.float32))
        with pytest.raises(LlmattrError, match="the score of training row 0 for query 0 is not finite"):
            open_index(built, pair).query(ASKED)


class TestAtOnce:
    def test_one_build_at_a_time(self, pair, tmp_path):
        with (
            building(tmp_path / "i"),
            pytest.raises(LlmattrError, match="is being built by another process: wait for it, or give another --out"),
        ):
            build_index(pair, ROWS, tmp_path / "i", "grad-cos", **SMALL)
        assert not (tmp_path / "i").exists()  # nothing came into it
        build_index(pair, ROWS, tmp_path / "i", "grad-cos", **SMALL)

    def test_a_killed_build_leaves_no_lock(self, tmp_path):
        def killed():
            with building(tmp_path):
                os.kill(os.getpid(), 9)

        process = multiprocessing.get_context("fork").Process(target=killed)
        process.start()
        process.join()
        with building(tmp_path):
            pass

    def test_what_a_killed_build_left_goes(self, pair, tmp_path):
        (tmp_path / "rows.parquet.host.1.2.part").write_bytes(b"half")
        build_index(pair, ROWS, tmp_path, "grad-cos", **SMALL)
        assert not list(tmp_path.glob("*.part"))
        (tmp_path / "several").mkdir()
        (tmp_path / "several" / "run.json.host.1.2.part").write_bytes(b"half")
        build_index(None, ROWS, tmp_path / "several", "grad-cos", checkpoints=[pair], **SMALL)
        assert not list((tmp_path / "several").glob("*.part"))

    def test_a_place_that_is_a_file(self, pair, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(LlmattrError, match=r"cannot make the folder .*file': File exists"):
            build_index(pair, ROWS, tmp_path / "file", "grad-cos", **SMALL)


class TestModels:
    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, tmp_path_factory):
        """Two checkpoints as a Trainer leaves them, and their index."""
        place = tmp_path_factory.mktemp("run")
        for step in (1, 2):
            tiny_models.llama(seed=step).save_pretrained(place / f"checkpoint-{step}")
            tiny_models.tokenizer().save_pretrained(place / f"checkpoint-{step}")
        build_index(None, ROWS, place / "i", "tracin", checkpoints=place, **SMALL)
        return place

    def test_one_that_is_loaded_is_checked_like_a_name(self, built, pair):
        assert open_index(built, LM(*pair)).checkpoints[0].load().model is pair[0]
        with pytest.raises(LlmattrError, match=r"built with another model or tokenizer \(model_hash"):
            open_index(built, LM(tiny_models.llama(seed=1), pair[1]))
        with pytest.raises(LlmattrError, match="loaded in bfloat16: load it in float32"):
            open_index(built, LM(tiny_models.llama().to(torch.bfloat16), pair[1]))

    def test_one_without_a_name_has_to_be_given(self, built):
        with pytest.raises(LlmattrError, match="does not say where its model is: give the model"):
            open_index(built)

    def test_those_of_several_checkpoints_are_checked(self, run, pair):
        moved = [LM.load(run / f"checkpoint-{step}") for step in (1, 2)]
        assert open_index(run / "i", moved).checkpoints[1].load() is moved[1]
        with pytest.raises(LlmattrError, match="checkpoint-0' was built with another model"):
            open_index(run / "i", moved[::-1])
        for one in (LM(*pair), pair, str(run / "checkpoint-1")):
            with pytest.raises(LlmattrError, match="has 2 checkpoints, and the model that is given is 1: give one for"):
                open_index(run / "i", one)

    def test_each_is_loaded_once(self, run, monkeypatch):
        loaded, load = [], LM.load
        monkeypatch.setattr(LM, "load", staticmethod(lambda *given: loaded.append(given[0]) or load(*given)))
        index = open_index(run / "i", run)
        first = index.query(ASKED, 2)
        np.testing.assert_array_equal(index.query(ASKED, 2).values, first.values)
        assert loaded == [run / "checkpoint-1", run / "checkpoint-2"]

    def test_those_that_are_too_big_to_stay_are_loaded_again(self, run, monkeypatch):
        monkeypatch.setattr(checkpoint, "KEPT", 1000)
        index = open_index(run / "i")
        index.query(ASKED, 2)
        assert [part.kept for part in index.checkpoints] == [[], []]

    def test_building_lets_go_of_each(self, run, tmp_path, monkeypatch):
        """When the second checkpoint is loaded, the first one's model is no more."""
        alive, load = [], LM.load

        def seen(*given):
            assert [ref() for ref in alive] == [None] * len(alive)
            lm = load(*given)
            alive.append(weakref.ref(lm.model))
            return lm

        monkeypatch.setattr(LM, "load", staticmethod(seen))
        build_index(None, ROWS, tmp_path / "i", "tracin", checkpoints=run, **SMALL)
        assert len(alive) == 2


@pytest.mark.slow
def test_a_question_holds_no_more_of_a_larger_index(tmp_path):
    """Of four times as many rows: the same block of scores, tile and rows that are returned, and at most 8 bytes a row more.

    A text is 200 bytes, a row of numbers 256, so that holding all of either would show.
    """
    peaks = {}
    for n in (2**15, 2**17):
        rows = [{"text": f"row {i} " + "x" * 200} for i in range(n)]
        index = GradientIndex.create(tmp_path / str(n), {"dim": 256, "row_type": "int8", "data_hash": "x"}, rows)
        for start in range(0, n, 2**14):
            index.write(range(start, start + 2**14), np.eye(256)[np.arange(2**14) % 256], np.zeros(2**14))
        index.finish()
        del rows
        index = GradientIndex.open(tmp_path / str(n))
        tracemalloc.start()
        best = Top(1, 10).over(Products(index, Weighed(np.ones((1, 256), dtype=np.float32))))
        found = as_attribution(index, METHODS["grad-dot"](), Found(*best.result()), Said(["q"], []), {})
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(found.sources) == 20
    assert peaks[2**17] - peaks[2**15] < 8 * (2**17 - 2**15)
