"""Answers that carry citations, as vendors and models write them: the text, the places, and which document each one means."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmattr.errors import LlmattrError
from llmattr.text.shapes import read
from llmattr.text.shapes.units import POINTS, UTF8, UTF16, offset, span

DOCUMENTS = [
    {"id": "tower", "title": "Guide", "text": "The tower 🗼 was built in 1889. It is tall.", "url": "https://example.org/a"},
    {"id": "docs/bridge.txt", "text": "The bridge was opened in 1932."},
    {"id": "grass", "title": "On grass", "text": "The grass is green. The sky is blue."},
]


def markers(found):
    """The answer's part and the document of every marker."""
    return [(found.answer[one.start : one.end] or one.start, one.document) for one in found.markers]


class TestUnits:
    TEXT = "e\u0301 🗼👩‍🚒!"  # a combining mark, an emoji, and one of three code points joined

    @pytest.mark.parametrize(("unit", "size"), [(POINTS, 8), (UTF16, 11), (UTF8, 20)])
    def test_the_whole_text(self, unit, size):
        assert offset(self.TEXT, len(self.TEXT), unit) == size
        assert span(self.TEXT, 0, size, unit) == (0, len(self.TEXT))

    @given(st.text(st.characters(exclude_categories=["Cs"])), st.data())
    def test_there_and_back(self, text, data):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        for unit in (POINTS, UTF16, UTF8):
            assert span(text, offset(text, start, unit), offset(text, end, unit), unit) == (start, end)

    @pytest.mark.parametrize(("start", "end"), [(2, 3), (0, 99), (-1, 2), (3, 1), ("0", 3), (True, 3), (None, 3), (0.0, 3)])
    def test_what_is_no_place_is_refused(self, start, end):
        with pytest.raises(LlmattrError, match=r"a citation stands at .* of a text of 20 UTF-8 bytes: there is no such part"):
            span(self.TEXT, start, end, UTF8)

    def test_the_text_that_is_said_there_tells_the_unit(self):
        text = "🗼 is tall."
        assert span(text, 3, 11, POINTS, says="is tall.") == (2, 10)  # UTF-16
        assert span(text, 5, 13, POINTS, says="is tall.") == (2, 10)  # UTF-8
        assert span(text, 2, 9, POINTS, says="something else") == (2, 9)


class TestMarks:
    """Marks in a text: they go, and each place is that of the text without them."""

    @pytest.mark.parametrize(
        ("text", "answer", "expected"),
        [
            ("Built in 1889 [1]. Opened [2,3].", "Built in 1889. Opened.", [(13, 0), (21, 1), (21, 2)]),
            ("A [1][3]. B[2] c.", "A. B c.", [(1, 0), (1, 2), (4, 1)]),
            ("A [1], [2]; B.", "A; B.", [(1, 0), (1, 1)]),
            ("A [1-3].", "A.", [(1, 0), (1, 1), (1, 2)]),
            ("A [1–2; 3].", "A.", [(1, 0), (1, 1), (1, 2)]),
            ("A ([1], [2]).", "A.", [(1, 0), (1, 1)]),
            ("A <sup>[1]</sup><sup>[2]</sup>. B<sup>3</sup>", "A. B<sup>3</sup>", [(1, 0), (1, 1)]),
            ("[1]) A (", ") A (", [(0, 0)]),
            ("A. [1] [2]\nB.", "A.\nB.", [(2, 0), (2, 1)]),
            ("[1] A.\n- [2] B.\n2. [3] C", "A.\n- B.\n2. C", [(0, 0), (5, 1), (11, 2)]),
            ("🗼【1】。B［2］", "🗼。B", [(1, 0), (3, 1)]),
            ("A【4:0†source】 b【3:9†bridge.txt】【2†source】", "A b", [(1, 0), (3, 1), (3, 1)]),
            ("A [doc1] b [Source 2] [source: 3].", "A b.", [(1, 0), (3, 1), (3, 2)]),
            ("A [1](https://example.org/a) [[2]](https://other.org).", "A.", [(1, 0), (1, 1)]),
            ("A [7] [0].", "A.", [(1, None), (1, None)]),
            ("A (Document 1). B (Source: 2, p. 3). C (docs 1 AND 3).", "A. B. C.", [(1, 0), (4, 1), (7, 0), (7, 2)]),
            ("A [1 and 2]. B [1 & 3]. C [Sources 1, 2, and 3].", "A. B. C.",
             [(1, 0), (1, 1), (4, 0), (4, 2), (7, 0), (7, 1), (7, 2)]),
            ("A (2). B [1). C (1]. (docks 3) (the document 1)", None, []),
            ("A [1, p. 3]. B [2, pp. 3-4; x].", "A. B [2, pp. 3-4; x].", [(1, 0)]),
            ("A [1, p. 3; 2, pp. 4-5;3, S. 6]. B [1, pp. 3, 5].", "A. B [1, pp. 3, 5].", [(1, 0), (1, 1), (1, 2)]),
            ("The x[1] of my_list[0], C[1] and _it_[2].", "The x[1] of my_list[0], C and _it_.", [(25, 0), (34, 1)]),
            ("A [2 § 4.1] [3: page 7].", "A.", [(1, 1), (1, 2)]),
            ("A.¹ Tower²,³ B km² 10³ metres².", "A. Tower B km² 10³ metres².", [(2, 0), (8, 1), (8, 2)]),
            ("A.<sup>1, 3</sup> metres<sup>2</sup>", "A. metres<sup>2</sup>", [(2, 0), (2, 2)]),
            ("A.¹ B.²\n\n¹ the tower\n² the bridge", "A. B.", [(2, 0), (5, 1)]),
            ("A [bridge.txt]. B (tower.txt). [bridge.txt, p. 3] [bridge] (tower)",
             "A. B (tower.txt). [bridge] (tower)", [(1, 1), (17, 1)]),
            ("A.<sup>1</sup><sup>2</sup> B.", "A. B.", [(2, 0), (2, 1)]),
            ("The cosine² = 1 and Calcium²⁺ of **Tower²**.", "The cosine² = 1 and Calcium²⁺ of **Tower**.", [(40, 1)]),
            ("A [bridge.txt](https://a.org/b_(c)). B [2](#b_(c)). [C](bridge.txt)", "A. B. [C](bridge.txt)", [(1, 1), (4, 1)]),
            ("A (see bridge.txt). B [Source: tower.txt]. C (see it).", "A. B [Source: tower.txt]. C (see it).", [(1, 1)]),
            ("A (see 【2】). B (old.¹) C (<cite>2</cite>).", "A (see 【2】). B (old.) C.", [("【2】", 1), (20, 0), (23, 1)]),
            ("$x \\in [1, 2]$, \\[[[1, 2], [3, 1]]\\] and \\(a[1]\\); $5 [1], $6 [2].",
             "$x \\in [1, 2]$, \\[[[1, 2], [3, 1]]\\] and \\(a[1]\\); $5, $6.", [(53, 0), (57, 1)]),
            ("A <cite>2</cite> b <cite id='grass'/>.", "A b.", [(1, 1), (3, 2)]),
            ('It <cite index="2">opened in 1932</cite>.', "It opened in 1932.", [("opened in 1932", 1)]),
            ('<cite index="0-1,1-2:3">Both</cite>.', "Both.", [("Both", 0), ("Both", 1)]),
            ("`x[1]` \\[1\\] [2020] [ ] [a](b) (1998)\n```\ny[2]\n```", None, []),
            ("", "", []),
        ],
    )  # fmt: skip
    def test_are_read(self, text, answer, expected):
        found = read(text, documents=DOCUMENTS)
        assert found.answer == (text if answer is None else answer)
        assert markers(found) == expected

    @pytest.mark.parametrize(
        "text",
        [
            *("It lies in [0, 1].", "x in [1, 2] is", "the array [1, 2]", "an interval [1, 3]", "numbers from [1, 9]", "[0-9]"),
            *("x[1][2] = a_b[1]", "args[0]", "argv[1]", "It returns [2, 1].", "the list [3, 1, 2]", "v = [1, 2]"),
            *("a [1, 2] + [3, 1] b", "[[1, 2], [3, 1]]", "ranging over [1, 3]", "arr[1] = 2"),
            *("The polynomial² is", "E = mass × speed².", "the (a + b)².", "the velocity<sup>2</sup> of", "the hypotenuse²"),
            *("The score is [1, 2] or", "coordinates are [1, 3].", "It is so. The pair was [2, 3]"),
            *("f([1, 2])", "np.mean([1])", "sorted([3, 1]) gives [1, 3]", "load()[1]", "f(x)[2]", "row[i][1]", "$[1, 2]$"),
            *("Of names = load(), names[1] is", "rows[0] is not rows[2]", "self.x[-1], self.x[1]"),
        ],
    )
    def test_mathematics_has_none(self, text):
        found = read(text, documents=DOCUMENTS)
        assert (found.answer, found.markers) == (text, ())

    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            ("Tall [1, 2]. It is in Paris [1, 3].", "Tall. It is in Paris."),
            ("A.¹ A polynomial² is.", "A. A polynomial is."),
            ("Old (see above)². The wide range [1, 2].", "Old (see above). The wide range."),
            ("**A** [1], C++ [2] > [3]", "**A**, C++ >"),
            (
                "The tower is [1, 2] tall. Where they are [1, 2]. The sources are [1, 2].",
                "The tower is tall. Where they are. The sources are.",
            ),
            ("Paris[1], example.org[2] names[3] ([1]); the tower(s)[1].", "Paris, example.org names; the tower(s)."),
            ("It costs $[1] or $5[2].", "It costs $ or $5."),
        ],
    )
    def test_what_is_like_mathematics_may_be_one(self, text, answer):
        assert read(text, documents=DOCUMENTS).answer == answer

    @pytest.mark.parametrize(
        ("text", "places"),
        [
            ("According to [1], it is.", [(13, 16)]),
            ("[1] says it. [2] A.", [(0, 3), (12, 12)]),
            ("[1], [2] and [3] agree [1].", [(0, 3), (5, 8), (13, 16), (22, 22)]),
            ("It is tall [1] and [2] says so.", [(10, 10), (15, 18)]),
            ("As [1, p. 3] notes (see [bridge.txt]), it is.", [(3, 12), (24, 36)]),
            ("Source [2] is old. Laut [1] ist es so.", [(7, 10), (24, 27)]),
            ("根据[1]，它高。", [(2, 5)]),
            ("It is in the document [1]. Tall, the [1] is.", [(21, 21), (32, 32)]),
            ("Based on [1], it is. It is, says [2].", [(9, 12), (33, 36)]),
            ("[1]: it is. (Document 2) and (Document 3) say so.", [(0, 3), (12, 24), (29, 41)]),
            ("According to <cite>2</cite>, in <cite id=1>May</cite>.", [(13, 27), (32, 35)]),
            ("[^1] reports it.", [(0, 4)]),
            ("[1] zufolge ist es so. Study [2] found it.", [(0, 3), (29, 32)]),
        ],
    )
    def test_that_are_words_stay_where_they_are(self, text, places):
        found = read(text, documents=DOCUMENTS)
        assert [(one.start, one.end) for one in found.markers] == places
        kept = [one for one in found.markers if one.is_word]
        assert [found.answer[one.start : one.end] for one in kept] == [text[slice(*one.written)] for one in kept]

    def test_say_what_was_written(self):
        text = "A [1, 3]. <cite id=2>B</cite>"
        found = read(text, documents=DOCUMENTS)
        assert found.written == text
        assert [text[slice(*one.written)] for one in found.markers] == ["[1, 3]", "[1, 3]", "<cite id=2>B</cite>"]

    def test_names_by_a_map(self):
        names = {"Doe 2020": "bridge.txt", "Roe et al., 2019": 3}
        found = read(
            "A (Doe 2020, p. 3; Roe et al., 2019; Poe 1900). B [Doe 2020]. C (Zoe 1).", documents=DOCUMENTS, names=names
        )
        assert found.answer == "A. B. C (Zoe 1)."
        assert [(one.title, one.document) for one in found.markers] == [
            ("Doe 2020, p. 3", 1), ("Roe et al., 2019", 2), ("Poe 1900", None), ("Doe 2020", 1),
        ]  # fmt: skip

    @pytest.mark.parametrize("names", [{"Doe 2020": None}, {1: "tower"}, {"": "tower"}, {"Doe": True}])
    def test_other_maps_are_refused(self, names):
        with pytest.raises(LlmattrError, match="names say which document each is, by its number, id or title"):
            read("A (Doe 2020).", names=names)

    @pytest.mark.parametrize(
        "text", ["[" * 20_000, "(" * 20_000, "<cite " * 5_000, "(doc 1, " * 5_000, "`" * 20_000, "```" * 5_000, "【1" * 9_000]
    )
    def test_unfinished_ones_are_text(self, text):
        assert read(text).answer == text


PIECES = [
    *("[1]", "[2,3]", "[^1]", "[^1]: x y", "【1】", "【4:0†source】", "<cite id=1>", "</cite>", "<cite/>", "(Doe 2020)"),
    *("References:\n", "[1] tower", "1. a\n", "- ", "\n", " ", "word", "🗼", ".", ", ", "`", "```", "(", ")", "[", "]", "]("),
    *("\\", "https://x.org"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_any_text_is_read(text):
    """Each marker stands in the answer and was written in the text, and nothing is in the answer that was not."""
    found = read(text, documents=DOCUMENTS, names={"Doe 2020": 2})
    assert found.written == text
    rest = iter(text)
    assert all(character in rest for character in found.answer)
    for one in found.markers:
        assert 0 <= one.start <= one.end <= len(found.answer)
        assert 0 <= one.written[0] < one.written[1] <= len(text)


def test_long_answers_with_many_marks():
    text = "".join(f"Sentence {i} says something [{i % 3 + 1}]. " for i in range(3000))
    found = read(text, documents=DOCUMENTS)
    assert found.answer == "".join(f"Sentence {i} says something. " for i in range(3000))
    assert all(found.answer[one.start] == "." for one in found.markers)
    assert [one.document for one in found.markers] == [0, 1, 2] * 1000


class TestReferences:
    """A number means what the list at the answer's end says; without one, the documents in their order."""

    @pytest.mark.parametrize(
        "listed",
        [
            "References:\n[1] docs/bridge.txt\n[2] Guide, p. 3",
            "## Sources\n\n1. bridge.txt\n2. https://example.org/a",
            "**Quellen:**\n- [1] bridge.txt\n- [2] The Guide\n  of 2020",
            "[1]: bridge.txt\n[2]: tower",
            "[^1]: bridge.txt\n[^2]: Guide",
            "参考文献\n【1】 bridge.txt\n【2】 Guide\n",
            "Sources: [1] bridge.txt, [2] Guide.\n",
            "**Quelle:** [1]: bridge.txt; [2]: tower",
            "References: 1. bridge.txt 2. Guide, vol. 2, p. 1",
            "Notes:\n1) The bridge was opened in 1932.\n2) tower",
        ],
    )
    def test_at_the_end(self, listed):
        found = read(f"It was opened [1]. It is tall [2].\n\n{listed}", documents=DOCUMENTS)
        assert found.answer == "It was opened. It is tall."
        assert markers(found) == [(13, 1), (25, 0)]

    def test_what_the_list_has_and_nobody_gave_is_no_source(self):
        text = "A [1]. B [2].\n\n[1] bridge.txt\n[2] Tales of the unknown, 1999"
        assert markers(read(text, documents=DOCUMENTS)) == [(1, 1), (4, None)]

    def test_a_list_of_other_names_keeps_the_order(self):
        text = "A [1]. B [2].\n\nReferences\n[1] First result\n[2] Second result"
        assert markers(read(text, documents=DOCUMENTS)) == [(1, 0), (4, 1)]

    def test_words_may_follow_it(self):
        text = "It was opened [1]. It is tall [2].\n\n## Sources\n\n- [1] bridge.txt\n\n- [2] Guide\n\nIs there more to know?\n"
        found = read(text, documents=DOCUMENTS)
        assert found.answer == "It was opened. It is tall.\n\nIs there more to know?\n"
        assert [one.document for one in found.markers] == [1, 0]

    @pytest.mark.parametrize(
        "text",
        [
            "It is so [1].\n\nNotes\n1. Take water with you.\n2. It is tall.\n\nThat is all.",
            "Sources: [1] says that it is tall.",  # where nothing is marked before, it is no list
            "Tall [1]. Sources: [2] bridge.txt\nThat is all.",
        ],
    )
    def test_what_is_none_stays(self, text):
        assert read(text, documents=DOCUMENTS).answer == re.sub(r" ?\[\d\](?! says)", "", text)

    def test_a_numbered_list_before_it_is_the_answers(self):
        found = read(
            "As follows.\n1. It was opened [1].\n2. It is tall [2].\n\n[1] bridge.txt\n[2] Guide\n", documents=DOCUMENTS
        )
        assert found.answer == "As follows.\n1. It was opened.\n2. It is tall."
        assert [one.document for one in found.markers] == [1, 0]

    @pytest.mark.parametrize("heading", ["References:", "## Sources", "Notes:"])
    def test_nothing_need_mark_a_list_of_documents(self, heading):
        found = read(f"It was opened.\n\n{heading}\n1. bridge.txt\n2. Guide\n", documents=DOCUMENTS)
        assert (found.answer, found.markers) == ("It was opened.", ())
        assert [(one.number, one.document) for one in found.listed] == [(1, 1), (2, 0)]

    def test_a_list_of_what_nobody_gave_is_one_where_its_heading_says_so(self):
        assert read("It is.\n\nReferences\n1. Tales, 1999", documents=DOCUMENTS).answer == "It is."
        assert read("It is.\n\nReferences: [1] Tales", documents=DOCUMENTS).answer == "It is."
        assert read("It is.\n\nSources\n1. Wind\n2. Coal", documents=DOCUMENTS).answer == "It is.\n\nSources\n1. Wind\n2. Coal"

    def test_footnotes_stand_anywhere(self):
        found = read("A[^doe].\n\n[^doe]: Guide\n  by Doe\n\nB[^2].\n", documents=DOCUMENTS)
        assert (found.answer, markers(found)) == ("A.\n\nB.\n", [(1, 0), (5, 1)])
        assert found.markers[0].title == "Guide by Doe"

    @pytest.mark.parametrize(
        "text", ["Steps:\n1. one\n2. two", "1. one\n2. two", "[1] says so.", "Sources:\n", "A.\n\n[3] B.", "Notes:\n1. one"]
    )
    def test_what_is_no_list_stays(self, text):
        assert read(text).answer == text.replace("[3] ", "")  # in "[1] says" the mark is a word

    def test_without_documents_the_answers_own_are_given(self):
        found = read("A [1]. B [2]. C [3].\n\n[1] Guide, https://example.org/a\n[2] Bridges")
        assert [document.id for document in found.documents] == ["https://example.org/a", "Bridges"]
        assert markers(found) == [(1, 0), (4, 1), (7, None)]


class TestVendors:
    """Responses as the services return them."""

    def test_anthropic(self):
        claim = {"type": "char_location", "document_index": 2, "document_title": "On grass"}
        content = [
            {"type": "thinking", "thinking": "Hm. [1]", "signature": ""},
            {"type": "text", "text": "According to the documents:\n", "citations": None},
            {"type": "text", "text": "the grass is green", "citations": [
                {**claim, "cited_text": "The grass is green. ", "start_char_index": 0, "end_char_index": 20}]},
            {"type": "text", "text": " and opened."},
            {"type": "text", "text": " It is 🗼. ", "citations": [
                {"type": "web_search_result_location", "cited_text": "The tower 🗼", "url": "https://example.org/a",
                 "title": "A", "encrypted_index": "x"},
                {"type": "search_result_location", "cited_text": "", "source": "bridge.txt", "search_result_index": 0,
                 "title": None, "start_block_index": 0, "end_block_index": 1}]},
        ]  # fmt: skip
        found = read({"id": "m", "type": "message", "role": "assistant", "content": content}, documents=DOCUMENTS)
        assert found.answer == "According to the documents:\nthe grass is green and opened. It is 🗼. "
        assert markers(found) == [("the grass is green", 2), ("It is 🗼.", 0), ("It is 🗼.", 1)]
        assert (found.markers[0].span, found.markers[0].quote) == ((0, 20), "The grass is green. ")
        assert read(content, documents=DOCUMENTS) == found

    def test_openai_takes_out_the_links_that_it_wrote(self):
        text = "🗼 is tall. ([example.org](https://example.org/a?x=1)) It was opened."
        link = {
            "type": "url_citation",
            "start_index": 11,
            "end_index": 53,
            "url": "https://example.org/a?x=1",
            "title": "Guide",
        }
        file = {"type": "file_citation", "index": len(text), "file_id": "file-1", "filename": "bridge.txt"}
        part = {
            "type": "output_text",
            "text": text,
            "annotations": [link, file, {"type": "file_path", "file_id": "f", "index": 0}],
        }
        output = [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": [part]}]
        found = read({"object": "response", "output": output}, documents=DOCUMENTS)
        assert found.answer == "🗼 is tall. It was opened."
        assert markers(found) == [(10, 0), (25, 1)]
        assert found.written[slice(*found.markers[0].written)].startswith("([example.org]")

    def test_openai_chat_and_assistants(self):
        inner = {"start_index": 0, "end_index": 10, "url": "https://example.org/a", "title": "x"}
        message = {
            "role": "assistant",
            "content": "🗼 is tall.",
            "annotations": [{"type": "url_citation", "url_citation": inner}],
        }
        assert markers(read({"choices": [{"message": message}]}, documents=DOCUMENTS)) == [("🗼 is tall.", 0)]
        mark = {
            "type": "file_citation",
            "text": "【4:0†source】",
            "start_index": 10,
            "end_index": 22,
            "file_citation": {"file_id": "grass"},
        }
        text = {"value": "🗼 is tall.【4:0†source】", "annotations": [mark]}
        found = read({"role": "assistant", "content": [{"type": "text", "text": text}]}, documents=DOCUMENTS)
        assert (found.answer, markers(found)) == ("🗼 is tall.", [(10, 2)])

    def test_gemini_counts_bytes_of_a_part(self):
        chunks = [
            {"web": {"uri": "https://example.org/a", "title": "example.org"}},
            {"retrievedContext": {"title": "bridge.txt"}},
        ]
        supports = [
            {"segment": {"endIndex": 13, "text": "🗼 is tall."}, "groundingChunkIndices": [0, 1], "confidenceScores": []},
            {"segment": {"partIndex": 2, "startIndex": 1, "endIndex": 6}, "groundingChunkIndices": [9]},
        ]
        parts = [{"text": "🗼 is tall."}, {"text": "thoughts", "thought": True}, {"text": " Yes."}]
        grounding = {"groundingChunks": chunks, "groundingSupports": supports}
        candidate = {"content": {"parts": parts}, "groundingMetadata": grounding}
        supports[1]["segment"]["endIndex"] = 5
        found = read({"candidates": [candidate]}, documents=DOCUMENTS)
        assert found.answer == "🗼 is tall. Yes."
        assert markers(found) == [("🗼 is tall.", 0), ("🗼 is tall.", 1), ("Yes.", None)]
        in_python = {"content": {"parts": [{"text": "🗼 is tall."}]}, "grounding_metadata": {"grounding_chunks": chunks,
            "grounding_supports": [{"segment": {"end_index": 13}, "grounding_chunk_indices": [1]}]}}  # fmt: skip
        assert markers(read(in_python, documents=DOCUMENTS)) == [("🗼 is tall.", 1)]

    def test_cohere(self):
        sources = [
            {"type": "document", "id": "doc:1", "document": {"id": "doc:1", "text": "The bridge was opened in 1932."}},
            {"type": "tool", "id": "search_x:0", "tool_output": {"content": "The grass is green. The sky is blue."}},
        ]
        citations = [
            {"start": 2, "end": 10, "text": "is tall.", "sources": sources, "type": "TEXT_CONTENT", "content_index": 0},
            {"start": 0, "end": 3, "text": "Hm.", "sources": sources, "type": "THINKING_CONTENT"},
        ]
        content = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "🗼 is tall."}]
        message = {"role": "assistant", "content": content, "citations": citations}
        assert markers(read({"id": "x", "message": message}, documents=DOCUMENTS)) == [("is tall.", 1), ("is tall.", 2)]
        old = {"text": "🗼 is tall.", "documents": [{"id": "web_0", "snippet": "It is tall."}],
               "citations": [{"start": 3, "end": 11, "text": "is tall.", "document_ids": ["web_0"]}]}  # fmt: skip
        assert markers(read(old, documents=DOCUMENTS)) == [("is tall.", 0)]

    def test_bedrock(self):
        cited = {"title": "On grass", "sourceContent": [{"text": "The sky is blue."}],
                 "location": {"documentChar": {"documentIndex": 2, "start": 20, "end": 36}}}  # fmt: skip
        web = {"title": "A", "location": {"web": {"url": "https://example.org/a"}}}
        content = [
            {"text": "So "},
            {"citationsContent": {"content": [{"text": "the sky is blue"}, {"text": "."}], "citations": [cited, web]}},
            {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
        ]
        found = read(
            {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn"}, documents=DOCUMENTS
        )
        assert found.answer == "So the sky is blue."
        assert markers(found) == [("the sky is blue.", 2), ("the sky is blue.", 0)]

    def test_bedrock_knowledge_base(self):
        part = {"textResponsePart": {"span": {"start": 0, "end": 9}, "text": "🗼 is tall."}}
        chunk = {"content": {"text": "It is tall."}, "location": {"type": "S3", "s3Location": {"uri": "s3://b/x.pdf"}}}
        cited = {"generatedResponsePart": part, "retrievedReferences": [chunk]}
        found = read({"output": {"text": "🗼 is tall. Yes."}, "citations": [cited], "sessionId": "s"}, documents=DOCUMENTS)
        assert markers(found) == [("🗼 is tall.", 0)]
        assert found.markers[0].key == "s3://b/x.pdf"

    def test_langchain(self):
        cited = {"type": "citation", "cited_text": "It is tall.", "title": "Guide"}
        content = [
            {"type": "reasoning", "reasoning": "Hm."},
            {"type": "text", "text": "So. ", "annotations": []},
            {"type": "text", "text": "🗼 is tall.", "annotations": [cited, {**cited, "start_index": 2, "end_index": 10}]},
        ]
        found = read({"type": "ai", "content": content}, documents=DOCUMENTS)
        assert (found.answer, markers(found)) == ("So. 🗼 is tall.", [("🗼 is tall.", 0), ("is tall.", 0)])
        assert found.markers[0].start == 4

    @pytest.mark.parametrize(
        "answer",
        [
            {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Tall [2]."}]},
            {"type": "output_text", "text": "Tall [2].", "annotations": []},
            {"role": "assistant", "content": "Tall [2]."},
            {"candidates": [{"content": {"parts": [{"text": "Tall [2]."}]}}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Tall [2]."}], "citations": []},
            {"output": {"message": {"content": [{"text": "Tall [2]."}]}}},
            {"type": "ai", "content": "Tall [2]."},
        ],
    )
    def test_without_citations_the_text_is_read(self, answer):
        found = read(answer, documents=DOCUMENTS)
        assert (found.answer, markers(found)) == ("Tall.", [(4, 1)])

    def test_the_answers_own_documents(self):
        chunks = [{"web": {"uri": "https://a.org", "title": "A"}}, {"retrievedContext": {"title": "B", "text": "Its text."}}]
        supports = [{"segment": {"endIndex": 4}, "groundingChunkIndices": [1, 0]}]
        candidate = {
            "content": {"parts": [{"text": "Yes."}]},
            "groundingMetadata": {"groundingChunks": chunks, "groundingSupports": supports},
        }
        found = read(candidate)
        assert [(one.id, one.title, one.text) for one in found.documents] == [
            ("B", "B", "Its text."),
            ("https://a.org", "A", ""),
        ]
        assert [one.document for one in found.markers] == [0, 1]


@pytest.mark.parametrize(
    ("answer", "shape", "said"),
    [
        (3, None, "this is no answer with citations that is known: a int"),
        ({"foo": 1, "bar": 2}, None, "a dict with foo, bar; give a text, or a response of gemini"),
        ({"type": "output_text", "text": "A."}, "anthropic", "this is no answer of 'anthropic'"),
        ("{}", "openai", "is a dict or their object, not a text: parse its JSON first"),
        ("A.", "opnai", "shape must be one of .*; did you mean 'openai'"),
        ("\ud800", None, "the answer is not valid Unicode"),
        ({"type": "output_text", "text": "A.", "annotations": [{"type": "url_citation", "start_index": 0, "end_index": 9}]},
         None, "a citation stands at 0 to 9 of a text of 2 code points"),
        ([{"type": "text", "text": "A.", "citations": [{"type": "char_location"}]}], None,
         "in the shape of 'anthropic' cannot be read: a citation has no 'cited_text'"),
        ([{"type": "text", "text": "A.", "citations": [7]}], None, r"'anthropic' cannot be read \(\w+Error: "),
        ({"content": {"parts": [{"text": "A."}]}, "groundingMetadata": {"groundingSupports": [
            {"segment": {"partIndex": 4, "endIndex": 1}, "groundingChunkIndices": [0]}]}}, None,
         r"'gemini' cannot be read \(\w+Error: "),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused_in_a_line(answer, shape, said):
    with pytest.raises(LlmattrError, match=said) as error:
        read(answer, shape)
    assert "\n" not in str(error.value)
