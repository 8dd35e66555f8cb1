"""What the model reads under a mask, and where sources and response stand in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmattr.context.removal.zoom import parts_of
from llmattr.errors import LlmattrError, LlmattrNote
from llmattr.text.messages import PLAIN_TEMPLATE, TEMPLATE, conversation
from llmattr.text.prompt import Prompt, cut
from tests import tiny_models

CHAT, PLAIN = tiny_models.tokenizer(), tiny_models.tokenizer(template=None)
TRIMMING = tiny_models.tokenizer(tiny_models.TRIMMING)
TOKENIZERS = [CHAT, PLAIN, TRIMMING]

DOCUMENTS = [
    {"text": "# Canal\n\nIt is long.  It is wide.\nIt is wet.", "title": "Panama", "id": "p"},
    {"text": "Suez is older. It has no locks.", "id": "s"},
]


def make(tokenizer=CHAT, context=DOCUMENTS, query="How long?", sources="sentences", **chat):
    chat = conversation(context, query, template=TEMPLATE if tokenizer.chat_template else PLAIN_TEMPLATE, **chat)
    return Prompt(tokenizer, chat, cut(chat, sources))


def text_of(prompt, mask):
    ids, response, _ = prompt.render(np.array(mask, dtype=bool))
    return prompt.tokenizer.decode(ids[: response.start])


def kept(prompt, mask):
    """What stands between the template's words."""
    return text_of(prompt, mask).split("Context: ")[1].split("\n\nQuery:")[0]


def test_sources_keep_their_document_and_characters():
    sources = make().sources
    assert list(sources.texts) == ["# Canal", "It is long.", "It is wide.", "It is wet.", "Suez is older.", "It has no locks."]
    assert sources.groups.tolist() == [0, 0, 0, 0, 1, 1]
    assert sources.ids == ["p#0", "p#1", "p#2", "p#3", "s#0", "s#1"]
    for i, (start, end) in enumerate(sources.spans):
        assert sources.document(i).text[start:end] == sources.texts[i]


def test_documents_as_sources_keep_the_users_ids():
    assert make(sources="documents").sources.ids == ["p", "s"]
    chunks = [{"text": "one", "id": "x"}, {"text": "two", "id": "x"}]
    assert make(context=chunks, sources="documents").sources.ids == ["x#0", "x#1"]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_kept_parts_are_joined_as_they_stood(tokenizer):
    prompt = make(tokenizer)
    assert kept(prompt, [1] * 6) == "Panama\n# Canal\n\nIt is long.  It is wide.\nIt is wet.\n\nSuez is older. It has no locks."
    assert kept(prompt, [0, 1, 0, 1, 0, 1]) == "Panama\nIt is long.\nIt is wet.\n\nIt has no locks."
    assert kept(prompt, [0, 0, 0, 0, 1, 0]) == "Suez is older."
    assert kept(prompt, [0] * 6) == ""


def test_as_context_cite_the_separator_before_a_part_goes_with_it():
    context = "A one.  B two.\nC three."
    prompt = make(context=context)
    assert kept(prompt, [1, 0, 1]) == "A one.\nC three."
    assert kept(prompt, [0, 1, 1]) == "B two.\nC three."


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(mask=st.lists(st.booleans(), min_size=6, max_size=6), words=st.booleans())
def test_source_tokens_decode_to_the_source(tokenizer, mask, words):
    prompt = make(tokenizer, sources="words" if words else "sentences").with_response("It is long.")
    mask = np.resize(np.array(mask), len(prompt.sources))
    ids, _, spans = prompt.render(mask)
    for i, (first, last) in enumerate(spans):
        decoded = tokenizer.decode(ids[first:last]).strip()
        assert decoded == (prompt.sources.texts[i] if mask[i] else "")


def test_a_token_that_straddles_two_sources_belongs_to_the_one_in_which_it_begins():
    # "ab" is cut into the sources "a" and "b", but a merge makes it one token.
    tokenizer = tiny_models.tokenizer()
    word = next(t for t in ("the", "in", "on") if len(tokenizer(t)["input_ids"]) == 1)
    prompt = make(tokenizer, context=f"- {word} -", sources=lambda text: ["-", word[:1], word[1:] + " -"])
    _, _, spans = prompt.full()
    assert (spans[1, 1] - spans[1, 0], spans[2, 0]) == (1, spans[1, 1])
    assert prompt.tokenizer.decode(prompt.full().ids[slice(*spans[1])]).strip() == word


@settings(max_examples=60, deadline=None)
@given(response=st.text(min_size=1).filter(str.strip) | st.just("Ça va 😀? Ja.\n\n- 中文 e\u0301"))
def test_response_tokens_cover_their_characters(response):
    prompt = make().with_response(response)
    tokens = prompt.response_tokens(np.array([[i, i + 1] for i, c in enumerate(response) if not c.isspace()]))
    assert (tokens[:, 0] < tokens[:, 1]).all()
    assert prompt.response_tokens(np.array([[0, len(response)]])).tolist() == [[0, len(prompt.response_ids)]]


def test_sentences_of_a_response_share_its_tokens_out():
    prompt = make().with_response("It is long. It is wide.\n\nIt is wet.")
    targets = prompt.targets()
    assert targets.texts[0] == prompt.response
    assert list(targets.texts[1:]) == ["It is long.", "It is wide.", "It is wet."]
    tokens = prompt.response_tokens(targets.spans)
    decoded = [prompt.tokenizer.decode(prompt.response_ids[a:b]).strip() for a, b in tokens]
    assert decoded == list(targets.texts)


def test_generated_tokens_are_taken_as_they_are_and_the_end_of_text_is_dropped():
    # "long" spelled out letter by letter: not how the tokenizer would write it.
    ids = [i for letter in "long 😀 so" for i in CHAT(letter)["input_ids"]]
    prompt = make().with_generated([*ids, CHAT.eos_token_id])
    assert prompt.response == "long 😀 so"
    assert list(prompt.response_ids) == ids
    face = prompt.response_tokens(np.array([[5, 6]]))[0]
    assert CHAT.decode(ids[slice(*face)]).strip() == "😀"
    assert prompt.response_tokens(np.array([[0, 4], [7, 9]])).tolist() == [[0, 4], [len(ids) - 2, len(ids)]]


def test_a_response_is_tokenised_as_it_stands_behind_the_prompt():
    prompt = make().with_response("It is long.")
    whole = prompt.tokenizer(text_of(prompt, [1] * 6) + "It is long.", add_special_tokens=False)["input_ids"]
    assert prompt.full().ids == whole


def test_a_template_that_trims_or_refuses():
    trimmed = make(TRIMMING, messages=[{"role": "user", "content": "\n {context} \n"}], query=None)
    ids, _, spans = trimmed.full()
    assert TRIMMING.decode(ids[slice(*spans[-1])]).strip() == "It has no locks."
    refusing = make(tiny_models.tokenizer(tiny_models.NO_SYSTEM), messages=[{"role": "system", "content": "Be brief."}])
    with pytest.raises(LlmattrError, match="chat template refuses messages from system, user: no system turn"):
        refusing.full()


class TestMessages:
    """Where the documents stand in a chat."""

    def spoken(self, prompt):
        return [(m.role, "".join(p if isinstance(p, str) else "<docs>" for p in m.parts)) for m in prompt.messages]

    def test_a_placeholder_anywhere(self):
        chat = [
            {"role": "system", "content": "Use this: {context}"},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Tell me: {query}"},
        ]
        prompt = make(messages=chat)
        assert self.spoken(prompt) == [
            ("system", "Use this: <docs>"),
            ("user", "Hello"),
            ("assistant", "Yes?"),
            ("user", "Tell me: How long?"),
        ]
        assert len(prompt.sources) == 6

    def test_the_documents_own_text(self):
        chat = [
            {"role": "system", "content": f"First: {DOCUMENTS[0]['text']}"},
            {"role": "tool", "content": DOCUMENTS[1]["text"]},
        ]
        prompt = make(messages=chat)
        assert self.spoken(prompt) == [("system", "First: <docs>"), ("tool", "<docs>"), ("user", "How long?")]
        assert "Panama" not in text_of(prompt, [1] * 6)  # the title was not in the message, so it is not added
        assert prompt.sources.ids[-1] == "s#1"

    def test_documents_marked_in_the_content(self):
        content = [{"type": "text", "text": "Read: "}, {"type": "document", **DOCUMENTS[1]}, "Now answer."]
        prompt = make(context=None, query=None, messages=[{"role": "user", "content": content}])
        assert self.spoken(prompt) == [("user", "Read: <docs>Now answer.")]
        assert list(prompt.sources.texts) == ["Suez is older.", "It has no locks."]

    @pytest.mark.parametrize("marked", [True, False])
    def test_two_documents_in_one_message_are_two(self, marked):
        """Each is read where it stands, whether it is marked there or found by its own text."""
        texts = [document["text"].replace("\n", " ") for document in DOCUMENTS]
        parts = [{"type": "document", "text": texts[0]}, " Or: ", {"type": "document", "text": texts[1]}]
        content = parts if marked else " Or: ".join(texts)
        prompt = make(context=None if marked else texts, query=None, messages=[{"role": "user", "content": content}])
        assert " Or: ".join(texts) in text_of(prompt, np.ones(len(prompt.sources)))
        only = np.arange(len(prompt.sources)) == len(prompt.sources) - 1
        assert " Or: It has no locks." in text_of(prompt, only)
        assert prompt.lost() == []

    def test_a_history_and_a_new_question(self):
        prompt = make(messages=[{"role": "system", "content": "Be brief."}])
        assert self.spoken(prompt) == [("system", "Be brief."), ("user", "Context: <docs>\n\nQuery: How long?")]

    def test_without_a_context_what_was_said_before_is_the_context(self):
        chat = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "It is 82 km long. It opened in 1914."},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": "How long?"},
        ]
        prompt = make(context=None, query=None, messages=chat)
        assert list(prompt.sources.texts) == ["It is 82 km long.", "It opened in 1914.", "I see."]
        assert prompt.sources.documents[0].id == "step 1: user"
        alone = make(context=None, query=None, messages=chat[:2])
        assert list(alone.sources.texts) == ["It is 82 km long.", "It opened in 1914."]

    def test_other_keys_reach_the_template(self):
        tokenizer = tiny_models.tokenizer("{% for m in messages %}{{ m['name'] }}: {{ m['content'] }}\n{% endfor %}")
        prompt = make(tokenizer, messages=[{"role": "user", "name": "Ann", "content": "{context}"}], query=None)
        assert text_of(prompt, [0, 0, 0, 0, 1, 0]) == "Ann: Suez is older.\n"

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"context": " \n", "query": "q"}, "the context is empty"),
            ({"context": [], "query": "q"}, "the context is empty"),
            ({"context": "c", "query": " "}, "the query is empty"),
            ({"context": "c", "query": None}, "query is missing"),
            ({"context": None, "query": "q"}, "context is missing"),
            ({"context": [{"txt": "c"}], "query": "q"}, "document 1 must be a text, or a dict with 'text'"),
            ({"context": "c", "query": "q", "template": "{query}"}, r"has no \{context\}"),
            ({"context": "c", "query": "q", "template": "{context}"}, r"has no \{query\}"),
            ({"context": None, "query": None, "messages": []}, "messages must be a list with at least"),
            (
                {"context": None, "query": None, "messages": [{"role": "user"}]},
                "message 1 must be a dict with 'role' and 'content'",
            ),
            (
                {"context": None, "query": None, "messages": [{"role": "user", "content": [{"type": "image"}]}]},
                "message 1 has a part that is neither text nor a document",
            ),
            (
                {"context": "c", "query": "q", "messages": [{"role": "user", "content": [{"type": "document", "text": "d"}]}]},
                "marked in the messages already",
            ),
        ],
    )
    def test_bad_input(self, given, message):
        with pytest.raises(LlmattrError, match=message):
            conversation(**given)


def test_an_empty_response_is_refused():
    with pytest.raises(LlmattrError, match="the response is empty"):
        make().with_response(" ")
    with pytest.raises(LlmattrError, match="the model answered nothing"):
        make().with_generated([CHAT.eos_token_id])


def prefix_space_tokenizer():
    """Like Llama 2: words begin with a mark, the first word too, and what is decoded loses the first space. NFKC on top."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "</s>", "\u2581It", "\u2581is.", "\u2581Two", ".", "\u2581half", "\u2581", "1", "\u20442", "\u2581Yes"]
    unigram = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    unigram.decoder = decoders.Metaspace(prepend_scheme="first")
    return PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="<unk>", eos_token="</s>")


@pytest.mark.parametrize("response", ["It is. Two.", " It is. Two.", "It \u00bd is. Two.", "It \U0001f600 is. Two. Yes"])
def test_the_last_sentences_tokens_are_its_own_with_any_tokenizer(response):
    tokenizer = prefix_space_tokenizer()
    prompt = make(tokenizer, query="Two").with_response(response)
    start = response.index("Two.")
    first, last = prompt.response_tokens(np.array([[start, start + 4]]))[0]
    assert tokenizer.convert_ids_to_tokens(prompt.response_ids[first:last]) == ["\u2581Two", "."]


def test_a_prompt_without_text_still_has_a_token():
    plain = make(PLAIN, query=None, messages=[{"role": "user", "content": "One. Two."}], context=None).with_response("One.")
    ids, response, _ = plain.render(np.zeros(2, dtype=bool))
    assert response.start == len(ids) - len(plain.response_ids) == 1


def test_text_that_is_no_source_is_never_removed():
    prompt = make(context="Intro. Fact: A. and Fact: B. Outro.", sources=lambda text: ["Fact: A.", "Fact: B."])
    assert kept(prompt, [1, 1]) == "Intro. Fact: A. and Fact: B. Outro."
    assert kept(prompt, [0, 1]) == "Intro.  and Fact: B. Outro."
    assert kept(prompt, [0, 0]) == "Intro.  and  Outro."


@pytest.mark.parametrize(
    ("splitter", "message"),
    [(lambda text: [], "finds no part"), (lambda text: [3], "part 1 of the splitter is no text")],
)
def test_a_splitter_that_does_not_split(splitter, message):
    with pytest.raises(LlmattrError, match=message):
        make(sources=splitter)


def test_a_sentence_without_a_token_is_no_target():
    tokenizer = prefix_space_tokenizer()
    prompt = make(tokenizer, query="Two").with_response("It is. \u200b Two.")
    assert all(first < last for first, last in prompt.response_tokens(prompt.targets().spans))


def test_a_context_that_cannot_be_placed_is_refused():
    chat = [{"role": "system", "content": "Notes: " + DOCUMENTS[0]["text"]}, {"role": "user", "content": "When?"}]
    with pytest.raises(LlmattrError, match="document 's' does not stand in the messages"):
        make(messages=chat, query=None)
    with pytest.raises(LlmattrError, match="the documents do not stand in the messages"):
        make(messages=chat[1:], query=None)
    with pytest.raises(LlmattrError, match="there is no context to put there"):
        make(context=None, query=None, messages=[{"role": "user", "content": "See {context}."}])
    said = [{"role": "user", "content": "Read it."}, {"role": "assistant", "content": "It has {context} in it."}]
    chat = make(context=None, query=None, messages=[*said, {"role": "user", "content": "What has it?"}])
    assert "It has {context} in it." in chat.sources.texts


SAYS_SO_TOO = "{{ '<|im_start|>system\nParis. Be user friendly. It is long.<|im_end|>\n' }}" + tiny_models.CHATML


class TestPositions:
    """Where sources stand in the whole rendering, whatever else is written there."""

    def decoded(self, prompt):
        ids, _, spans = prompt.with_response("Yes.").full()
        return [(prompt.tokenizer.decode(ids[a:b]).strip(), int(a)) for a, b in spans]

    @pytest.mark.parametrize("text", ["Paris.", "user", "It is long."])
    def test_a_source_that_the_template_says_too(self, text):
        chat = [{"role": "user", "content": text}]
        prompt = make(tiny_models.tokenizer(SAYS_SO_TOO), context=None, query=None, messages=chat)
        [(found, first)] = self.decoded(prompt)
        assert found == text
        assert prompt.tokenizer.decode(prompt.full().ids[:first]).endswith("<|im_end|>\n<|im_start|>user\n")

    def test_a_template_that_moves_and_rewrites_messages(self):
        moves = "{% for m in messages | reverse %}{{ '- ' + m.content.split('</think>')[-1] | replace('  ', ' ') }}{% endfor %}"
        said = ("user", "It is.  It is long."), ("assistant", "<think>So.</think> It is."), ("user", "It is?")
        chat = [{"role": role, "content": content} for role, content in said]
        prompt = make(tiny_models.tokenizer(moves), context=None, query=None, messages=chat)
        assert prompt.tokenizer.decode(prompt.full().ids) == "- It is?-  It is.- It is. It is long."
        decode, ids = prompt.tokenizer.decode, prompt.full().ids
        spans = prompt.full().sources[:2]
        assert [decode(ids[a:b]).strip() for a, b in spans] == ["It is.", "It is long."]
        assert decode(ids[: spans[0, 0]]) == "- It is?-  It is.-"

    def test_what_the_template_leaves_out_is_said(self):
        last = "{{ messages[-1]['content'] }}"
        chat = [{"role": "user", "content": "It is long."}, {"role": "user", "content": "How long?"}]
        prompt = make(tiny_models.tokenizer(last), context=None, query=None, messages=chat)
        assert prompt.oddities() == ["the chat template leaves 1 sources out, the first is 'It is long.'"]
        assert make().oddities() == []

    def test_an_answer_that_repeats_itself_is_told(self):
        assert make().with_response("It is long. It is long. It is wide.").oddities() == []  # once may be meant
        (told,) = make().with_response("It is long. " * 3 + "It is wide.").oddities()
        assert told == "2 of the response's 4 sentences repeat earlier ones, which explain them"


@pytest.mark.parametrize("tokenizer", [CHAT, tiny_models.metaspace(tiny_models.CHATML)])
def test_special_tokens_that_a_document_spells_stay_text(tokenizer):
    text = "A mark <|im_end|> here.\n<|im_start|>user\nIt is long."
    prompt = make(tokenizer, context=text).with_response("Long.")
    ids, _, spans = prompt.full()
    assert [ids.count(tokenizer.convert_tokens_to_ids(name)) for name in ("<|im_start|>", "<|im_end|>")] == [2, 1]
    assert text in tokenizer.decode(ids)
    assert [tokenizer.decode(ids[a:b]).strip() for a, b in spans] == list(prompt.sources.texts)
    assert prompt.oddities() == [
        "special tokens are spelled in the documents (2, the first in '<|im_end|> here.\\n<|i'): they stay text"
    ]


class TestOpenedReasoning:
    OPENS = tiny_models.tokenizer(tiny_models.CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif"))

    def end(self, prompt):
        return prompt.tokenizer.decode(prompt.full().ids).split("assistant\n")[-1]

    def test_a_given_response_stands_behind_it(self):
        prompt = make(self.OPENS).with_response("It is long.")
        assert self.end(prompt) == "<think>\n\n</think>\n\nIt is long."
        assert self.end(prompt.with_response("It is wide.")) == "<think>\n\n</think>\n\nIt is wide."
        assert "the response stands behind its end, </think>" in prompt.oddities()[0]

    def test_a_response_with_a_reasoning_and_a_generated_one_are_as_they_are(self):
        assert self.end(make(self.OPENS).with_response("So.\n</think>\n\nLong.")) == "<think>\nSo.\n</think>\n\nLong."
        assert self.end(make(self.OPENS).with_generated(CHAT("So.")["input_ids"])) == "<think>\nSo."


def test_a_response_behind_a_prompt_has_no_space_of_a_first_word():
    """The two tokens on either side of the border would be one: the model was given the prompt's own."""
    tokenizer = tiny_models.metaspace()
    chat = [{"role": "user", "content": "A lake."}, {"role": "user", "content": "Fact: it is "}]
    prompt = make(tokenizer, query=None, context=None, messages=chat)
    assert tokenizer.decode(prompt.with_response("long.").full().ids).strip() == "A lake.\n\nFact: it is long."


@pytest.mark.parametrize("sources", ["sentences", "paragraphs", "words"])
def test_zoom_reads_the_same_prompt(sources):
    """Outer white space belongs to no source, so it is in neither: f(all) is the same to the last token."""
    documents = ["\n\n It is one.  It is two.\n\nIt is three.\n\n", " \nA lake. It is wet. \n", "\n"]
    prompt = make(context=documents, sources=sources).with_response("It is two.")
    zoomable = [i for i, text in enumerate(prompt.sources.texts) if " " in text]
    assert all(parts_of(prompt, i).full().ids == prompt.full().ids for i in zoomable)
    whole = [i for i in zoomable if prompt.sources.kind == "paragraphs" and prompt.sources.texts[i].count(".") > 1]
    assert all(parts_of(prompt, i, "sentences").full().ids == prompt.full().ids for i in whole)
    assert bool(whole) == (sources == "paragraphs")
    assert bool(zoomable) == (sources != "words")


class TestMarksAndBraces:
    def test_a_mark_that_stands_twice_is_refused(self):
        with pytest.raises(
            LlmattrError, match=r"\{context\} stands 2 times in the template or the messages: put it there once"
        ):
            conversation("A. B.", "q", template="{context} {query} {context}")
        chat = [{"role": "user", "content": "{context}"}, {"role": "user", "content": "{context} {query}"}]
        with pytest.raises(LlmattrError, match=r"\{context\} stands 2 times"):
            conversation("A. B.", "q", chat)
        with pytest.raises(LlmattrError, match=r"\{query\} stands 2 times"):
            conversation("A. B.", "q", template="{context} {query} {query}")

    def test_braces_that_a_person_typed_are_text(self):
        text = "Write {query} or {context} or {0}. It is {long}."
        assert text in text_of(make(context=text, query="What is {context}?"), [1, 1])
        marked = [{"role": "user", "content": ["See {context}: ", {"type": "document", "text": text}]}]
        assert f"See {{context}}: {text}" in text_of(make(context=None, query=None, messages=marked), [1, 1])

    def test_a_copy_that_would_stay_is_said(self):
        chat = [{"role": "user", "content": "Notes: A lake. It is wet. A lake.\nWhich?"}]
        with pytest.warns(LlmattrNote, match="the text of 1 documents stands in the messages once more, the first is '1'"):
            conversation(["A lake.", "It is wet."], None, chat)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"context": ["ok", "a\ud800"], "query": "q"}, "document 2 is not valid Unicode at character 1"),
        ({"context": [{"text": "a", "title": "\udfff"}], "query": "q"}, "the title of document 1"),
        ({"context": [{"text": "a", "id": "\udfff"}], "query": "q"}, "the id of document 1"),
        ({"context": "a", "query": "\ud800"}, "the query"),
        ({"context": "a", "query": "q", "template": "{context}{query}\ud800"}, "the template"),
        ({"context": None, "query": None, "messages": [{"role": "user", "content": "a\ud800"}]}, "message 1"),
        (
            {"context": None, "query": None, "messages": [{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]},
            "message 1",
        ),
    ],
)
def test_lone_surrogates_are_refused_with_their_place(given, place):
    with pytest.raises(LlmattrError, match=place):
        conversation(**given)
