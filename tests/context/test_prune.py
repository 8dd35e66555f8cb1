"""The answer again from what it cites."""

import click
import numpy as np
import pytest
from click.testing import CliRunner

from llmattr import cite
from llmattr.cli import cli
from llmattr.context.prune import Pruned, prune
from llmattr.core.attribution import Attribution
from llmattr.errors import LlmattrError
from llmattr.report.text import pruned

CONTEXT = "The canal is long. It has locks. It opened in 1914. Ships pay a toll. The lake is high."


@pytest.fixture(scope="module")
def result(tiny):
    return cite(tiny, CONTEXT, "When?", response="It opened in 1914.", method="leave-one-out", verify=False)


def test_it_is_the_models_answer_to_the_cited_sources_alone(tiny, result):
    kept = result.cited[1:].any(axis=0)
    assert 0 < kept.sum() < 5
    found = prune(result, 8)
    assert found.kept == tuple(np.flatnonzero(kept))
    rest = " ".join(result.sources.texts[i] for i in found.kept)
    assert found.response == cite(tiny, rest, "When?", method="leave-one-out", verify=False, max_new_tokens=8).response
    masks = np.array([np.ones(5, bool), kept, np.zeros(5, bool)])
    expected = result.session.ablation.token_logprobs(masks).sum(axis=1)
    np.testing.assert_allclose([found.full, found.pruned, found.empty], expected)
    assert found.to_dict()["share"] == found.share


def test_the_share_of_what_the_context_does():
    assert Pruned((0,), "", full=-1.0, pruned=-2.0, empty=-5.0).share == 0.75
    assert Pruned((0,), "", full=-5.0, pruned=-2.0, empty=-5.0).share is None


def test_what_is_said_of_it(result):
    same = pruned(Pruned((0,), " It opened in 1914. ", -1.0, -2.0, -5.0), result)
    assert "From the cited source alone (1 of 5) the model answers the same. They keep 75%" in same
    other = pruned(Pruned((0, 2), "No.", -5.0, -2.0, -5.0), result)
    assert other.endswith("From the cited 2 sources alone (2 of 5) the model answers: No.")


def test_what_cannot_be_pruned(result, tmp_path):
    loaded = Attribution.load(result.save(tmp_path / "a.json"))
    with pytest.raises(LlmattrError, match="only a fresh result of cite"):
        prune(loaded)
    bm25 = cite(result.session.ablation.lm, CONTEXT, "When?", response="It opened.", method="bm25", verify=False)
    with pytest.raises(LlmattrError, match="nothing is cited"):
        prune(bm25)


def test_the_command_line_says_it(tiny_folder, tmp_path):
    (tmp_path / "a.txt").write_text(CONTEXT)
    words = ["cite", str(tmp_path / "a.txt"), "--query", "When?", "--model", str(tiny_folder)]
    words += ["--response", "It opened in 1914.", "--no-verify", "--prune", "--max-new-tokens", "8", "--no-cache"]
    done = CliRunner().invoke(cli, [*words, "leave-one-out"])
    assert done.exit_code == 0, done.output
    assert "alone (" in click.unstyle(done.output)
