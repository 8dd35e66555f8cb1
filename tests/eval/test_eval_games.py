"""The games benchmark: exact values keep every axiom that is theirs, on a real question's table and on made-up ones."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from eval import games
from llmattr import metrics, surrogate
from llmattr.ablation import every_mask, from_function

N = 4


def game_of(table):
    return from_function(
        lambda masks: table[masks @ (1 << np.arange(masks.shape[1]))], len(table).bit_length() - 1, table.shape[1]
    )


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(2**N, 3))


def test_the_order_of_a_table_is_that_of_every_mask(table):
    np.testing.assert_array_equal(game_of(table)(every_mask(N)), table)


@pytest.mark.parametrize("name", ["shapley", "banzhaf"])
def test_exact_values_keep_their_axioms(table, name):
    """Banzhaf's are no shares of the whole; all else both keep, but for rounding."""

    def exact(outputs):
        return getattr(surrogate, name)(game_of(outputs), 4**N, "exact").values

    own, total = exact(table), table + table[:, :1]
    gaps = {
        "efficiency": metrics.games.efficiency_gap(own, table),
        "null player": metrics.games.null_player_gap(exact(metrics.games.with_null_player(table)), table),
        "symmetry": metrics.games.symmetry_gap(exact(metrics.games.with_twin(table)), table),
        "linearity": metrics.games.linearity_gap(exact(total), own, np.tile(own[:1], (3, 1)), total),
        "error": metrics.games.enumeration_error(own, exact(table), table),
    }
    assert (gaps.pop("efficiency").max() < 1e-12) == (name == "shapley")
    assert all(gap.max() < 1e-12 for gap in gaps.values())


def test_leave_one_out_is_no_share(table):
    own = surrogate.leave_one_out(game_of(table)).values
    assert metrics.games.efficiency_gap(own, table).min() > 0.01
    null = surrogate.leave_one_out(game_of(metrics.games.with_null_player(table))).values
    assert metrics.games.null_player_gap(null, table).max() == 0


def test_an_output_that_never_changes_has_no_gaps():
    assert np.isnan(metrics.games.efficiency_gap(np.ones((1, 2)), np.ones((4, 1)))).all()


@pytest.mark.slow
def test_runs_on_a_question(tmp_path):
    out = tmp_path / "games.json"
    done = CliRunner().invoke(games.command, ["--tiny", "--budget", "1024,16", "--out", str(out)])
    assert done.exit_code == 0, done.output
    record = json.loads(out.read_text())
    rows = {row["method"]: row for row in record["table"]["figures"]}
    assert rows.keys() == set(games.ASKING)
    for name in ("error to shapley", "efficiency", "null player", "symmetry", "linearity"):
        assert rows["shapley"][name] < 1e-9  # with so many ablations it enumerates
    assert rows["banzhaf"]["error to banzhaf"] < 1e-9
    few = {row["method"]: row for row in record["curve"]["figures"] if row["budget"] == 16}
    assert few["shapley"]["error to shapley"] > 0.001
    assert few["shapley"]["efficiency"] < 1e-9
    assert "bm25" in CliRunner().invoke(games.command, ["--tiny", "--methods", "bm25", "--out", str(out)]).output
