"""The benchmarks of context methods: `context` and `citations`, on a tiny model, and their parts in closed form."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import BertConfig, BertForSequenceClassification

from eval.context import bench as context_benchmark
from eval.context import citations
from eval.context import data as context_data
from eval.context.judge import make_case, metered, unseen_masks
from eval.context.measure import TINY, Bench, measure
from eval.context.methods import Entry, citing_entries, entries, gold, of_method, random
from eval.context.own import read_own
from eval.context.tables import agreement, prediction
from llmattr import metrics
from llmattr.ablation import one_out_masks, random_masks
from llmattr.context import METHODS
from llmattr.errors import LlmattrError
from llmattr.text.messages import conversation
from llmattr.text.prompt import cut
from tests import tiny_models
from tests.conftest import SHARED
from tests.eval.test_eval import numbers

OWN = {
    "question": "When did it open?",
    "documents": [
        {"title": "Canal", "sentences": ["The canal is long.", " ", "It opened in 1914."]},
        {"title": "Empty", "sentences": []},
        {"title": "Toll", "sentences": ["Ships pay a toll. A high one.", "It has locks."]},
    ],
    "answer": "In 1914.",
    "supporting": [[0, 2], [2, 1]],
}


def written(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


@pytest.fixture
def own(tmp_path):
    (question,) = read_own(written(tmp_path / "own.jsonl", OWN))
    return question


@pytest.fixture
def bench(tmp_path, tiny):
    """A function that makes a bench anew, as a run that goes on does."""

    def make():
        made = Bench(TINY, "tiny", True, tmp_path / "results.json")
        made.__dict__["lm"] = tiny  # where the property would keep it
        return made

    return make


class TestQuestions:
    def test_of_ones_own(self, tmp_path):
        path = written(tmp_path / "own.jsonl", OWN, "", {**OWN, "supporting": None, "answer": None})
        one, other = read_own(path)
        assert one.gold.tolist() == [False, True, False, True]  # blank sentences are left out, and gold moves with the others
        assert other.gold.tolist() == [False] * 4
        assert other.answer is None
        assert [one.id, other.id] == ["own-1", "own-3"]
        chat = conversation(one.documents, one.question)
        sources = cut(chat, one.splitter)
        texts = ["The canal is long.", "It opened in 1914.", "Ships pay a toll. A high one.", "It has locks."]
        assert list(sources.texts) == texts
        assert [document.title for document in sources.documents] == ["Canal", "Toll"]

    def test_with_little_in_a_row(self, tmp_path):
        odd = ["Ein\u2028Satz – 北京。", 1914, None, "\u200b", "Ω\nend"]
        row = {"question": "Où?", "documents": [{"sentences": odd}, {"title": 7, "sentences": None}], "answer": 1914}
        path = written(tmp_path / "odd.json", "\ufeff" + json.dumps([row], ensure_ascii=False))
        (one,) = read_own(path)
        assert one.answer == "1914"
        assert [paper.title for paper in one.papers] == [None]
        assert len(cut(conversation(one.documents, one.question), one.splitter)) == one.size == 4
        lines = written(tmp_path / "odd.jsonl", row, row)
        assert [question.papers for question in read_own(lines)] == [one.papers] * 2

    @pytest.mark.parametrize(
        ("row", "wrong"),
        [
            ("{", "it is no JSON"),
            ("[1]", "it must be {"),
            ({**OWN, "question": " "}, "question is empty"),
            ({**OWN, "question": None}, "it has no 'question'"),
            ({**OWN, "documents": [{"text": "None."}]}, 'document 0 must be {"title", "sentences"'),
            ({**OWN, "documents": [{"sentences": "One. Two."}]}, "the sentences of document 0 must be a list"),
            ({**OWN, "documents": [{"sentences": ["One.", ["Two."]]}]}, "sentence 1 of document 0 must be a text"),
            ({**OWN, "documents": [{"sentences": [" "]}], "supporting": []}, "its documents have no sentences"),
            ({**OWN, "answer": ["In 1914."]}, "answer must be a text"),
            ({**OWN, "supporting": [[0, 3]]}, "supporting [0, 3] is no [document, sentence]"),
            ({**OWN, "supporting": [[-1, 0]]}, "supporting [-1, 0] is no"),
            ({**OWN, "supporting": {"0": 1}}, "supporting must be a list"),
            ('{"question": "\\ud800", "documents": []}', "question has half a character"),
        ],
    )
    def test_a_bad_row_is_refused_with_its_number(self, tmp_path, row, wrong):
        path = written(tmp_path / "own.jsonl", OWN, row)
        with pytest.raises(LlmattrError) as refused:
            list(read_own(path))
        assert str(refused.value).startswith("row 2 of own.jsonl: ")
        assert wrong in str(refused.value)
        assert "\n" not in str(refused.value)
        for command in (context_benchmark.command, citations.command):
            done = CliRunner().invoke(command, ["--data", str(path), "--tiny", "--out", str(tmp_path / "out.json")])
            assert done.exit_code == 2
            assert "row 2 of own.jsonl" in done.stderr

    def test_are_shortened_around_their_gold(self):
        papers = [("a", ["1.", "2."]), ("b", ["3.", "4.", "5."]), ("c", ["6."]), ("d", ["7."])]
        whole = context_data.question("q", "?", papers, [(2, 0)])
        assert [paper.title for paper in whole.shortened(4).papers] == ["a", "c", "d"]
        assert [paper.title for paper in whole.shortened(1).papers] == ["c"]
        assert whole.shortened(4).gold.tolist() == [False, False, True, False]
        assert context_data.choose(iter([whole, whole]), 1, 2, 4) == [whole.shortened(4)]
        both = context_data.question("q", "?", papers, [(1, 0), (2, 0)])  # 4 sentences or its gold is lost
        assert context_data.choose(iter([both]), 1, 2, 3) == []

    @pytest.mark.parametrize("name", context_data.SETS)
    def test_of_the_sets_are_read(self, name):
        path = SHARED / "data" / context_data.SETS[name].file
        if not path.exists():
            pytest.skip(f"{path.name} is not here")
        found = context_data.choose(context_data.SETS[name].read(path), 3, 3, 60)
        assert len(found) == 3
        for one in found:
            assert one.answer
            assert one.gold.any() == (name != "musique")
            assert len(cut(conversation(one.documents, one.question), one.splitter)) == one.size


class TestMeasuring:
    def test_a_run_that_was_stopped_goes_on_from_what_it_has(self, bench, own, tmp_path):
        lines = [of_method("leave-one-out", {}), of_method("alone", {}, part="citations")]

        def run():
            return measure(bench(), {"own": [own]}, lines)

        first, kept = run(), bench().kept
        everything = kept.read_text()
        assert run() == first
        assert kept.read_text() == everything
        kept.write_text(everything[:-50] + "\n")  # stopped while it wrote the last line
        again = run()
        assert again[0] == first[0]
        assert again[1]["values"] == first[1]["values"]
        assert len(kept.read_text().splitlines()) == 3
        assert len(list(tmp_path.glob("context.scored/*.npz"))) == 1

    def test_a_failure_is_a_cell(self, bench):
        question = context_data.question("q", "?", [("Title", ["One.", "Two."])], answer="Two.")

        def fail(case):
            raise ValueError("no | luck\nat all")

        rows = measure(bench(), {"own": [question]}, [Entry("broken", fail), gold()])
        assert [figure["not measured"] for figure in prediction(rows)] == [
            "failed on 1 of 1: ValueError: no / luck", "skipped on 1 of 1: no gold sentences"
        ]  # fmt: skip

    def test_costs_are_those_of_a_method_alone(self, tiny, own, tmp_path):
        case = make_case(tiny, own, 4, 4, gold_answer=True, scored=tmp_path / "scored")
        assert case.ablation.prompt.response == "In 1914."
        assert len(case.ablation.targets) == 1
        asked = []
        for _ in range(2):  # the second time everything is scored already
            with metered(case.ablation) as view:
                METHODS["leave-one-out"]().attribute(view)
            prompt = case.ablation.prompt
            assert view.cost == {"passes": 5, "tokens": sum(len(prompt.render(mask).ids) for mask in one_out_masks(4))}
            asked.append(view)
        first, second = asked
        for seconds in (1.0, 2.0):  # whoever scored them first: the masks' seconds count, and what is spent elsewhere
            known = sum(case.ablation.seconds.values())
            assert first.alone(seconds + sum(first.spent)) == pytest.approx(seconds + known)
            assert second.alone(seconds + sum(second.spent)) == pytest.approx(seconds + known)
        assert 0 < known <= sum(first.spent)
        later = make_case(tiny, own, 4, 4, gold_answer=True, scored=tmp_path / "scored").ablation
        assert later.seconds == case.ablation.seconds
        later.seconds.popitem()  # a mask whose seconds were lost counts by its tokens
        with metered(later) as view:
            METHODS["leave-one-out"]().attribute(view)
        assert view.alone(sum(view.spent)) == pytest.approx(known)  # they were all scored together, at one rate
        with metered(case.ablation) as view:
            tiny.model(torch.tensor([[3, 4, 5]]))
        assert view.cost == {"passes": 1, "tokens": 3}

    def test_counterfactual_errors(self, tiny, own):
        """Leave-one-out has measured what is lost without its best; Shapley values of two sources foretell both or neither."""
        case = make_case(tiny, own, 4, 4, gold_answer=True)
        one, attention = (of_method(name, {}).measure(case)["measures"] for name in ("leave-one-out", "attention"))
        assert one["counterfactual error 1"] == pytest.approx([0], abs=1e-9)
        found = METHODS["leave-one-out"]().attribute(case.ablation)
        mask = metrics.top_k_masks(found.values, 3)
        off = abs(found.values.sum() + found.baseline - found.values[~mask].sum() - case.ablation(mask)[0])
        assert one["counterfactual error 3"] == pytest.approx(off)
        assert attention["counterfactual error 3"] == [None]

    def test_agreement_is_a_square(self):
        def row(label, example, values):
            return {"part": "methods", "label": label, "example": example, "values": values}

        rows = [  # two methods on each of two examples
            row("a", 1, [[1, 2, 3], [1, 2, 3]]),
            row("b", 1, [[3, 2, 1], [1, 2, 4]]),
            row("a", 2, [[1, 2]]),
            row("c", 2, [[0, 0]]),
        ]
        assert agreement(rows) == [
            {"method": "a", "a": 1.0, "b": 0.0, "c": None},  # b: -1 and 1; c: all ties
            {"method": "b", "a": 0.0, "b": 1.0, "c": None},
            {"method": "c", "a": None, "b": None, "c": None},
        ]


class TestContext:
    def test_runs_with_every_method(self, tmp_path):
        out = tmp_path / "context.json"
        done = CliRunner().invoke(context_benchmark.command, ["--tiny", "--out", str(out)])
        assert done.exit_code == 0, done.output
        record = json.loads(out.read_text())
        assert list(record) == ["prediction", "reach", "support", "agreement", "curve"]
        methods = {figure["method"].split(",")[0]: figure for figure in record["prediction"]["figures"]}
        assert methods.keys() == {"random", *METHODS, "gold sentences", "linear ceiling"}
        for part in record.values():
            assert not [figure for figure in part["figures"] if "not measured" in figure]
            assert all(math.isfinite(number) for number in numbers(part))
        # 100 draws of scores for 9 sentences and 16 masks: correlations of about 1 / sqrt(15), so .26 / 10 at one deviation.
        assert abs(methods["random"]["LDS"]) < 4 * 0.026
        assert methods["leave-one-out"]["passes"] == methods["alone"]["passes"] == 10
        assert methods["bm25"]["tokens"] == 0
        # The ablations of a ridge were scored before it asked, by the lasso; alone it would have paid for them.
        assert methods["ridge"]["seconds"] > methods["leave-one-out"]["seconds"] > methods["gold sentences"]["seconds"] == 0
        oracle = next(figure for figure in record["support"]["figures"] if figure["method"] == "gold sentences")
        assert oracle["AP"] == oracle["MRR"] == oracle["cited f1"] == 1
        assert oracle["recall"] == [[k, 1] for k in (1, 2, 3, 5, 10)]
        assert out.with_suffix(".svg").exists()
        assert len(out.with_suffix(".measured.jsonl").read_text().splitlines()) == len(entries(list(METHODS), 32, (4, 16)))

    @pytest.mark.parametrize("words", [["--tiny"], ["--methods", "nothing"], ["--data", "nowhere.jsonl"]])
    @pytest.mark.parametrize("command", [context_benchmark.command, citations.command])
    def test_refuses_what_it_does_not_know(self, command, words):
        assert CliRunner().invoke(command, words).exit_code == 2


class TestCitations:
    """A planted world: gold is known, so are a method that finds it and one that does not."""

    def test_random_has_the_average_precision_of_chance_and_the_oracle_1(self, tiny, own):
        """One gold source at a random rank of n has the mean of 1/rank; of two, the ranks i < j give (1/i + 2/j) / 2."""
        case = make_case(tiny, own, 4, 4, gold_answer=True)
        chance, oracle = (entry.measure(case) for entry in (random("citations"), gold("citations")))
        pairs = [(1 / i + 2 / j) / 2 for j in range(1, 5) for i in range(1, j)]
        assert chance["measures"]["AP"] == pytest.approx([np.mean(pairs)])
        assert chance["recall"][:3] == [[1, 0.25], [2, 0.5], [3, 0.75]]
        assert oracle["measures"]["AP"] == oracle["measures"]["RR"] == oracle["measures"]["cited f1"] == [1.0]
        assert "LDS" not in oracle["measures"]

    def test_the_threshold_is_chosen_on_the_other_examples(self):
        marked = {name: np.array([True, False, False]) for name in "abc"}
        good = {name: np.array([0.9, 0.2, 0.1]) for name in "ab"} | {"c": np.array([0.4, 0.2, 0.1])}
        cited = citations.above_threshold(good, marked)
        assert all(cited[name].tolist() == [True, False, False] for name in "abc")  # above .3, the lowest that separates
        alone = {"a": np.array([0.9, 0.8, 0.1]), "b": np.array([0.2, 0.1, 0.0]), "c": np.array([0.2, 0.1, 0.0])}
        assert citations.above_threshold(alone, marked)["a"].tolist() == [True, True, False]  # .15 is best for the others
        nothing = {name: np.zeros(3) for name in "abc"}
        everything = citations.above_threshold(nothing, marked)  # equal scores: everything or nothing
        assert all(row.all() for row in everything.values())
        assert citations.above_threshold(good, marked | {"a": np.zeros(3, bool), "b": np.zeros(3, bool)}) == {}

    def test_what_a_model_entails(self, tmp_path):
        def said(name, **labels):
            sizes = dict.fromkeys(("hidden_size", "intermediate_size"), 16) | {"num_hidden_layers": 1, "num_attention_heads": 2}
            torch.manual_seed(0)
            config = BertConfig(vocab_size=500, max_position_embeddings=32, **sizes, **labels)
            model = BertForSequenceClassification(config)
            model.save_pretrained(tmp_path / name)
            tiny_models.tokenizer().save_pretrained(tmp_path / name)
            return str(tmp_path / name)

        labels = {0: "CONTRADICTION", 1: "ENTAILMENT"}
        entails = citations.entailment_model(said("nli", id2label=labels, label2id={b: a for a, b in labels.items()}))
        assert isinstance(entails("The canal is long. " * 50, "It is."), bool)  # longer than the model's window
        with pytest.raises(LlmattrError, match="the labels of 'other' are LABEL_0, LABEL_1: which of them is entailment"):
            citations.entailment_model(said("other"))
        with pytest.raises(LlmattrError, match="cannot load the entailment model"):
            citations.entailment_model(str(tmp_path / "nowhere"))

    def test_entailed_citations(self, own):
        """The second passage entails the claim by itself; the third is a mere addition."""

        def entails(premise, claim):
            assert claim == "When did it open? In 1914."
            return "Canal: It opened in 1914." in premise

        found = citations.entailed(np.array([False, True, True, False]), own, " In 1914.", entails)
        assert found == {"entailed precision": [0.5], "entailed recall": [1.0], "entailed f1": [pytest.approx(2 / 3)]}

    @pytest.mark.parametrize("whose", ["--gold-answers", "--own-answers"])
    def test_of_questions_of_ones_own(self, tmp_path, whose, monkeypatch):
        """Rows without answer, title or supporting sentences; a method that fails; and going on."""
        bare = {"question": "Où?", "documents": [{"sentences": ["Île de la Cité. \u2028", "北京", "Ships."]}]}
        right = {**OWN, "answer": "a", "question": "Is it long?"}
        path = written(
            tmp_path / "own.jsonl", OWN, bare, {**bare, "supporting": [[0, 1]]}, {**OWN, "supporting": [[0, 0]]}, right
        )

        def fail(*_):
            raise LlmattrError("no luck")

        monkeypatch.setattr(METHODS["attention"], "attribute", fail)
        monkeypatch.setattr(citations, "entailment_model", lambda name: lambda premise, claim: len(premise) > len(claim))
        out = tmp_path / "out.json"
        words = ["--tiny", "--data", str(path), "--methods", "leave-one-out,bm25,attention", "--out", str(out), whose]
        done = CliRunner().invoke(citations.command, [*words, "--entailment", "some"])
        assert done.exit_code == 0, done.output
        end = "" if whose == "--gold-answers" else ", own answers"
        record = json.loads(out.read_text())
        assert {f"support{end}", f"agreement{end}"} <= record.keys()
        lines = {figure["method"]: figure for figure in record[f"support{end}"]["figures"]}
        assert list(lines) == ["random", "leave-one-out", "bm25", "attention", "gold sentences"]
        assert lines["attention"] == {"method": "attention", "not measured": "failed on 5 of 5: LlmattrError: no luck"}
        assert lines["gold sentences"]["threshold F1"] == lines["gold sentences"]["AP"] == 1
        assert lines["gold sentences"]["not measured"] == "skipped on 1 of 5: no gold sentences"
        assert {"entailed f1", "threshold F1", "AP", "MRR", "recall"} <= lines["bm25"].keys()
        assert lines["bm25"]["cited f1"] is None
        assert any("1 of 5 examples have no marked sentences" in note for note in record[f"support{end}"]["notes"])
        kept = out.with_suffix(".measured.jsonl").read_text()
        assert len(kept.split("\n")) == 5 * 5 + 1
        CliRunner().invoke(citations.command, words)
        assert len(out.with_suffix(".measured.jsonl").read_text().split("\n")) == 5 * 6 + 1  # what failed is tried again

    def test_runs_with_every_method(self, tmp_path):
        done = CliRunner().invoke(citations.command, ["--tiny", "--out", str(tmp_path / "out.json")])
        assert done.exit_code == 0, done.output
        record = json.loads((tmp_path / "out.json").read_text())
        assert list(record) == ["support", "agreement"]
        labels = [entry.label for entry in citing_entries(list(METHODS))]
        assert [figure["method"] for figure in record["support"]["figures"]] == labels
        assert not [figure for figure in record["support"]["figures"] if "not measured" in figure]
        square = {figure["method"]: figure for figure in record["agreement"]["figures"]}
        assert list(square) == [label for label in labels if label != "random"]
        assert all(line[name] == pytest.approx(1) for name, line in square.items())


@pytest.mark.parametrize("n", [7, 9, 16])
def test_held_out_masks_are_none_that_methods_draw(n):
    drawn = {mask.tobytes() for mask in random_masks(256, n, seed=0)}
    held_out = unseen_masks(32, n)
    assert held_out.shape == (32, n)
    assert not drawn & {mask.tobytes() for mask in held_out}
