"""Rows as people have them: files of every kind and encoding, sets with splits, other columns, and other forms of chats."""

import inspect
import itertools
import json
import os

import datasets
import pandas as pd
import pytest

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.text import reading
from llmattr.text.documents import read_documents
from llmattr.text.forms import plain_row
from llmattr.text.messages import conversation
from llmattr.text.reading import open_rows, read_queries, read_rows
from llmattr.text.row_files import Rows
from llmattr.text.rows import row_text

SAID = ["NA", "null", "None", "1889", "00123", "True", "2024-03-31", "1e5", "", 'a "b", c', "two\nlines", "nan"]


def put(folder, name, text, encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


class TestCsv:
    def test_every_cell_is_the_text_that_it_is(self, tmp_path):
        lines = ["prompt,completion", *('Q,"' + said.replace('"', '""') + '"' for said in SAID)]
        rows = open_rows(put(tmp_path, "a.csv", "\n".join(lines)))
        assert isinstance(rows, Rows)
        assert [row["completion"] for row in rows] == [rows[i]["completion"] for i in range(len(rows))] == SAID
        assert rows[-3:] == list(rows)[-3:]
        assert rows[:0] == []

    def test_unquoted(self, tmp_path):
        path = put(tmp_path, "a.csv", "prompt,completion\nIn ,NA\nIn ,00123\n\nIn ,1889\n")
        assert [row["completion"] for row in read_rows(path)] == ["NA", "00123", "1889"]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_what_spreadsheets_write(self, tmp_path, encoding, delimiter):
        mark = "\ufeff" if encoding == "utf-16-le" else ""
        text = f"{mark}prompt{delimiter}completion\r\nLa tour ? {delimiter}érigée\r\n"
        assert read_rows(put(tmp_path, "a.csv", text, encoding)) == [{"prompt": "La tour ? ", "completion": "érigée"}]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("prompt,completion\na,b\nc\n", "line 3 has 1 cells, the header has 2"),
            ("prompt,completion\na,b,c\n", "line 2 has 3 cells, the header has 2"),
            ("prompt,prompt\na,b\n", "two columns have the same name"),
            ('prompt,completion\n"a,b\nc,d\n', "is not CSV"),
            ("prompt,completion\n", "has no rows"),
            ("", "has no rows"),
        ],
    )
    def test_bad_files(self, tmp_path, text, message):
        with pytest.raises(LlmattrError, match=message):
            read_rows(put(tmp_path, "a.csv", text))

    @pytest.mark.parametrize("name", ["a.csv", "a.TSV"])
    def test_latin_1_is_read_with_a_note_as_cite_does(self, tmp_path, name):
        text = "prompt,completion\nLa tour ,érigée\n".replace(",", "," if name == "a.csv" else "\t")
        with pytest.warns(LlmattrNote, match=r"is not UTF-8 \(byte 27\).*read as Latin-1"):
            assert read_rows(put(tmp_path, name, text, "latin-1")) == [{"prompt": "La tour ", "completion": "érigée"}]

    def test_tabs_part_lines_whatever_quotes_stand_in_them(self, tmp_path):
        lines = 'prompt\tcompletion\n"A\tB"\n"C, ""D"\t5" pipe\n'
        rows = [{"prompt": '"A', "completion": 'B"'}, {"prompt": 'C, "D', "completion": '5" pipe'}]
        assert read_rows(put(tmp_path, "a.tsv", lines)) == rows
        over_lines = 'prompt\tcompletion\n"A\nB"\t"C\tD"\n'
        assert read_rows(put(tmp_path, "b.tsv", over_lines)) == [{"prompt": "A\nB", "completion": "C\tD"}]

    def test_names_of_columns_have_no_space_around_them_and_other_spellings_are_named(self, tmp_path):
        assert read_rows(put(tmp_path, "a.csv", "prompt, completion\na,b\n")) == [{"prompt": "a", "completion": "b"}]
        with pytest.raises(LlmattrError, match=r"\(--columns prompt=Prompt,completion=Completion\)$"):
            row_text(read_rows(put(tmp_path, "b.csv", "Prompt, Completion\na,b\n"))[0])

    def test_a_long_text(self, tmp_path):
        said = "word " * 60000
        assert read_rows(put(tmp_path, "a.csv", f"text\n{said}\n"))[0]["text"] == said


class TestJson:
    def test_strings_stay_strings(self, tmp_path):
        rows = [{"prompt": "Q", "completion": said} for said in SAID]
        path = put(tmp_path, "a.jsonl", "\n\n".join(map(json.dumps, rows)))
        assert read_rows(path) == rows

    def test_a_list_or_one_object_or_lines(self, tmp_path):
        rows = [{"text": "a"}, {"text": "b"}]
        assert read_rows(put(tmp_path, "a.json", json.dumps(rows, indent=2))) == rows
        assert read_rows(put(tmp_path, "b.json", "\n".join(map(json.dumps, rows)))) == rows
        assert read_rows(put(tmp_path, "c.json", json.dumps(rows[0], indent=2))) == rows[:1]
        assert read_rows(put(tmp_path, "d.json", json.dumps(rows), "utf-16")) == rows

    @pytest.mark.parametrize("indent", [None, 2])
    @pytest.mark.parametrize(
        "given",
        [
            {"data": [{"text": "a"}, {"text": "b"}]},
            {"version": "1.1", "data": [{"text": "a"}, {"text": "b"}]},
            {"train": [{"text": "a"}, {"text": "b"}], "test": []},
            {"text": ["a", "b"]},
            {"text": {"0": "a", "1": "b"}},  # pandas
        ],
    )
    def test_rows_inside_one_object(self, tmp_path, given, indent):
        split = "train" if "train" in given else None
        for data in (given, put(tmp_path, "a.json", json.dumps(given, indent=indent))):
            assert read_rows(data, split) == [{"text": "a"}, {"text": "b"}]
            if split:
                with pytest.raises(LlmattrError, match=r"has the splits train, test: say which \(--split\)"):
                    read_rows(data)

    @pytest.mark.parametrize(
        "row",
        [
            {"text": "a", "tags": [{"name": "x"}]},
            {"messages": [{"role": "user", "content": "a"}]},
            {"question": "a", "contexts": [{"title": "b"}]},
            {"dialog": [{"role": "user", "content": "a"}]},
        ],
    )
    def test_a_row_alone_stays_a_row(self, tmp_path, row):
        for data in (row, put(tmp_path, "a.json", json.dumps(row))):
            assert read_rows(data) == [row]

    def test_rows_have_only_their_own_keys(self, tmp_path):
        """A table gives every call of a tool the arguments of all others."""
        calls = [{"function": {"name": name, "arguments": {key: 1}}} for name, key in (("f", "a"), ("g", "b"))]
        rows = [{"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]} for call in calls]
        assert read_rows(put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))) == rows
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
        assert read_rows(tmp_path / "a.parquet") == rows

    @pytest.mark.parametrize("rows", [{}, [{}], [{"text": "a"}, {}]])
    def test_a_row_of_nothing_is_refused(self, rows):
        with pytest.raises(LlmattrError, match=r"rows must be dicts like .*; row \d is \{\}"):
            read_rows(rows)

    def test_a_damaged_table_is_told_in_one_line(self, tmp_path, capfd, caplog):
        with pytest.raises(LlmattrError, match="cannot read the data"):
            read_rows(put(tmp_path, "a.parquet", "PAR1 is no table PAR1"))
        assert capfd.readouterr() == ("", "")
        assert not caplog.records

    @pytest.mark.parametrize(
        ("text", "message"), [('{"text": "a"}\n[1]\n', "line 2 is not a JSON object"), ("[1, 2]", "not a JSON object")]
    )
    def test_what_is_no_row(self, tmp_path, text, message):
        with pytest.raises(LlmattrError, match=message):
            read_rows(put(tmp_path, "a.json", text))

    def test_a_file_that_changes_while_it_is_read(self, tmp_path):
        path = put(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "b"}\n')
        rows = open_rows(path)
        path.write_text('{"text": "longer"}\n')
        os.utime(path, (0, 0))
        with pytest.raises(LlmattrError, match="was changed while it was read"):
            list(rows)


class TestSplits:
    def test_the_only_one_or_the_one_that_is_asked_for(self, tmp_path):
        train, test = ([{"prompt": "a ", "completion": name}] for name in ("train", "test"))
        alone = datasets.DatasetDict(train=datasets.Dataset.from_list(train))
        assert read_rows(alone) == train
        both = datasets.DatasetDict(train=alone["train"], test=datasets.Dataset.from_list(test))
        both.save_to_disk(str(tmp_path / "saved"))
        for given in (both, tmp_path / "saved"):
            assert read_rows(given, "test") == test
            with pytest.raises(LlmattrError, match=r"has the splits train, test: say which \(--split\)"):
                read_rows(given)
            with pytest.raises(LlmattrError, match="no 'dev'"):
                read_rows(given, "dev")
        assert read_rows(tmp_path / "saved" / "test") == test

    def test_what_has_none(self, tmp_path):
        for given in ([{"text": "a"}], put(tmp_path, "a.jsonl", '{"text": "a"}')):
            with pytest.raises(LlmattrError, match="has no splits: leave out --split test"):
                read_rows(given, "test")


class TestFolders:
    def put(self, folder, *names):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            row = {"prompt": "a ", "completion": name}
            if name.endswith("parquet"):
                datasets.Dataset.from_list([row]).to_parquet(path)
            else:
                path.write_text(f"prompt,completion\na ,{name}\n" if name.lower().endswith("csv") else json.dumps(row))
        return folder

    def said(self, *given):
        return [row["completion"] for row in read_rows(*given)]

    def test_tables_of_all_kinds_one_after_the_other(self, tmp_path):
        names = ["A.JSONL", "b.ndjson", "c.csv", "deep/d.json", "e.parquet"]
        rows = open_rows(self.put(tmp_path, *names))
        assert isinstance(rows, Rows)
        assert [row["completion"] for row in rows] == [rows[i]["completion"] for i in range(5)] == names
        assert [row["completion"] for row in rows[1:4]] == names[1:4]
        assert self.said(str(tmp_path / "*.[cj]s*")) == ["c.csv"]
        assert self.said(str(tmp_path / "A.JSONL")) == ["A.JSONL"]

    def test_splits_of_a_folder_as_hubs_have_them(self, tmp_path):
        self.put(tmp_path, "data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv", "data/test.jsonl")
        (tmp_path / "README.md").write_text("# A card")
        with pytest.raises(LlmattrError, match=r"has the splits test, train: say which \(--split\)"):
            read_rows(tmp_path)
        with pytest.warns(LlmattrNote, match="left out: '.*README.md'"):
            assert self.said(tmp_path, "train") == [f"data/train-0000{i}-of-00002.csv" for i in (0, 1)]
        assert self.said(str(tmp_path / "data" / "*")) == [
            "data/test.jsonl", *(f"data/train-0000{i}-of-00002.csv" for i in (0, 1))
        ]  # fmt: skip

    def test_rows_beside_texts_are_not_guessed(self, tmp_path):
        self.put(tmp_path, "rows.jsonl")
        (tmp_path / "README.md").write_text("# A card")
        with pytest.warns(LlmattrNote, match="left out"):
            assert self.said(tmp_path) == ["rows.jsonl"]
        (tmp_path / "notes.md").write_text("A note.")
        with pytest.raises(
            LlmattrError, match=r"has rows \('.*rows.jsonl'\) and texts \('.*notes.md'\): say which by a pattern"
        ):
            read_rows(tmp_path)
        assert self.said(str(tmp_path / "*.jsonl")) == ["rows.jsonl"]

    def test_a_mistake_names_its_line_or_row(self, tmp_path):
        lines = put(tmp_path, "a.jsonl", '\n{"text": "a"}\n\n{"text": 5}\n')
        table = put(tmp_path, "a.csv", "text\na\n\nb\n")
        whole = put(tmp_path, "a.json", '[\n {"text": "a"},\n {"text": 5}\n]')
        rows = datasets.Dataset.from_dict({"text": ["a"], "n": [1]})
        rows.to_parquet(tmp_path / "a.parquet")
        with pytest.raises(LlmattrError, match=r"^line 4 of '.*a.jsonl' has no text in 'text': 5$"):
            list(inspect.unwrap(open_rows)(lines))
        with pytest.raises(LlmattrError, match=r"^row 2 of '.*a.json' has no text in 'text': 5$"):
            read_rows(whole)
        with pytest.raises(LlmattrError, match=r"^row 1 of '.*a.parquet': there is no column 'b' \(--columns\), but text, n$"):
            read_rows(tmp_path / "a.parquet", columns={"text": "b"})
        assert [open_rows(table).name(i) for i in range(2)] == [f"row {i} of '{table}'" for i in (1, 2)]
        (tmp_path / "a.json").unlink()
        lines.write_text('\n{"text": "b"}')
        assert [open_rows(tmp_path).name(i) for i in (0, 2)] == [f"row 1 of '{table}'", f"line 2 of '{lines}'"]

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("a.jsonl", '{"text": "a"}\n{"text": "b"\n', "line 2 is not JSON (Expecting ',' delimiter at column 13)"),
            ("a.json", '[{"text": "a"},\n {"text" "b"}]', "line 2, column 10 is not JSON (Expecting ':' delimiter)"),
        ],
    )
    def test_what_is_no_json_is_said_by_line_and_column(self, tmp_path, name, text, message):
        with pytest.raises(LlmattrError) as error:
            read_rows(put(tmp_path, name, text))
        assert str(error.value) == f"cannot read the data '{tmp_path / name}': {message}"

    def test_a_mistake_names_its_file(self, tmp_path):
        self.put(tmp_path, "a.jsonl", "b.jsonl")
        (tmp_path / "b.jsonl").write_text("{}\n{\n")
        with pytest.raises(LlmattrError, match=r"cannot read the data '.*b.jsonl': line 2 is not JSON"):
            read_rows(tmp_path)


class TestInMemory:
    def test_a_data_frame(self):
        frame = pd.DataFrame([{"text": "a", "id": 1}, {"text": "b", "id": None}])
        assert read_rows(frame) == [{"text": "a", "id": 1.0}, {"text": "b", "id": None}]
        with pytest.raises(LlmattrError, match="say which"):
            read_rows({"train": frame, "test": frame})

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"text": "\ud800"}, "'text' of row 1 is not valid Unicode at character 0"),
            ({"text": b"a"}, "row 1 has no text in 'text': b'a'"),
            ({"prompt": 5, "completion": "a"}, "row 1 has no text in 'prompt': 5"),
            ({"messages": "hello"}, "row 1 has no list of messages with 'role' and 'content' in 'messages': 'hello'"),
            ({"messages": []}, "row 1 has no list of messages"),
            ({"messages": [{"role": "user"}]}, "row 1 has no list of messages"),
            ({"messages": [{"role": "user", "content": "\ud800"}]}, "message 1 of row 1 is not valid Unicode"),
            ({"conversations": [{"from": "gpt"}]}, "row 1: turn 1 of 'messages', from 'gpt', has no 'value'"),
            (
                {"messages": [{"role": "alien", "content": "a"}]},
                "message 1 of row 1 has the role 'alien', which is none of system, developer, user, assistant, tool",
            ),
            ({"conversations": [{"from": "zork", "value": "a"}]}, "row 1: 'messages' has a turn from 'zork', which is none of"),
        ],
    )
    def test_rows_are_checked_as_those_of_files_are(self, tmp_path, row, message):
        given = [{"text": "a"}, row]
        with pytest.raises(LlmattrError) as error:
            read_rows(given)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
        message = message.replace("row 1", f"line 2 of '{tmp_path / 'a.jsonl'}'")
        if b"a" not in row.values() and "\\ud800" not in json.dumps(row):  # which JSON does not have, or its reader names
            with pytest.raises(LlmattrError) as error:
                list(inspect.unwrap(open_rows)(put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, given)))))
            assert message in str(error.value)

    def test_other_answerers_of_share_gpt(self):
        row = plain_row({"conversations": [{"from": "user", "value": "a"}, {"from": "bard", "value": "b"}]})
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]

    def test_what_has_no_end_or_breaks_off(self, monkeypatch):
        monkeypatch.setattr(reading, "MOST", 2)
        with pytest.raises(LlmattrError, match="the data has given 2 rows and goes on"):
            read_rows({"text": "a"} for _ in itertools.count())
        assert len(read_rows([{"text": "a"}] * 3)) == 3
        with pytest.raises(LlmattrError, match=r"the data broke off behind 1 rows \(ZeroDivisionError"):
            read_rows({"text": str(1 / i)} for i in (1, 0))


ALPACA = {"instruction": "Add.", "input": "1 and 2", "output": "3", "text": "the whole"}


class TestColumns:
    def test_names_and_texts(self):
        columns = {"prompt": "### {instruction}\n{input}\n", "completion": "output"}
        assert read_rows([ALPACA], columns=columns) == [
            {"prompt": "### Add.\n1 and 2\n", "completion": "3", "instruction": "Add.", "input": "1 and 2"}
        ]

    def test_a_column_that_is_not_there(self):
        with pytest.raises(LlmattrError, match=r"there is no column 'answer' \(--columns\), but instruction, input"):
            read_rows([ALPACA], columns={"completion": "answer"})
        with pytest.raises(LlmattrError, match="not for 'prompts'"):
            read_rows([ALPACA], columns={"prompts": "input"})

    def test_queries_need_not_have_them(self):
        query = {"prompt": "a ", "completion": "b"}
        assert read_queries(query, columns={"prompt": "q", "completion": "a"}) == [query]
        assert read_queries([{"q": "a ", "a": "b"}], columns={"prompt": "q", "completion": "a"}) == [query]


CALLED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How tall?"},
    {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "search", "arguments": {"of": "tower"}}}],
    },
    {"role": "tool", "content": "330 m.", "tool_call_id": "1"},
    {"role": "assistant", "content": "It is 330 m."},
]
ANTHROPIC = {
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "How tall?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "1", "name": "search", "input": {"of": "tower"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "330 m."}]}],
        },
        {"role": "assistant", "content": "It is 330 m."},
    ],
    "tools": [{"name": "search", "input_schema": {"type": "object"}}],
}


class TestForms:
    def test_anthropic(self):
        row = plain_row(ANTHROPIC)
        assert row["messages"] == CALLED
        assert row["tools"] == [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
        assert set(row) == {"messages", "tools"}
        assert plain_row(row) == row

    def test_share_gpt(self):
        turns = [
            {"from": "human", "value": "How tall?"},
            {"from": "function_call", "value": '{"name": "search", "arguments": {"of": "tower"}}'},
            {"from": "observation", "value": "330 m."},
            {"from": "gpt", "value": "It is 330 m."},
        ]
        found = plain_row({"conversations": turns, "system": "Be brief."})["messages"]
        assert [m["role"] for m in found] == ["system", "user", "assistant", "tool", "assistant"]
        assert found[2]["tool_calls"][0]["function"] == CALLED[2]["tool_calls"][0]["function"]
        assert found[3:] == [{"role": "tool", "content": "330 m."}, {"role": "assistant", "content": "It is 330 m."}]

    def test_parts_and_lists_of_prompt_and_completion(self):
        parts = [{"type": "text", "text": "Is "}, {"type": "text", "text": "it?"}]
        row = plain_row({"prompt": [{"role": "user", "content": parts}], "completion": "No."})
        assert row == {
            "prompt": [{"role": "user", "content": "Is it?"}],
            "completion": [{"role": "assistant", "content": "No."}],
        }

    def test_a_chat_in_a_cell(self):
        chat = [{"role": "user", "content": "a"}]
        assert plain_row({"messages": json.dumps(chat), "tools": "[]"})["messages"] == chat
        assert plain_row({"text": "[1, 2]"}) == {"text": "[1, 2]"}

    @pytest.mark.parametrize("content", [None, ""])
    def test_what_a_tool_returned_is_the_document_of_a_chat(self, content):
        chat = [CALLED[1], {**CALLED[2], "content": content}, CALLED[3]]
        said = Document("I look.", "step 2: assistant")  # with the call, in the second chat alone
        for given, before in ((chat, []), (ANTHROPIC["messages"][:3], [said])):
            found = [d for m in conversation(None, None, given) for d in m.documents]
            assert found == [*before, Document("330 m.", "step 3: result of search")]

    def test_what_was_said_before_the_question_stays_a_document(self):
        chat = [{"role": "user", "content": "It is red."}, *CALLED[1:4]]
        found = [d.text for m in conversation(None, None, chat) for d in m.documents]
        assert found == ["It is red.", "I look.", "330 m."]


NO_CALLS = "message 1 of row 0 has no list of calls, each with a name and arguments, in 'tool_calls'"
NO_PARTS = "message 1 of row 0 has a content that is no text and no list of parts"


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        *(({"content": None, "tool_calls": calls}, NO_CALLS) for calls in (5, "x", [5], [{}], [{"function": 5}])),
        *(({"content": "", "tool_calls": [call]}, NO_CALLS) for call in ({"name": 5}, {"name": "now", "arguments": 5})),
        *(({"content": [part]}, NO_PARTS) for part in (5, None, {"type": "text", "text": 5}, {"type": "text"})),
        ({"content": 5, "tool_calls": [{"name": "now"}]}, NO_PARTS),
        ({"content": [{"type": "tool_use", "input": {}}]}, NO_CALLS),
        ({"content": [{"type": "thinking", "thinking": 5}]}, "row 0 has no list of messages"),
    ],
)
def test_a_turn_that_is_none_is_refused_in_words(turn, message):
    for row in ({"messages": [{"role": "assistant", **turn}]}, {"prompt": "x", "completion": [{"role": "assistant", **turn}]}):
        with pytest.raises(LlmattrError, match=message if "messages" in row else "row 0"):
            read_rows([row])


@pytest.mark.parametrize("tools", [5, [5], "search", ["search"]])
def test_tools_that_are_none_are_refused_in_words(tools):
    with pytest.raises(LlmattrError, match="row 0 has no list of tools in 'tools'"):
        read_rows([{"messages": [{"role": "assistant", "content": "x"}], "tools": tools}])


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("read", "given", "message"),
    [
        (read_rows, [Unspeakable()], "row 0 is a Unspeakable"),
        (read_documents, Unspeakable(), "not a Unspeakable"),
        (read_documents, [Unspeakable()], "it is a Unspeakable"),
        (read_documents, [{"text": "x", "metadata": {"n": Unspeakable()}}], "document 1, a dict, cannot be read"),
        (read_documents, [{"text": "x", "metadata": {"n": 10**5000}}], "metadata of document 1 cannot be written as JSON"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(read, given, message):
    with pytest.raises(LlmattrError, match=message):
        read(given)
