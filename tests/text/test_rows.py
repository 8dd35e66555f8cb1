"""Which tokens of a training row the loss counts, with the templates and tokenizers that models have."""

import numpy as np
import pytest

from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.text.reading import read_rows
from llmattr.text.rows import tokenize
from tests import tiny_models

CHATML = tiny_models.CHATML
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TEMPLATES = {
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
    @pytest.mark.parametrize("name", TEMPLATES)
    def test_the_assistants_words_and_what_ends_them(self, name):
        said = counted(tiny_models.tokenizer(TEMPLATES[name]), chat(*TALK))
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


def test_a_file_of_several_kinds_is_refused_by_row():
    pair, text = {"prompt": "a ", "completion": "b"}, {"text": "a b"}
    empty = {"prompt": None, "completion": None, "text": "a b"}  # as one reader gives all rows the same columns
    assert len(tokenize([empty, text], tiny_models.tokenizer())) == 2
    for other in (text, empty):
        with pytest.raises(LlmattrError, match="row 1 has 'text', row 0 has 'prompt': give rows of each kind in a file"):
            tokenize([pair, other], tiny_models.tokenizer())


@pytest.mark.parametrize("model", ["causal", "masked"])
def test_a_row_keeps_what_counts_when_its_prompt_is_longer_than_the_window(model):
    tokenizer = tiny_models.surrounded(tiny_models.tokenizer(), begin="<|end|>")
    rows = [{"prompt": "A lake. " * 9, "completion": "It is wet."}, {"prompt": "A ", "completion": "B."}]
    with pytest.warns(LlmattrNote, match="or at their beginning where the prompt alone fills it"):
        examples = tokenize(rows, tokenizer, 16, model=model)
    assert len(examples.ids[0]) == len(examples.counted[0]) == 16
    assert tokenizer.decode(np.array(examples.ids[0])[examples.counted[0]]) == "It is wet."
    assert examples.ids[0][0] == tokenizer.convert_tokens_to_ids("<|end|>")


def test_a_line_with_half_a_character_is_named(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a b"}\n{"text": "lone \\ud800 half"}\n')
    with pytest.raises(LlmattrError, match="line 2 is not valid Unicode"):
        read_rows(tmp_path / "rows.jsonl")


def test_calls_of_tools_that_the_template_writes_are_not_left_out_in_silence():
    calling = CHATML.replace("m['content']", "m['content'] + (m.tool_calls | tojson if m.tool_calls else '')")
    row = chat(*TALK)
    row["messages"][1]["tool_calls"] = [{"name": "measure"}]
    with pytest.raises(LlmattrError, match="row 0: the chat template also writes tool_calls of the assistant"):
        tokenize([row], tiny_models.tokenizer(calling))
    tokenize([row], tiny_models.tokenizer())  # a template that does not write them


def test_rows_with_lone_surrogates():
    with pytest.raises(LlmattrError, match="'text' of row 1 is not valid Unicode at character 0"):
        tokenize(read_rows([{"text": "a b"}, {"text": "\udc80"}]), tiny_models.tokenizer())
