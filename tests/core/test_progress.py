"""Progress: a bar on a terminal, elsewhere a line at most every half minute, and only where a command asked for lines."""

import logging

import pytest

from llmattr.core import progress
from llmattr.core.progress import Progress, Stopped, until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """Seconds that the test moves; no line was said before, and how lines are shown is as it was afterwards."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Progress, "said", None)
    monkeypatch.setattr(progress.LOG, "handlers", [])
    monkeypatch.setattr(progress.LOG, "propagate", True)
    level = progress.LOG.level
    progress.LOG.setLevel(logging.NOTSET)
    yield now
    progress.LOG.setLevel(level)


def worked(clock: list[float], units: int, seconds: float) -> None:
    for _ in progress.progress(range(units), "scoring", "ablations"):
        clock[0] += seconds


class TestInALog:
    def test_a_line_every_half_minute(self, clock, capsys):
        progress.log_progress()
        worked(clock, 100, 7)
        said = capsys.readouterr().err.splitlines()
        assert said[0] == "llmattr: scoring: 5 of 100 ablations, 35 s gone, about 11 min to go"  # 95 x 7 s = 665 s
        assert len(said) == 20  # 700 seconds, a line at every fifth unit

    def test_nothing_for_short_work(self, clock, capsys):
        progress.log_progress()
        worked(clock, 29, 1)
        assert capsys.readouterr().err == ""

    def test_much_short_work_is_long_work(self, clock, capsys):
        progress.log_progress()
        for _ in range(10):
            worked(clock, 10, 1)
        assert len(capsys.readouterr().err.splitlines()) == 3  # 100 seconds

    def test_what_was_done_before_is_not_counted_into_the_rate(self, clock):
        bar = Progress(100, "indexing", "rows", done=80)
        assert bar.line(5.0) == "indexing: 80 of 100 rows, 5 s gone"
        bar.update(10)
        assert bar.line(60.0) == "indexing: 90 of 100 rows, 60 s gone, about 60 s to go"

    def test_work_within_work_is_said_in_one_line(self, clock, capsys):
        progress.log_progress()
        for _ in progress.progress(range(3), "training", "models"):
            worked(clock, 20, 1)
        said = capsys.readouterr().err.splitlines()
        inner = "scoring: 10 of 20 ablations, 10 s gone, about 10 s to go"
        assert said[0] == f"llmattr: training: 1 of 3 models, 30 s gone, about 60 s to go; {inner}"

    def test_work_that_broke_off_is_forgotten(self, clock):
        for _ in progress.progress(range(3), "solving", "steps"):
            break
        with pytest.raises(ZeroDivisionError), Progress(3, "solving", "steps"):
            raise ZeroDivisionError
        assert Progress.running == []

    def test_a_library_is_quiet_unless_its_log_is_asked_for(self, clock, capsys, caplog):
        worked(clock, 100, 7)
        assert capsys.readouterr().err == ""
        assert not caplog.records
        with caplog.at_level(logging.INFO, "llmattr"):
            worked(clock, 100, 7)
        assert len(caplog.records) == 20

    def test_of_several_processes_the_first_speaks(self, clock, capsys, monkeypatch):
        progress.log_progress()
        monkeypatch.setenv("RANK", "1")
        worked(clock, 100, 7)
        monkeypatch.delenv("RANK")
        monkeypatch.setattr(progress.multiprocessing.current_process(), "_name", "LokyProcess-1")
        worked(clock, 100, 7)
        assert capsys.readouterr().err == ""


def test_work_that_nobody_waits_for_stops_at_its_next_unit():
    done: list[int] = []
    with pytest.raises(Stopped), until(lambda: len(done) == 3):
        done.extend(progress.progress(range(10), "scoring", "ablations"))
    assert done == [0, 1, 2]
    assert list(progress.progress(range(4), "scoring", "ablations")) == [0, 1, 2, 3]  # of others nothing is stopped


def test_a_bar_on_a_terminal(monkeypatch, capsys, clock):
    import sys

    progress.log_progress()
    monkeypatch.setattr(progress, "SOON", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    worked(clock, 100, 7)
    said = capsys.readouterr().err
    assert "scoring:   0%" in said
    assert "llmattr:" not in said
