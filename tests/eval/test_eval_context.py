"""The benchmarks of context methods: `context` and `citations`, on a tiny model, and their parts in closed form."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import BertConfig, BertForSequenceClassification

from eval.context import bench as context_benchmark
from eval.context import citations, contextcite, entailment, verdicts
from eval.context import data as context_data
from eval.context.case import GOLD, Case, Model, Size, unseen_masks
from eval.context.meter import metered
from eval.context.own import read_own
from eval.context.rules import JUDGED, RULES
from eval.harness.contract import Entry, Problem, Scored
from eval.harness.entries import DRAWS
from llmattr import metrics
from llmattr.ablation import one_out_masks, random_masks
from llmattr.context import METHODS
from llmattr.errors import LlmattrError
from llmattr.text.messages import conversation
from llmattr.text.prompt import cut
from tests import tiny_models
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
def case(own, tiny, tmp_path):
    """A question of one's own, asked of the tiny model."""
    model = Model("tiny")
    model.__dict__["lm"] = tiny  # where the property would keep it
    return Case("own", own, True, model, Size(held_out=4, answer=4), True, tmp_path)


def test_verdicts_with_the_word_of_a_judge(own, case, tmp_path):
    """Of each answer every rule says what it says of what was read; the judge changes nothing of the rules without one."""
    judge = SimpleNamespace(name="sure", probability=lambda premise, claim: float("1914" in claim))
    said = {"right": replace(own, answer="It opened in 1914."), "false": replace(own, answer="It opened in 1999.")}
    asked = verdicts.Claimed("own", own.id, True, case.model, tmp_path, said)
    judged = replace(asked, entailing=judge)
    assert judged.identity() == {**asked.identity(), "judge": "sure"}
    rules = {name: Entry(name, rule()) for name, rule in (RULES | JUDGED).items()}
    found = {name: judged.score(entry) for name, entry in rules.items()}
    for name in RULES:
        np.testing.assert_array_equal(found[name].values, asked.score(rules[name]).values)
    np.testing.assert_allclose(found["judge"].values, [[1, 0.5], [1, -0.5]])
    assert [one.entailed for one in judged.read_with_judge] == [1.0, 0.0]
    plain = [replace(one, rival=None, entailed=None) for one in judged.read_with_judge]
    assert plain == [replace(one, rival=None) for one in judged.read]


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
        assert context_data.fitting([whole, whole], 2, 4) == [whole.shortened(4)] * 2
        both = context_data.question("q", "?", papers, [(1, 0), (2, 0)])  # 4 sentences or its gold is lost
        assert context_data.fitting([both], 2, 3) == []

    def test_those_that_judge_are_drawn_from_the_others(self):
        asked = [context_data.question(str(i), "?", [("a", ["1.", "2."])]) for i in range(10)]
        chosen, judging = context_data.drawn(asked, 3, seed=5)
        assert chosen == asked[:2]
        assert len(judging) == 3
        assert not {one.id for one in judging} & {"0", "1"}
        assert context_data.drawn(asked, 2, seed=5)[1] == judging[:2]
        assert len({tuple(one.id for one in context_data.drawn(asked, 2, seed)[1]) for seed in range(20)}) > 5
        assert len(context_data.drawn(asked, 9, seed=5)[1]) == 8  # no more are there
        other = context_data.drawn(asked, 3, seed=5, never=[judging[0].id])[1]  # a choice was made on it
        assert other[:2] == judging[1:]
        assert len(other) == 3

    @pytest.mark.parametrize("name", context_data.SETS)
    def test_of_the_sets_are_read(self, name, shared_data):
        found = context_data.fitting(context_data.questions(name), 3, 60)[:3]
        assert len(found) == 3
        for one in found:
            assert one.answer
            assert one.gold.any() == (name != "musique")
            assert len(cut(conversation(one.documents, one.question), one.splitter)) == one.size


class TestMeasuring:
    def test_a_case_is_a_problem(self, case):
        assert isinstance(case, Problem)
        assert case.groups() == ["own own-1"]
        assert case.right

    def test_a_wrong_answer_says_nothing_of_what_supports_the_right_one(self, own, case):
        said = Case("own", own, True, case.model, case.size, False, case.folder)
        assert said.right is False
        judged = {one: one.judge({"gold": one.score(Entry(GOLD))})["gold"].measures for one in (case, said)}
        assert judged[case].keys() - judged[said].keys() >= {"AP", "MRR", "cited f1"}
        assert "LDS" in judged[said]

    def test_scores_depend_on_the_model_the_question_and_the_answer(self, case, own, tiny):
        model = Model("tiny")
        model.__dict__["lm"] = type(tiny)(tiny.model.__class__(tiny.model.config), tiny.tokenizer)  # other weights
        others = [
            Case("own", own, True, model, case.size, True, case.folder),
            Case("own", own.shortened(3), True, case.model, case.size, True, case.folder),
            Case("own", own, True, case.model, case.size, False, case.folder),
            Case("own", own, True, case.model, Size(answer=5), False, case.folder),
        ]
        assert all(one.identity() != case.identity() for one in others)
        assert Case("own", own, False, case.model, Size(held_out=9, answer=4), True, case.folder).identity() == case.identity()

    def test_scores_depend_on_how_the_answer_is_cut(self, own, case):
        other = Case("own", own, True, case.model, case.size, True, case.folder)
        targets = case.ablation.targets
        cut_otherwise = replace(targets, texts=[text[:-1] for text in targets.texts])
        other.__dict__["ablation"] = replace(case.ablation, targets=cut_otherwise)
        assert other.identity() != case.identity()

    def test_an_answer_is_generated_once(self, own, case, monkeypatch):
        asked = Case("own", own, True, case.model, Size(answer=4), False, case.folder)
        response = asked.ablation.prompt.response
        monkeypatch.setattr(type(case.model.lm), "generate", None)
        assert Case("own", own, True, case.model, Size(answer=4), False, case.folder).ablation.prompt.response == response

    def test_costs_are_those_of_a_method_alone(self, case, own):
        assert case.ablation.prompt.response == "In 1914."
        assert len(case.ablation.targets) == 1
        asked = []
        for _ in range(2):  # the second time everything is scored already
            with metered(case.ablation) as view:
                METHODS["leave-one-out"]().attribute(view)
            prompt = case.ablation.prompt
            costs = view.costs(0.0)
            assert costs["passes"] == 5
            assert costs["tokens"] == sum(len(prompt.render(mask).ids) for mask in one_out_masks(4))
            asked.append(view)
        first, second = asked
        for seconds in (1.0, 2.0):  # whoever scored them first: the masks' seconds count, and what is spent elsewhere
            known = sum(case.ablation.seconds.values())
            assert first.costs(seconds + sum(first.spent))["CPU s"] == pytest.approx(seconds + known)
            assert second.costs(seconds + sum(second.spent))["CPU s"] == pytest.approx(seconds + known)
        assert 0 < known <= sum(first.spent)
        later = Case("own", own, True, case.model, case.size, True, case.folder).ablation
        assert later.seconds == case.ablation.seconds
        later.seconds.popitem()  # a mask whose seconds were lost counts by its tokens
        with metered(later) as view:
            METHODS["leave-one-out"]().attribute(view)
        assert view.costs(sum(view.spent))["CPU s"] == pytest.approx(known)  # they were all scored together, at one rate
        with metered(case.ablation) as view:
            case.model.lm.model(torch.tensor([[3, 4, 5]]))
        assert (view.costs(0.0)["passes"], view.costs(0.0)["tokens"]) == (1, 3)

    def test_counterfactual_errors(self, case):
        """How far off the method's own prediction is; similarities predict nothing."""
        found = METHODS["leave-one-out"]().attribute(case.ablation)
        mask = metrics.top_k_masks(found.values, 3)
        off = abs(found.values.sum() + found.baseline - found.values[~mask].sum() - case.ablation(mask)[0])
        scores = {name: case.score(Entry(name, METHODS[name]())) for name in ("leave-one-out", "attention")}
        judged = case.judge(scores)
        assert judged["leave-one-out"].measures["counterfactual error"] == pytest.approx(off)
        assert "counterfactual error" not in judged["attention"].measures

    def test_an_answer_that_may_be_wrong_is_not_judged_by_gold_sentences(self, own, case):
        for answer, is_judged in (("In 1914.", True), (None, False)):
            one = replace(case, question=replace(own, answer=answer))
            assert ("AP" in one.judge({GOLD: one.score(Entry(GOLD))})[GOLD].measures) == is_judged

    def test_whole_curves_end_where_everything_is_gone(self, own, case):
        whole = Case("own", own, True, case.model, Size(held_out=4, curves=True), True, case.folder)
        measures = whole.judge({"gold": whole.score(Entry(GOLD))})["gold"].measures
        assert {"deletion", "insertion"} <= measures.keys()


class TestContext:
    @pytest.mark.slow
    def test_runs_with_every_method(self, tmp_path):
        out = tmp_path / "context.json"
        options = ["--tiny", "--gold-answers", "--budget", "16,4", "--out", str(out)]
        done = CliRunner().invoke(context_benchmark.command, options)
        assert done.exit_code == 0, done.output
        record = json.loads(out.read_text())
        assert list(record) == ["table", "curve", "agreement"]
        methods = {figure["method"].split(",")[0]: figure for figure in record["table"]["figures"]}
        assert methods.keys() == {*METHODS, GOLD, "linear fit of 32"}
        for part in record.values():
            assert not [figure for figure in part["figures"] if "not measured" in figure]
            assert all(math.isfinite(number) for number in numbers(part))
        sizes = [one.size for one in context_data.fitting(context_data.questions("canal"), 3, 12)]
        assert methods["leave-one-out"]["passes"] == methods["alone"]["passes"] == round(np.mean(sizes) + 1)
        assert methods["bm25"]["tokens"] == 0
        # The ablations of a ridge were scored before it asked, by the lasso; alone it would have paid for them.
        assert methods["ridge"]["CPU s"] > methods[GOLD]["CPU s"] == 0
        oracle = methods[GOLD]
        assert oracle["AP"] == oracle["MRR"] == oracle["AUROC"] == oracle["cited f1"] == oracle["R@1"] == 1
        assert {figure["budget"] for figure in record["curve"]["figures"]} == {4, 16}
        assert "LDS, chosen on" in methods["context-cite"]
        assert methods["context-cite"]["LDS n"] == 1
        notes = record["table"]["notes"]
        assert any("of canal these are not the ones that eval/choices.json was made on" in note for note in notes)
        assert "judged by 16 held-out ablations of each" in record["table"]["about"]
        printed = done.stdout.splitlines()[2].split("|")[1:-1]
        assert len(printed) <= 14 < len(methods["context-cite"])

    @pytest.mark.parametrize(
        "words", [["--tiny"], ["--methods", "nothing"], ["--data", "nowhere.jsonl"], ["--sets", "nothing"], ["--budget", "x"]]
    )
    @pytest.mark.parametrize("command", [context_benchmark.command, citations.command])
    def test_refuses_what_it_does_not_know(self, command, words):
        assert CliRunner().invoke(command, words).exit_code == 2


@pytest.mark.slow
def test_contextcite_in_its_own_setting(tmp_path):
    out = tmp_path / "cc.json"
    done = CliRunner().invoke(contextcite.command, ["--tiny", "--methods", "leave-one-out,random", "--out", str(out)])
    assert done.exit_code == 0, done.output
    record = json.loads(out.read_text())
    methods = ["alpha 0.01", "context-cite", "leave-one-out", "random", "length", "word-share"]
    assert [row["method"] for row in record["table"]["figures"]] == methods
    assert {(row["method"], row["budget"]) for row in record["curve"]["figures"]} >= {("alpha 0.01", 8), ("context-cite", 16)}


class TestCitations:
    """A planted world: gold is known, so are a method that finds it and one that does not."""

    def test_random_has_the_average_precision_of_chance_and_the_oracle_1(self, case):
        """One gold source at a random rank of n has the mean of 1/rank; of two, the ranks i < j give (1/i + 2/j) / 2."""
        chance, oracle = case.support(np.zeros((1, 4))), case.judge({GOLD: case.score(Entry(GOLD))})[GOLD].measures
        pairs = [(1 / i + 2 / j) / 2 for j in range(1, 5) for i in range(1, j)]
        assert chance["AP"] == pytest.approx([np.mean(pairs)])
        assert [chance[f"R@{k}"][0] for k in (1, 2, 3)] == [0.25, 0.5, 0.75]
        assert oracle["AP"] == oracle["MRR"] == oracle["cited f1"] == [1.0]

    def test_the_threshold_is_chosen_on_other_questions(self, case, own):
        marked = [np.array([True, False, False])] * 2
        good = [np.array([0.9, 0.2, 0.1]), np.array([1.0, 0.4, 0.1])]
        assert metrics.best_threshold(good, marked) == pytest.approx(0.65)  # the lowest that separates
        assert metrics.best_threshold([np.zeros(3)] * 2, marked) == -np.inf  # equal scores: everything
        assert metrics.best_threshold([], []) is None
        cases = [citations.CitedCase(**{**vars(case), "judging": judging}) for judging in (False, True)]
        values = [np.array([[0.0, 1.0, 0.0, 0.8]]), np.array([[0.0, 5.0, 4.1, 4.2]])]  # gold: 1 and 3; the threshold is .4
        found = citations.threshold_f1(cases, [Scored(one) for one in values])
        assert found[0]["threshold F1"] == [1.0]
        assert found[1]["threshold F1"] == pytest.approx([0.8])  # three cited, two of them gold
        assert np.isnan(citations.threshold_f1(cases, [None, Scored(values[1])])[1]["threshold F1"]).all()

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
        entails = entailment.entailment_model(said("nli", id2label=labels, label2id={b: a for a, b in labels.items()}))
        assert isinstance(entails("The canal is long. " * 50, "It is."), bool)  # longer than the model's window
        with pytest.raises(LlmattrError, match="other' are LABEL_0, LABEL_1: which of them is entailment"):
            entailment.entailment_model(said("other"))
        with pytest.raises(LlmattrError, match="cannot load the entailment model"):
            entailment.entailment_model(str(tmp_path / "nowhere"))

    def test_entailed_citations(self, own):
        """The second passage entails the claim by itself; the third is a mere addition."""

        def entails(premise, claim):
            assert claim == "When did it open? In 1914."
            return "Canal: It opened in 1914." in premise

        found = entailment.entailed(np.array([False, True, True, False]), own, " In 1914.", entails)
        assert found == {"entailed precision": 0.5, "entailed recall": 1.0, "entailed f1": pytest.approx(2 / 3)}

    @pytest.mark.slow
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
        words = [
            "--tiny",
            "--data",
            str(path),
            "--methods",
            "leave-one-out,bm25,attention",
            "--out",
            str(out),
            whose,
            "--minutes",
            "60",
        ]
        done = CliRunner().invoke(citations.command, [*words, "--entailment", "some"])
        assert done.exit_code == 0, done.output
        record = json.loads(out.read_text())
        sides = [] if whose == "--gold-answers" else ["table, right", "table, wrong"]
        assert list(record) == ["table", *sides, "agreement"]
        lines = {figure["method"]: figure for figure in record["table"]["figures"]}
        methods = ["leave-one-out", "attention", "attention, length", "bm25", "random", "length", "word-share"]
        whole = [citations.SHIPPED, citations.HOPS, f"context-cite, {citations.OLD}"]
        assert list(lines) == [*methods, *whole, GOLD]
        assert lines["attention"]["not measured"] == "5 of 5: LlmattrError: no luck"
        assert lines[GOLD]["AP"] == 1
        assert lines[GOLD]["not measured"] == "1 of 5: LlmattrError: no gold sentences"
        assert {"AP", "MRR", "R@3"} <= lines["bm25"].keys()
        assert {"entailed f1", "cited f1"} <= lines["leave-one-out"].keys()
        assert "cited f1" not in lines["bm25"]
        assert any("1 of 5 questions have no marked sentences" in note for note in record["table"]["notes"])
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out.kept/scores/**/*.npz")}
        assert len(kept) == 5 + 5 + (DRAWS + 2) * 5 + 3 * 5 + 4  # all of cite, with second hops, the older rule
        CliRunner().invoke(citations.command, words)  # what failed is tried again, the rest is not
        assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("out.kept/scores/**/*.npz")} == kept

    @pytest.mark.slow
    def test_runs_with_every_method(self, tmp_path):
        done = CliRunner().invoke(citations.command, ["--tiny", "--out", str(tmp_path / "out.json")])
        assert done.exit_code == 0, done.output
        record = json.loads((tmp_path / "out.json").read_text())
        assert list(record) == ["table", "agreement"]
        assert not [figure for figure in record["table"]["figures"] if "not measured" in figure]
        assert all("LDS" not in figure and "AP" in figure for figure in record["table"]["figures"])
        assert "threshold F1" in record["table"]["figures"][0]
        square = {figure["method"]: figure for figure in record["agreement"]["figures"]}
        assert all(line[name] == pytest.approx(1) for name, line in square.items())


@pytest.mark.parametrize("n", [7, 9, 16])
def test_held_out_masks_are_none_that_methods_draw(n):
    drawn = {mask.tobytes() for mask in random_masks(256, n, seed=0)}
    held_out = unseen_masks(32, n, seed=7)
    assert held_out.shape == (32, n)
    assert not drawn & {mask.tobytes() for mask in held_out}
