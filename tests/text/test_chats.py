"""A chat in any form gives the same steps, under their names; a reasoning is a source, and never part of the answer."""

import json

import numpy as np
import pytest

from llmattr.errors import LlmattrError
from llmattr.text.chats import chat_of
from llmattr.text.message import take_answer
from llmattr.text.messages import conversation
from llmattr.text.prompt import Prompt, cut
from llmattr.text.split.reasoning import said_in
from tests import tiny_models
from tests.text.chat_templates import TEMPLATES

ASKED = {"role": "user", "content": "How deep is the lake?"}
THOUGHT, SAID, FOUND = "I must search. It is a lake.", "Let me look.", "The lake is deep. It is cold."
LAST, ANSWER = "So it is deep.", "It is deep."
CALL = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
OPENAI = [
    ASKED,
    {"role": "assistant", "content": SAID, "reasoning_content": THOUGHT, "tool_calls": [CALL]},
    {"role": "tool", "content": FOUND, "tool_call_id": "c"},
    {"role": "assistant", "content": ANSWER, "reasoning_content": LAST},
]
ANTHROPIC = [
    ASKED,
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": THOUGHT, "signature": "s"},
            {"type": "text", "text": SAID},
            {"type": "tool_use", "id": "c", "name": "search", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": FOUND}]}],
    },
    {"role": "assistant", "content": [{"type": "thinking", "thinking": LAST}, {"type": "text", "text": ANSWER}]},
]
RESPONSES = [
    ASKED,
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": THOUGHT}]},
    {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": SAID}]},
    {"type": "function_call", "id": "f", "call_id": "c", "name": "search", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": FOUND},
    {"type": "web_search_call", "id": "w", "status": "completed"},
    {"type": "reasoning", "id": "e", "summary": [], "encrypted_content": "x"},
    {"type": "reasoning", "id": "q", "summary": [{"type": "summary_text", "text": LAST}]},
    {"type": "message", "id": "n", "role": "assistant", "content": [{"type": "output_text", "text": ANSWER}]},
]
FORMS = {"openai": OPENAI, "anthropic": ANTHROPIC, "responses": RESPONSES}


def prompt_of(messages, template=tiny_models.CHATML, sources="sentences", step=None, **how):
    before, response = take_answer(messages)
    chat = conversation(None, None, before, step=step)
    prompt = Prompt(tiny_models.tokenizer(template), chat, cut(chat, sources), **how)
    return prompt if response is None else prompt.with_response(response)


def text_of(prompt, mask=None):
    mask = np.ones(len(prompt.sources)) if mask is None else mask
    return prompt.tokenizer.decode(prompt.render(np.array(mask, dtype=bool)).ids)


@pytest.mark.parametrize("form", FORMS)
class TestForms:
    def test_every_step_is_a_document_with_its_name(self, form):
        prompt = prompt_of(FORMS[form], sources="documents")
        steps = {document.id: document.text for document in prompt.sources.documents}
        assert steps == {"step 2: reasoning": THOUGHT, "step 2: assistant": SAID, "step 3: result of search": FOUND}
        assert prompt.response == f"<think>\n{LAST}\n</think>\n\n{ANSWER}"

    def test_the_prompt_is_that_of_the_first(self, form):
        assert text_of(prompt_of(FORMS[form], TEMPLATES["qwen 3"])) == text_of(prompt_of(OPENAI, TEMPLATES["qwen 3"]))

    def test_from_a_file(self, form):
        again = chat_of(json.dumps(FORMS[form], indent=1), "chat.json").messages
        by_line = chat_of("\n".join(map(json.dumps, FORMS[form])), "chat.jsonl").messages
        assert again == by_line == FORMS[form]


class TestReasoning:
    def test_it_stands_where_the_template_writes_it_and_goes_when_it_is_removed(self):
        prompt = prompt_of(OPENAI, TEMPLATES["qwen 3"])
        assert list(prompt.sources.texts[:2]) == ["I must search.", "It is a lake."]
        assert f"<think>\n{THOUGHT}\n</think>\n\n{SAID}" in text_of(prompt)
        assert f"<think>\nIt is a lake.\n</think>\n\n{SAID}" in text_of(prompt, [0, 1, 1, 1, 1])
        assert "I must" not in text_of(prompt, [0, 0, 1, 1, 1])
        assert prompt.lost() == []
        decode, (ids, _, spans) = prompt.tokenizer.decode, prompt.full()
        assert [decode(ids[a:b]).strip() for a, b in spans] == list(prompt.sources.texts)

    def test_a_template_that_knows_of_none_has_it_before_what_was_said(self):
        prompt = prompt_of(OPENAI)
        assert f"<|im_start|>assistant\n<think>\n{THOUGHT}\n</think>\n\n{SAID}<|im_end|>" in text_of(prompt)
        assert f"<|im_start|>assistant\n{SAID}<|im_end|>" in text_of(prompt, [0, 0, 1, 1, 1])

    def test_in_the_content_it_is_a_document_between_its_marks(self):
        inside = [ASKED, {"role": "assistant", "content": f"<think>\n{THOUGHT}\n</think>\n\n{SAID}"}, ASKED]
        prompt = prompt_of(inside)
        names = [document.id for document in prompt.sources.documents]
        assert names == ["step 1: user", "step 2: reasoning", "step 2: assistant"]
        assert f"<think>\n{THOUGHT}\n</think>\n\n{SAID}" in text_of(prompt)
        assert "<think>\n\n</think>\n\nLet me look." in text_of(prompt, [1, 0, 0, 1])

    def test_it_is_never_part_of_the_answer(self):
        assert prompt_of(OPENAI).targets().texts == [ANSWER, ANSWER]
        assert prompt_of(OPENAI, target="reasoning").targets().texts == [LAST, LAST]
        two = [*OPENAI[:3], {**OPENAI[3], "reasoning_content": "So. It is deep.", "content": "Deep. Very."}]
        assert prompt_of(two).targets().texts == ["Deep. Very.", "Deep.", "Very."]
        assert prompt_of(two, target="reasoning").targets().texts == ["So. It is deep.", "So.", "It is deep."]

    def test_without_one_it_is_no_target(self):
        with pytest.raises(LlmattrError, match="has no reasoning"):
            prompt_of([*OPENAI[:3], {"role": "assistant", "content": ANSWER}], target="reasoning").targets()

    def test_an_answer_that_was_cut_off_in_it_is_said(self):
        prompt = prompt_of([*OPENAI[:3], {"role": "assistant", "content": "<think>\nSo it is"}])
        assert prompt.targets().texts[0] == "So it is"
        assert "no answer behind it" in prompt.oddities()[0]

    def test_a_mark_that_the_template_opens_is_not_written_twice(self):
        opens = tiny_models.CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif")
        assert text_of(prompt_of(OPENAI, opens)).endswith(f"assistant\n<think>\n{LAST}\n</think>\n\n{ANSWER}")

    def test_said_in_leaves_marks_and_white_space_out(self):
        text = " <think> a </think> b\n<think>c</think>"
        assert [text[a:b] for a, b in said_in(text, thinks=True)] == ["a", "c"]
        assert [text[a:b] for a, b in said_in(text)] == ["b"]

    @pytest.mark.parametrize(
        ("text", "thought", "answer"),
        [
            ("Thought: I know it now.\nFinal Answer: It is deep.", ["Thought: I know it now."], ["It is deep."]),
            ("**Final Answer:** It is deep.", [], ["It is deep."]),
            ("We add 1 and 1.\nFinal answer: 2", [], ["We add 1 and 1.\nFinal answer: 2"]),
            ("Thought: `Final answer:` comes last.", [], ["Thought: `Final answer:` comes last."]),
        ],
    )
    def test_the_final_answer_of_react_stands_behind_its_thoughts(self, text, thought, answer):
        assert [text[a:b] for a, b in said_in(text, thinks=True) if b > a] == thought
        assert [text[a:b] for a, b in said_in(text) if b > a] == answer


class TestSteps:
    def test_the_system_and_the_question_are_no_sources_and_do_not_count(self):
        chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "I am Ann."}]
        prompt = prompt_of([*chat, {"role": "assistant", "content": "Hi."}, ASKED])
        assert [(d.id, d.text) for d in prompt.sources.documents] == [
            ("step 1: user", "I am Ann."),
            ("step 2: assistant", "Hi."),
        ]

    @pytest.mark.parametrize("found", ["Observation: ", "**Observation 1:**\n", "<tool_response>", "Tool output: "])
    def test_what_an_action_found_is_a_result_in_whosever_name(self, found):
        looked = {"role": "assistant", "content": "Thought: I must look.\nAction: search[lake]"}
        chat = [ASKED, looked, {"role": "user", "content": f"{found}{FOUND}"}, {"role": "assistant", "content": ANSWER}]
        steps = {document.id: document.text for document in prompt_of(chat, sources="documents").sources.documents}
        assert steps == {"step 2: assistant": looked["content"], "step 3: result of search": f"{found}{FOUND}"}
        asked = [ASKED, {"role": "assistant", "content": SAID}, {"role": "user", "content": f"My {found}{FOUND}"}, chat[-1]]
        assert "step 3: user" not in [document.id for document in prompt_of(asked).sources.documents]  # it asks

    def test_observations_behind_several_actions_are_named_in_their_order(self):
        looked = {"role": "assistant", "content": "Thought: both.\nAction: search[lake]\nAction 2: weather[lake]"}
        found = [{"role": "user", "content": f"Observation: {text}"} for text in ("It is a lake.", "It rains.", "More.")]
        prompt = prompt_of([ASKED, looked, *found, OPENAI[3]], sources="documents")
        assert [document.id for document in prompt.sources.documents] == [
            "step 2: assistant", "step 3: result of search", "step 4: result of weather", "step 5: result of weather",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("step", "names"),
        [
            (1, ["step 1: user"]),  # which asks
            (2, ["step 2: reasoning", "step 2: assistant"]),
            (3, ["step 3: result of search"]),
        ],
    )
    def test_one_step_alone_can_be_removed(self, step, names):
        chat = [{"role": "system", "content": "Be brief."}, *OPENAI]
        prompt, whole = prompt_of(chat, step=step), prompt_of(chat)
        assert [document.id for document in prompt.sources.documents] == names
        assert text_of(prompt) == text_of(whole)
        removed = text_of(prompt, np.zeros(len(prompt.sources)))
        assert {text in removed for text in prompt.sources.texts} == {False}
        others = {said for said in ("Be brief.", ASKED["content"], THOUGHT, SAID, FOUND) if said not in removed}
        assert others == {1: {ASKED["content"]}, 2: {THOUGHT, SAID}, 3: {FOUND}}[step]

    @pytest.mark.parametrize(
        ("chat", "given", "said"),
        [
            (OPENAI[:3], {"step": 4}, "step 4 is not there: before the answer are 3; steps are the chat's turns"),
            (
                [ASKED, {**OPENAI[1], "content": None, "reasoning_content": None}, OPENAI[2]],
                {"step": 2},
                "step 2 only calls tools",
            ),
            (OPENAI[:3], {"step": 3, "context": FOUND}, "the chat's steps are no sources: it has documents of its own"),
            (None, {"step": 3, "context": FOUND, "query": "How deep?"}, "step 3 is one of a chat: give messages"),
        ],
    )
    def test_a_step_that_is_none_is_one_line(self, chat, given, said):
        with pytest.raises(LlmattrError, match=said):
            conversation(**{"context": None, "query": None, **given}, messages=chat)

    @pytest.mark.parametrize(
        ("silent", "says"),
        [
            ({"content": None}, ""),
            ({"content": None, "refusal": "I will not."}, "I will not."),
            ({"content": [{"type": "refusal", "refusal": "I will not."}]}, "I will not."),
        ],
    )
    def test_an_assistant_that_says_nothing_or_refuses(self, silent, says):
        turn = {"role": "assistant", **silent}
        steps = {d.id: d.text for d in prompt_of([ASKED, turn, ASKED, OPENAI[3]]).sources.documents}
        assert steps == {"step 1: user": ASKED["content"], **({"step 2: assistant": says} if says else {})}
        assert take_answer([ASKED, turn])[1] == says

    def test_an_assistant_alone_was_asked_nothing(self):
        with pytest.raises(LlmattrError, match="messages has only what the assistant said: put in what it was asked"):
            take_answer([OPENAI[3]])
        assert take_answer([OPENAI[3]], "How deep?") == ([OPENAI[3]], None)

    def test_a_call_at_the_end_is_what_is_attributed(self):
        assert prompt_of(OPENAI[:2]).response.endswith("Let me look.\nsearch({})")

    def test_a_question_behind_the_answer_leaves_the_answer_in_the_chat(self):
        chat = [ASKED, {"role": "assistant", "content": ANSWER}]
        assert take_answer(chat, "And how cold?") == (chat, None)
        assert take_answer([{"role": "user", "content": "{query}"}, chat[1]], "How deep?")[1] == ANSWER

    @pytest.mark.parametrize(
        ("chat", "message"),
        [
            ([ASKED, OPENAI[3], OPENAI[3]], "messages 2 and 3 are both the assistant's"),
            ([ASKED, OPENAI[2]], "message 2 is the result of a call 'c', which no message before it makes"),
            ([ASKED, OPENAI[2], OPENAI[1]], "message 2 is the result of a call 'c'"),
            ([ASKED, {"role": "assistant", "content": None, "tool_calls": "search"}], "tool_calls of message 2"),
            ([{"type": "reasoning", "summary": []}], "nothing that was said"),
        ],
    )
    def test_turns_that_cannot_follow_one_another(self, chat, message):
        with pytest.raises(LlmattrError, match=message):
            conversation(None, None, chat)


class TestFiles:
    def test_a_request_with_all_that_stands_beside_the_messages(self):
        tools = [{"name": "search", "input_schema": {}}]
        found = chat_of(json.dumps({"system": "Be brief.", "tools": tools, "messages": [ASKED]}), "c.json")
        assert found == ([{"role": "system", "content": "Be brief."}, ASKED], tools)
        asked = chat_of(json.dumps({"instructions": "Be brief.", "input": "How?", "output": RESPONSES[-1:]}), "c.json")
        assert [m["role"] for m in asked.messages] == ["system", "user", "assistant"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "chat.json is empty"),
            ("Hello.", "chat.json is no JSON"),
            ('{"a": 1}', "it has 'a', and no 'messages'"),
            ("[1, 2]", "it must be a list of messages"),
            ('{"messages": 3}', "it must be a list of messages"),
            ('{"role": "user", "content": "a"}\n\n{"role"', "line 3 of chat.json is no JSON"),
            ('{"messages": [{}]}\n{"messages": [{}]}', "a chat a line"),
        ],
    )
    def test_what_is_no_chat(self, text, message):
        with pytest.raises(LlmattrError, match=message):
            chat_of(text, "chat.json")
