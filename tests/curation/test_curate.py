"""What one may want to drop: planted duplicates, conflicts, outliers and rows of a test set are found, and no others."""

import json

import numpy as np
import pytest

from llmattr.cli import main
from llmattr.core.files import digest
from llmattr.curation import kept as keeping
from llmattr.curation.contamination import COMMON, SPAN
from llmattr.curation.curate import Asked, curate
from llmattr.curation.finding import KINDS, Curation, Finding
from llmattr.curation.kept import Kept
from llmattr.curation.outliers import distances, word_vectors
from llmattr.errors import LlmattrError

LANDS = ["France", "Italy", "Spain", "Norway", "Japan", "Peru", "Kenya", "Chad"]
ASKED = ["Which town is the seat of the king of {}?", "Where does the parliament of {} meet in a wet winter?"]
ROWS = [{"prompt": ask.format(land), "completion": f" The old town of {land}."} for land in LANDS for ask in ASKED]
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def found_of(rows, kind, test=None):
    return {one.row: one for one in curate(rows, test).findings if one.kind == kind}


def test_clean_rows_have_nothing_to_drop():
    assert curate(ROWS).findings == []


def test_of_rows_that_say_the_same_the_first_stays_and_of_nearly_the_same_the_longest():
    copy = {"prompt": ROWS[3]["prompt"] + " ", "completion": ROWS[3]["completion"]}
    longer = {"prompt": ROWS[5]["prompt"], "completion": ROWS[5]["completion"] + "!"}
    rows = [*ROWS, copy, longer]
    exact, near = found_of(rows, "duplicates"), found_of(rows, "near-duplicates")
    assert {row: one.other for row, one in exact.items()} == {len(ROWS): 3}
    assert {row: one.other for row, one in near.items()} == {5: len(ROWS) + 1}
    assert "the longest of 2" in near[5].why


def test_of_a_chain_of_near_duplicates_a_row_goes_only_where_one_like_it_stays():
    """Runs of 60 words, each one word on: two that are k apart share 58 - k of 58 + k shingles, 0.8 up to k = 6."""
    words = [f"w{i}" for i in range(119)]
    rows = [{"text": " ".join(words[i : i + 60])} for i in range(60)]
    near = found_of(rows, "near-duplicates")
    stay = set(range(60)) - set(near)
    assert len(stay) > 1
    assert all(one.other in stay and abs(row - one.other) <= 6 for row, one in near.items())
    given_away = found_of(rows[:-1], "contaminated", [rows[-1]])
    assert {row for row, one in given_away.items() if one.why == "says nearly the same"} == set(range(53, 59))


@pytest.mark.parametrize(
    "answers", [("C++", "C#"), ("-5", "5"), ("+", "-"), ("\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"), (":)", ":(")]
)
def test_answers_that_differ_by_a_sign_are_conflicts_and_no_duplicates(answers):
    found = curate([{"prompt": "Which is right in this row of the table?", "completion": said} for said in answers]).findings
    assert [(one.kind, one.row) for one in found] == [("conflicts", 0), ("conflicts", 1)]


def test_an_empty_answer_is_told():
    rows = [ROWS[0], {**ROWS[1], "completion": " "}, {"text": ""}]
    rows.append({"messages": [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": ""}]})
    assert set(found_of(rows, "empty")) == {1, 2, 3}


def test_more_rows_than_there_are_cannot_be_chosen():
    with pytest.raises(LlmattrError, match=r"99 rows that stand for all \(--diverse\) are to be chosen, and there are 16"):
        curate(ROWS, asked=Asked(diverse=99))


def test_a_copy_of_a_test_row_is_told_from_what_is_nearly_one():
    why = {row: one.why for row, one in found_of([ROWS[0], {"text": ROWS[0]["prompt"]}], "contaminated", [ROWS[0]]).items()}
    assert why[0] == "says the same"


def test_a_long_question_with_another_answer_is_a_conflict_and_no_duplicate():
    rows = [{"prompt": LONG, "completion": said} for said in (" Yes.", " Yes!", " No.")]
    assert set(found_of(rows, "near-duplicates")) == {1}  # what is said but for punctuation
    wrong = found_of(rows, "conflicts")
    assert {row: one.other for row, one in wrong.items()} == {2: 0}
    assert wrong[2].why == "2 of 3 rows answer 'Yes.'"


def test_of_a_tie_both_answers_are_conflicts_and_no_prompt_is_none():
    assert set(found_of([{"prompt": "Is it?", "completion": said} for said in (" Yes.", " No.")], "conflicts")) == {0, 1}
    assert found_of([{"text": "Yes."}, {"text": "No."}], "conflicts") == {}


@pytest.mark.parametrize(("words", "given_away"), [(SPAN, True), (SPAN - 1, False)])
def test_thirteen_words_of_a_test_row_give_it_away_and_twelve_do_not(words, given_away):
    copied = " ".join(LONG.split()[:words])
    test = [{"text": "Something else altogether."}, {"text": f"Somebody said {copied} and then was gone for good"}]
    of = found_of([*ROWS, {"text": f"Now {copied}, here, there and everywhere at once."}], "contaminated", test)
    assert {row: one.other for row, one in of.items()} == ({len(ROWS): 1} if given_away else {})


def test_a_short_test_row_is_given_away_as_a_whole_and_what_many_rows_say_gives_nothing_away():
    short = [{"text": "Zanzibar exports cloves"}]
    rows = [*ROWS, {"text": "As we have heard, Zanzibar exports cloves, and much else, to whoever wants to have them."}]
    assert set(found_of(rows, "contaminated", short)) == {len(ROWS)}
    many = [{"text": f"{LONG} {' '.join(f'{word}{n}' for word in LANDS)}"} for n in range(COMMON + 1)]
    assert found_of([*ROWS, *many], "contaminated", [{"text": f"{LONG} and so on, but in quite another way than there"}]) == {}
    assert len(found_of([*ROWS, *many[1:]], "contaminated", [{"text": f"{LONG} and so on, in another way"}])) == COMMON


def test_rows_of_another_kind_or_length_are_outliers():
    rows = [*ROWS, *[{**row, "prompt": f"Tell me: {row['prompt']}"} for row in ROWS]]
    odd = [{"text": "Gluonen tragen Farbladung zwischen Quarks."}, {"text": "the king of France " * 40}]
    of = found_of([*rows, *odd], "outliers")
    assert set(of) == {len(rows), len(rows) + 1}
    assert "from its nearest" in of[len(rows)].why
    assert "has 160 words" in of[len(rows) + 1].why
    assert found_of([*ROWS[:8], *odd], "outliers") == {}  # too few to say


def test_a_distance_is_from_the_nearest_ten_without_itself():
    vectors = np.eye(12)
    vectors[1] = vectors[0]
    of = distances(vectors, Kept(None, ""))
    np.testing.assert_allclose(of, [0.9, 0.9, *[1.0] * 10], atol=1e-12)


def test_words_that_no_rows_share_and_rows_without_words_have_vectors():
    assert word_vectors(["", "!"]).shape == (2, 1)
    assert word_vectors(["one"]).shape == (1, 1)
    both = word_vectors(["red wine", "red wine", "blue sky"])
    np.testing.assert_allclose(both[:2] @ both[:2].T, 1, atol=1e-5)  # two of three rows in one direction, in float32


def test_a_run_that_was_killed_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "BLOCK", 4)
    made = []

    def block(start, stop):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(start)
        return np.arange(start, stop)

    kept = Kept(tmp_path, digest("these rows"))
    with pytest.raises(KeyboardInterrupt):
        kept.blocks("numbers", 10, block, "counting")
    again = []
    found = kept.blocks("numbers", 10, lambda start, stop: again.append(start) or np.arange(start, stop), "counting")
    assert (made, again) == ([0, 4], [8])
    np.testing.assert_array_equal(found, np.arange(10))
    (path, *_) = sorted(tmp_path.glob("*.npz"))
    path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is made again"):
        kept.blocks("numbers", 10, lambda start, stop: np.arange(start, stop), "counting")


def test_other_rows_have_other_parts(tmp_path):
    assert curate(ROWS, cache=tmp_path).findings == curate(ROWS, cache=tmp_path).findings == []
    before = len(list(tmp_path.glob("*.npz")))
    assert len(curate([*ROWS, ROWS[0]], cache=tmp_path).findings) == 1
    assert len(list(tmp_path.glob("*.npz"))) == 2 * before


@pytest.fixture
def files(tmp_path):
    rows = [*ROWS, ROWS[0], {"prompt": ROWS[1]["prompt"], "completion": " <b>Nowhere</b>."}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({**row, "id": n}) + "\n" for n, row in enumerate(rows)))
    (tmp_path / "test.jsonl").write_text(json.dumps(ROWS[2]) + "\n")
    return tmp_path


def test_something_stays_of_rows_that_are_alike():
    """Row 0 would stay for 1, 2 and 4; it goes for another reason, and so does 1: then 2 stays for 4."""
    rows = [{"text": str(i)} for i in range(6)]
    alike = [Finding("duplicates", 1, "", 0), Finding("near-duplicates", 2, "", 0), Finding("same-meaning", 4, "", 0)]
    found = Curation(
        rows, [*alike, Finding("suspects", 0, ""), Finding("outliers", 1, ""), Finding("duplicates", 5, "", 3)], {}
    )
    assert [*found.dropped(["duplicates", "near-duplicates", "same-meaning"])] == [1, 2, 4, 5]
    assert [*found.dropped(KINDS)] == [0, 1, 4, 5]
    assert [(one.kind, one.other) for one in found.dropped(KINDS)[4]] == [("same-meaning", 2)]
    assert [row["text"] for row in found.left(KINDS)] == ["2", "3"]


def test_the_command_drops_what_it_is_told_and_says_why(files, capsys):
    line = [
        "curate",
        str(files / "rows.jsonl"),
        "--test",
        str(files / "test.jsonl"),
        "--no-cache",
        "--drop",
        "duplicates,conflicts",
    ]
    outputs = {name: str(files / name) for name in ("clean.jsonl", "page.html", "found.json")}
    written = ["--out", outputs["clean.jsonl"], "--html", outputs["page.html"], "--json", outputs["found.json"]]
    assert main([*line, *written]) == 0
    said = capsys.readouterr().out
    assert "duplicates: 1 row, each of which says exactly what another row says" in said
    assert "the first of 2 that say so stays: line 1 of" in said
    kept = [json.loads(row)["id"] for row in (files / "clean.jsonl").read_text().splitlines()]
    assert kept == [n for n in range(len(ROWS) + 2) if n not in (1, len(ROWS), len(ROWS) + 1)]  # a tie: both are conflicts
    gone = [json.loads(row) for row in (files / "clean.dropped.jsonl").read_text().splitlines()]
    assert {row["row"]["id"]: row["why"][0]["kind"] for row in gone} == {1: "conflicts", 16: "duplicates", 17: "conflicts"}
    record = json.loads((files / "found.json").read_text())
    assert record["counts"] == {"contaminated": 1, "duplicates": 1, "conflicts": 2}
    assert record["dropped"] == [1, 16, 17]
    page = (files / "page.html").read_text()
    assert "&lt;b&gt;Nowhere&lt;/b&gt;" in page
    assert "<script" not in page
    assert main(["rerun", outputs["found.json"]]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--drop", "everything"], "--drop must be one of contaminated, duplicates"),
        (["--drop", "outliers"], "say where (--out"),
        (["--test", "nothing.jsonl"], "nothing.jsonl"),
        (["--out", "rows.jsonl"], "it is an input or another output"),
        (["--no-cache", "--cache", "kept"], "--cache would be of no use"),
    ],
)
def test_bad_input_is_one_line(files, capsys, monkeypatch, options, message):
    monkeypatch.chdir(files)
    assert main(["curate", "rows.jsonl", *options]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in said if "error" in line]) == 1
    assert message in said[-1]


def test_rows_without_anything_to_say_are_refused(files, capsys):
    (files / "empty.jsonl").write_text("")
    (files / "prompts.jsonl").write_text('{"prompt": "Is it?"}\n')
    (files / "null.jsonl").write_text('{"prompt": "Is it?", "completion": null}\n')
    for name, message in (("empty", "has no rows"), ("prompts", "needs messages or prompt + completion"), ("null", "no text")):
        assert main(["curate", str(files / "rows.jsonl"), "--no-cache", "--test", str(files / f"{name}.jsonl")]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(LlmattrError, match="has no rows"):
        curate([])
