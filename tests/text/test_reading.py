"""Rows as people have them: files of every kind and encoding, sets with splits, other columns, and other forms of chats."""

import json
import os

import datasets
import pytest

from llmattr.core.sources import Document
from llmattr.errors import LlmattrError
from llmattr.text.forms import plain_row
from llmattr.text.messages import conversation
from llmattr.text.reading import open_rows, read_queries, read_rows
from llmattr.text.row_files import Rows

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

    def test_latin_1_is_named(self, tmp_path):
        with pytest.raises(LlmattrError, match=r"line 2 is not UTF-8 \(byte 0xe9\): convert the file"):
            read_rows(put(tmp_path, "a.csv", "prompt,completion\nLa tour ,érigée\n", "latin-1"))

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

    def test_rows_have_only_their_own_keys(self, tmp_path):
        """A table gives every call of a tool the arguments of all others."""
        calls = [{"function": {"name": name, "arguments": {key: 1}}} for name, key in (("f", "a"), ("g", "b"))]
        rows = [{"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]} for call in calls]
        assert read_rows(put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))) == rows
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
        assert read_rows(tmp_path / "a.parquet") == rows

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
        for given in (chat, ANTHROPIC["messages"][:3]):
            found = [d for m in conversation(None, None, given) for d in m.documents]
            assert found == [Document("330 m.", "tool 3")]

    def test_what_was_said_before_the_question_stays_a_document(self):
        chat = [{"role": "user", "content": "It is red."}, *CALLED[1:4]]
        found = [d.text for m in conversation(None, None, chat) for d in m.documents]
        assert found == ["It is red.", "330 m."]
