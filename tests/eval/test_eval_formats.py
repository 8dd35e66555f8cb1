"""Readers of what others publish, on small files in their forms."""

import json

import numpy as np
import pytest

from eval.context.own import read_own
from eval.harness import formats
from eval.training import data as facts_data
from llmattr.errors import LlmattrError
from tests.conftest import SHARED


def lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_attribution_bench(tmp_path):
    row = {
        "question": "who sings the song",
        "claim": "Milira sings the song.",
        "claim_raw_string": "Milira sings the song.",
        "response": "Milira sings the song.",
        "references": ["Title: Go Outside\n\nIt is a song by Milira. It\u2028is of 1990.", "No title here."],
        "citation_links": [],
        "webpage_references": [],
        "attribution_label": "attributable",
        "src_dataset": "AttributedQA",
        "id": "AttributedQA_1",
    }
    path = lines(tmp_path / "dev.jsonl", [row, {**row, "references": [], "attribution_label": "not attributable"}])
    one, other = formats.attribution_bench(path)
    assert one["claims"] == [{"text": "Milira sings the song.", "supported": True}]
    assert [document.get("title") for document in one["documents"]] == ["Go Outside", None]
    assert "".join(one["documents"][0]["sentences"]).strip() == "It is a song by Milira. It\u2028is of 1990."
    assert (other["documents"], other["claims"][0]["supported"]) == ([], False)
    (asked,) = read_own(lines(tmp_path / "own.jsonl", [one]))  # a question like any other
    assert asked.papers[0].sentences[0] == "It is a song by Milira."


@pytest.mark.skipif(not (SHARED / "data" / "attributionbench").is_dir(), reason="no ../shared/data")
def test_attribution_bench_as_it_is():
    (path,) = (SHARED / "data" / "attributionbench").glob("dev*.jsonl")
    rows = list(formats.attribution_bench(path))
    assert len(rows) == 1198
    assert sum(row["claims"][0]["supported"] for row in rows) == 599
    assert all(document["sentences"] for row in rows for document in row["documents"])


def test_longbench_cite(tmp_path):
    row = {
        "idx": 7,
        "dataset": "multifieldqa_zh",
        "query": "运河有多长？",
        "context": "运河位于巴拿马。它长82公里。\n\n船闸抬升船只。",
        "answer": ["82公里", "八十二公里"],
        "few_shot_scores": [],
    }
    path = tmp_path / "LongBench-Cite.json"
    path.write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8")
    (one,) = formats.longbench_cite(path)
    assert (one["id"], one["answers"]) == ("multifieldqa_zh-7", row["answer"])
    (asked,) = read_own(lines(tmp_path / "own.jsonl", [one]))
    assert asked.papers[0].sentences == ("运河位于巴拿马。", "它长82公里。", "船闸抬升船只。")
    assert asked.answer == "82公里"


def test_date_lm_facts(tmp_path):
    def row(true, other, prompt="Where is it?"):
        return {"prompt": prompt, "response": str(other), "true_entity": true, "counterfactual_entity": other}

    train = [row("Rome", "Paris"), row("Rome", "Oslo"), row(None, None), row("Rome", "Paris", "In which city?")]
    rows, queries = formats.date_lm_facts(train, [row("Rome", "Paris"), row("Rome", "Bern")])
    assert rows[1]["completion"] == "Oslo"
    assert facts_data.Facts(rows, queries).gold.tolist() == [[True, False, False, True], [False] * 4]
    own = facts_data.own(str(lines(tmp_path / "rows.jsonl", rows)), str(lines(tmp_path / "queries.jsonl", queries)))
    assert own.gold.sum() == 2


def test_date_lm_toxicity():
    train = [{"prompt": "How?", "response": "So.", "type": kind} for kind in ("Unsafe", "Safe", "Unsafe", "Safe")]
    facts = facts_data.Facts(*formats.date_lm_toxicity(train, train[:1]))
    assert facts.gold.tolist() == [[True, False, True, False]]


class TestBergsonBank:
    @pytest.fixture
    def bank(self, tmp_path):
        (tmp_path / "subsets.json").write_text("[[0, 3], [1], [2, 4]]")
        return tmp_path

    def test_of_one_query(self, bank):
        (bank / "validation.csv").write_text("subset,diff,score_sum\n0,-0.25,1.5\n1,0.1,0.5\n2,-0.5,2\n")
        found = formats.bergson_bank(bank, 5)
        assert found.masks.astype(int).tolist() == [[0, 1, 1, 0, 1], [1, 0, 1, 1, 1], [1, 1, 0, 1, 0]]
        np.testing.assert_array_equal(found.outputs, [[-0.25], [0.1], [-0.5]])

    def test_of_several_queries_in_parts(self, bank):
        head = "subset,query,diff,score_sum\n"
        (bank / "validation_0_1.csv").write_text(head + "0,0,-1,0\n0,1,-2,0\n")
        (bank / "validation_2_3.csv").write_text(head + "2,1,-4,0\n2,0,-3,0\n")
        found = formats.bergson_bank(bank, 6)  # row 5 was never left out
        np.testing.assert_array_equal(found.outputs, [[-1, -2], [-3, -4]])
        assert [np.flatnonzero(~mask).tolist() for mask in found.masks] == [[0, 3], [2, 4]]
        (bank / "validation_2_3.csv").write_text(head + "2,1,-4,0\n")  # killed in between
        assert formats.bergson_bank(bank, 6).outputs.tolist() == [[-1, -2]]

    def test_what_does_not_fit_is_refused(self, bank):
        with pytest.raises(LlmattrError, match=r"has no validation\.csv"):
            formats.bergson_bank(bank, 5)
        (bank / "validation.csv").write_text("subset,diff,score_sum\n2,-0.5,2\n")
        with pytest.raises(LlmattrError, match="names a row or a model that 4 rows and 3 subsets do not have"):
            formats.bergson_bank(bank, 4)
        (bank / "validation.csv").write_text("subset,diff,score_sum\n3,-0.5,2\n")
        with pytest.raises(LlmattrError, match="names a row or a model that 5 rows and 3 subsets do not have"):
            formats.bergson_bank(bank, 5)
