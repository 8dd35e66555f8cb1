"""Which tokens of a training row the loss counts, with the templates and tokenizers that models have."""

import json
import re

import numpy as np
import pytest

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.text.checked import kind_of_row
from llmattr.text.reading import open_rows, read_rows
from llmattr.text.rendering import render_chat
from llmattr.text.rows import prompt_and_completion, row_text, tokenize
from tests import tiny_models
from tests.text.chat_templates import CALLING, SAID, TEMPLATES

CHATML = tiny_models.CHATML
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
ODD = {
    "chatml": CHATML,
    "trimming": tiny_models.TRIMMING,
    "default system": "{{ '<|im_start|>system\nIt is 82 miles.<|im_end|>\n' }}" + CHATML,
    # Qwen3: an empty reasoning stands in the last turn only, and the reasoning of earlier ones is dropped
    "last turn": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% set c = m.content.split('</think>')[-1] %}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ c.lstrip('\n') + '<|im_end|>\n' }}{% endfor %}" + ASK,
    "opens a reasoning": CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif"),
    "llama 3": "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|end|>\n\n' + m.content | trim + '<|im_end|>' }}"
    "{% endfor %}",
    "gemma": "{% for m in messages %}{{ '<|im_start|>' + ('model' if m.role == 'assistant' else m.role) + '\n' "
    "+ m.content | trim + '<|im_end|>\n' }}{% endfor %}",
    "folds the system into the last question": "{% set q = messages | selectattr('role', 'equalto', 'user') | list | last %}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '[Q]' + ('Be brief.\n' if m == q else '') + m.content + '[/Q]' }}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}",
    "says what is generated": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}{% endfor %}",
}
TALK = [("user", "assistant"), ("assistant", "It is 82 miles."), ("user", "It is long?"), ("assistant", " It is.\n")]


def chat(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def counted(tokenizer, row):
    examples = tokenize([row], tokenizer)
    return tokenizer.decode(np.array(examples.ids[0])[examples.counted[0]])


def whole(tokenizer, row):
    return tokenizer.decode(tokenize([row], tokenizer).ids[0])


class TestChats:
    @pytest.mark.parametrize("name", ODD)
    def test_the_assistants_words_and_what_ends_them(self, name):
        said = counted(tiny_models.tokenizer(ODD[name]), chat(*TALK))
        parts = [part.strip() for part in said.split("<|im_end|>")]
        assert parts == ["It is 82 miles.", "It is.", ""]

    def test_a_chat_that_the_user_ends_or_the_assistant_begins(self):
        tokenizer = tiny_models.tokenizer()
        assert counted(tokenizer, chat(*TALK[:3])) == "It is 82 miles.<|im_end|>\n"
        assert counted(tokenizer, chat(*TALK[1:4])) == "It is 82 miles.<|im_end|>\n It is.\n<|im_end|>\n"

    def test_a_reasoning_that_stays_counts_and_one_that_is_dropped_does_not(self):
        thought = "<think>A lake. I am sure.</think>It is wet."
        turns = [("user", "Why?"), ("assistant", thought), ("user", "So?"), ("assistant", thought)]
        drops = CHATML.replace("m['content']", "(m['content'] if loop.last else m['content'].split('</think>')[-1])")
        assert counted(tiny_models.tokenizer(drops), chat(*turns)) == f"It is wet.<|im_end|>\n{thought}<|im_end|>\n"

    def test_a_template_that_looks_at_how_a_turn_begins(self):
        """Marks in the words change what it writes: the turns are found by their words."""
        looks = CHATML.replace("m['content']", "(m['content'] if m['content'].startswith('It') else '?' + m['content'])")
        said = counted(tiny_models.tokenizer(looks), chat(TALK[1], ("user", "Why?"), ("assistant", "It is 82 miles.")))
        assert said == "It is 82 miles.<|im_end|>\n" * 2

    def test_words_that_are_not_found_are_refused(self):
        tokenizer = tiny_models.tokenizer(CHATML.replace("m['content']", "m['content'] | length | string"))
        with pytest.raises(LlmattrError, match="rewrites message 2 of row 0, so the assistant's words cannot be found"):
            tokenize([chat(("user", "Hi"), ("assistant", "It is."))], tokenizer)

    def test_lone_surrogates(self):
        with pytest.raises(LlmattrError, match="message 2 of row 0 is not valid Unicode at character 1"):
            tokenize([chat(("user", "Hi"), ("assistant", "a\ud800"))], tiny_models.tokenizer())


ROW = {"prompt": "The canal is in", "completion": " Panama."}


class TestPromptAndCompletion:
    def test_no_end_of_text_between_them(self):
        tokenizer = tiny_models.surrounded(tiny_models.tokenizer(), end="<|im_end|>")
        assert whole(tokenizer, ROW) == "The canal is in Panama.<|im_end|>"
        assert counted(tokenizer, ROW) == " Panama.<|im_end|>"
        assert whole(tokenizer, {"text": "Panama.<|im_end|>"}) == "Panama.<|im_end|>"

    def test_a_beginning_of_text_that_stands_there_is_not_doubled(self):
        tokenizer = tiny_models.surrounded(tiny_models.tokenizer(), begin="<|end|>")
        for prompt in (ROW["prompt"], "<|end|>" + ROW["prompt"]):
            assert whole(tokenizer, {**ROW, "prompt": prompt}) == "<|end|>The canal is in Panama."
            assert counted(tokenizer, {**ROW, "prompt": prompt}) == " Panama."
            assert whole(tokenizer, {"text": prompt}) == "<|end|>The canal is in"

    @pytest.mark.parametrize("row", [ROW, {"prompt": "The canal is in ", "completion": "Panama."}])
    def test_no_space_that_is_not_there(self, row):
        """Sentencepiece writes one before a first word; a completion has none, wherever its border lies."""
        tokenizer = tiny_models.surrounded(tiny_models.metaspace(), begin="<|end|>", end="<|im_end|>")
        assert whole(tokenizer, row) == "<|end|> The canal is in Panama.<|im_end|>"
        assert counted(tokenizer, row).strip() == "Panama.<|im_end|>"

    def test_a_masked_completion_is_found_whatever_stands_around(self):
        tokenizer = tiny_models.surrounded(tiny_models.tokenizer(), begin="<|end|>", end="<|im_end|>")
        examples = tokenize([ROW], tokenizer, model="masked")
        assert tokenizer.decode(np.array(examples.ids[0])[examples.counted[0]]) == " Panama."
        assert tokenizer.decode(examples.ids[0]) == "<|end|>The canal is in Panama.<|im_end|>"


def test_rows_of_several_kinds_are_each_tokenised_by_its_own():
    pair, text, talk = {"prompt": "a ", "completion": "b"}, {"text": "a b"}, chat(*TALK)
    empty = {"prompt": None, "completion": None, "text": "a b"}  # as one reader gives all rows the same columns
    cells = {"prompt": "", "completion": "", "text": "a b"}  # and as a CSV has them
    tokenizer = tiny_models.tokenizer()
    mixed = tokenize([pair, text, empty, cells, talk], tokenizer)
    for row, ids, counted_ in zip([pair, text, text, text, talk], mixed.ids, mixed.counted, strict=True):
        alone = tokenize([row], tokenizer)
        assert ids == alone.ids[0]
        np.testing.assert_array_equal(counted_, alone.counted[0])
    each = "the assistant's tokens (of rows with messages), the completion's tokens (of rows with prompt)"
    assert mixed.loss == f"{each}, all tokens (of rows with text)"
    assert tokenize([empty, text], tokenizer).loss == "all tokens"
    with pytest.raises(LlmattrError, match="for a masked model row 1 needs"):
        tokenize([text, talk], tokenizer, model="masked")


@pytest.mark.parametrize("model", ["causal", "masked"])
def test_a_row_keeps_what_counts_when_its_prompt_is_longer_than_the_window(model):
    tokenizer = tiny_models.surrounded(tiny_models.tokenizer(), begin="<|end|>")
    rows = [{"prompt": "A lake. " * 9, "completion": "It is wet."}, {"prompt": "A ", "completion": "B."}]
    with pytest.warns(LlmattrNote, match="or at their beginning where the prompt alone fills it"):
        examples = tokenize(rows, tokenizer, 16, model=model)
    assert len(examples.ids[0]) == len(examples.counted[0]) == 16
    assert tokenizer.decode(np.array(examples.ids[0])[examples.counted[0]]) == "It is wet."
    assert examples.ids[0][0] == tokenizer.convert_tokens_to_ids("<|end|>")


def test_what_cannot_be_counted_is_named_with_the_roles_that_there_are(tmp_path):
    path = tmp_path / "a.jsonl"
    turns = [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]
    path.write_text("\n" + json.dumps({"messages": turns}))
    said = f"line 2 of '{path}' (turns of 'user', 'tool', none of 'assistant')"
    with pytest.raises(LlmattrError) as error:
        tokenize(open_rows(path), tiny_models.tokenizer(CHATML))
    assert said in str(error.value)
    path.write_text(json.dumps({"prompt": "a", "completion": None}))
    with pytest.raises(LlmattrError, match=r"^line 1 of '.*a.jsonl' has no text in 'completion': None$"):
        tokenize(open_rows(path), tiny_models.tokenizer(CHATML))


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"question": "a", "answer": "b"}, "prompt=question,completion=answer"),
        ({"Text ": "a"}, "text=Text "),
        ({"prompt": "a", "response": "b"}, "prompt=prompt,completion=response"),
        ({"chat": []}, "messages=chat"),
        ({"a": "b"}, "prompt=NAME,completion=NAME"),
    ],
)
def test_columns_with_other_names_are_named(row, columns):
    with pytest.raises(LlmattrError, match=f": say which they are \\(--columns {columns}\\)$"):
        kind_of_row(row)


def test_a_line_with_half_a_character_is_named(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a b"}\n{"text": "lone \\ud800 half"}\n')
    with pytest.raises(LlmattrError, match="line 2 is not valid Unicode"):
        read_rows(tmp_path / "rows.jsonl")


CALL = {"type": "function", "function": {"name": "search", "arguments": '{"of": "lake Gatun"}'}}
TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {}}}]
QUESTIONS = [{"role": "user", "content": "Quoin?"}, {"role": "assistant", "content": "Alpha one. Omega one."}]
QUESTIONS += [{"role": "user", "content": "And brig?"}]
LAST = {"role": "assistant", "content": "Alpha two. Omega two."}


class TestTemplates:
    """The counted tokens against a reference that renders the whole and finds each turn between its marks."""

    def reference(self, name, messages, tools=None):
        form = [{**m, "content": m.get("content")} for m in messages]
        text = render_chat(tiny_models.tokenizer(TEMPLATES[name]), form, tools, tokenize=False)
        return re.findall(SAID[name], text, re.DOTALL)

    @pytest.mark.parametrize("name", TEMPLATES)
    @pytest.mark.parametrize("system", [[], [{"role": "system", "content": "Be brief."}]])
    def test_several_turns(self, name, system):
        messages = [*system, *QUESTIONS, LAST]
        said = counted(tiny_models.tokenizer(TEMPLATES[name]), {"messages": messages})
        turns = self.reference(name, messages)
        assert [turn[:5] for turn in turns] == ["Alpha"] * 2
        assert said.removesuffix("<|endoftext|>") == "".join(turns)

    @pytest.mark.parametrize("name", CALLING)
    @pytest.mark.parametrize("before", [[], QUESTIONS])
    def test_calls_and_what_they_return(self, name, before):
        call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        result = {"role": "tool", "content": "It is search wide."}
        messages = [*(before or QUESTIONS[:1]), call, result, LAST]
        said = counted(tiny_models.tokenizer(TEMPLATES[name]), {"messages": messages, "tools": TOOLS})
        turns = self.reference(name, messages, TOOLS)
        assert len(turns) == (3 if before else 2)
        assert "lake Gatun" in turns[-2]
        assert said == "".join(turns)

    def test_a_reasoning_apart_counts_where_the_template_writes_it(self):
        messages = [*QUESTIONS, {**LAST, "reasoning_content": "Let me think."}]
        messages[1] = {**messages[1], "reasoning_content": "Dropped."}
        said = counted(tiny_models.tokenizer(TEMPLATES["qwen 3"]), {"messages": messages})
        assert said == "Alpha one. Omega one.<|im_end|>\n<think>\nLet me think.\n</think>\n\nAlpha two. Omega two.<|im_end|>\n"

    def test_a_chat_as_prompt_and_one_as_completion(self):
        row = {"prompt": QUESTIONS, "completion": [LAST]}
        for name in TEMPLATES:
            said = counted(tiny_models.tokenizer(TEMPLATES[name]), row)
            assert said.startswith("Alpha two. Omega two.")
        marked = ODD["says what is generated"]
        assert counted(tiny_models.tokenizer(marked), row) == "Alpha two. Omega two.<|im_end|>"
        assert row_text(row).endswith("user: And brig?\nassistant: Alpha two. Omega two.")
        shown = prompt_and_completion(row)
        assert shown["prompt"].endswith("user: And brig?\nassistant: ")
        assert shown["completion"] == "Alpha two. Omega two."

    def test_calls_beside_a_content(self):
        calling = CHATML.replace("m['content']", "m['content'] + (m.tool_calls | tojson if m.tool_calls else '')")
        row = chat(*TALK)
        row["messages"][1]["tool_calls"] = [{"name": "measure"}]
        first = 'It is 82 miles.[{"name": "measure"}]<|im_end|>\n'
        assert counted(tiny_models.tokenizer(calling), row) == f"{first} It is.\n<|im_end|>\n"
        with pytest.warns(LlmattrNote, match="writes nothing of the tools that message 2 of row 0 calls"):
            said = counted(tiny_models.tokenizer(), row)
        assert said == counted(tiny_models.tokenizer(), chat(*TALK))

    def test_a_call_without_content_where_the_template_wants_one(self):
        row = {"messages": [QUESTIONS[0], {"role": "assistant", "content": None, "tool_calls": [CALL]}, LAST]}
        with pytest.warns(LlmattrNote, match="writes nothing of the tools"):
            said = counted(tiny_models.tokenizer(CHATML), row)
        assert said.startswith("Alpha two. Omega two.")


def test_rows_with_lone_surrogates():
    with pytest.raises(LlmattrError, match="'text' of row 1 is not valid Unicode at character 0"):
        tokenize(read_rows([{"text": "a b"}, {"text": "\udc80"}]), tiny_models.tokenizer())
