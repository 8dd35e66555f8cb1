"""Splitting loses nothing, and cuts where a reader would."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmattr.core.progress import Stopped, until
from llmattr.errors import LlmattrError
from llmattr.text.split import SPLITTERS, cut, find_splitter, paragraphs, sentences, spans, words
from llmattr.text.split.languages import language_of

TEXT = st.text() | st.text(alphabet=st.sampled_from("ab. !?\n\r\t\v\x85\u2028\u00a0A1)-#|\"'’。e\u0301😀"), max_size=80)


@pytest.mark.parametrize("kind", SPLITTERS)
@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_the_parts_joined_are_the_text(kind, text):
    assert "".join(SPLITTERS[kind](text)) == text


@pytest.mark.parametrize("between", [" ", "\n\n", "\n\n## More\n\n", "” he said. “"])
def test_cutting_a_long_text_stops_at_its_next_sentence_where_nobody_waits(between):
    text = between.join(["It opened in 1914."] * 1000)
    looked = itertools.count(1)
    with until(lambda: next(looked) < 0):
        cut(text)
    units = next(looked) - 1
    assert units >= 1000  # one a sentence at least
    for last in (1, 10, units):
        looked = itertools.count(1)
        with pytest.raises(Stopped), until(lambda looked=looked, last=last: next(looked) == last):
            cut(text)
        assert next(looked) == last + 1  # nothing went on behind it


@pytest.mark.parametrize("kind", SPLITTERS)
@settings(max_examples=200, deadline=None)
@given(text=TEXT)
def test_spans_and_the_white_space_between_them_are_the_text(kind, text):
    cut = spans(text, SPLITTERS[kind])
    assert (cut[:, 0] < cut[:, 1]).all()
    assert (cut[1:, 0] >= cut[:-1, 1]).all()
    covered = np.zeros(len(text), dtype=bool)
    for start, end in cut:
        covered[start:end] = True
    assert not "".join(c for c, inside in zip(text, covered, strict=True) if not inside).strip()


def test_a_no_break_space_is_a_space():
    assert sentences("Vraiment\u00a0? Oui.\u00a0Non.") == ["Vraiment\u00a0? ", "Oui.\u00a0", "Non."]


def strip(parts):
    return [part.strip() for part in parts]


def test_sentences_know_abbreviations_and_numbers():
    text = "Col. G. W. Goethals, of the U.S. Army, paid $3.50 vs. 2.10. Dr. Smith left at 5 p.m. on Monday. Was it so? Yes!"
    assert strip(sentences(text)) == [
        "Col. G. W. Goethals, of the U.S. Army, paid $3.50 vs. 2.10.",
        "Dr. Smith left at 5 p.m. on Monday.",
        "Was it so?",
        "Yes!",
    ]


def test_a_wrapped_line_goes_on_and_a_heading_or_list_item_does_not():
    text = "# A heading\nThe first sentence of this text was wrapped by\nan editor. Then:\n- one item\n- another item\n"
    assert strip(sentences(text)) == [
        "# A heading",
        "The first sentence of this text was wrapped by\nan editor.",
        "Then:",
        "- one item",
        "- another item",
    ]


def test_other_scripts():
    assert strip(sentences("中文句子。第二句！ Это предложение. Второе.")) == [
        "中文句子。",
        "第二句！",
        "Это предложение.",
        "Второе.",
    ]
    assert strip(words("Don't stop, José: $3.14!")) == ["Don't", "stop,", "José:", "$3.14!"]
    assert words("句子。第") == ["句", "子。", "第"]


def test_paragraphs_end_at_blank_lines():
    assert strip(paragraphs("\n one\ntwo\n \n\n  three\r\n\r\nfour")) == ["one\ntwo", "three", "four"]


def test_a_function_of_the_users_own():
    def clauses(text):
        return [part.strip() for part in text.split(",")]

    name, splitter = find_splitter(clauses)
    assert name == "clauses"
    assert [tuple(s) for s in spans("a, b ,a", splitter)] == [(0, 1), (3, 4), (6, 7)]
    with pytest.raises(LlmattrError, match="part 1 of the splitter, 'X', is not in the text"):
        spans("abc", lambda text: ["X"])


def test_what_is_no_text_or_no_splitter_is_said_in_a_line():
    for wrong in (None, 5, b"a"):
        with pytest.raises(LlmattrError, match=r"^what is cut must be text, not"):
            cut(wrong)
    with pytest.raises(LlmattrError, match=r"^unknown format 5 "):
        cut("a", format=5)
    with pytest.raises(LlmattrError, match=r"^a splitter gives a list of the parts of a text, not None"):
        spans("a", lambda text: None)


def test_an_unknown_kind_of_source_is_named_with_the_nearest_known_one():
    with pytest.raises(LlmattrError, match="unknown sources 'sentence'; did you mean 'sentences'"):
        find_splitter("sentence")


def cut_texts(text, **how):
    return [" ".join(text[a:b].split()) for a, b in cut(text, **how).spans]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("1. The tower was built in 1889.\n2. It is tall.\n", ["1. The tower was built in 1889.", "2. It is tall."]),
        ("1.1. The tower was built in 1889.\n1.2. It is tall.\n", ["1.1. The tower was built in 1889.", "1.2. It is tall."]),
        ("II. The tower was built in 1889.\nIV. It is tall.\n", ["II. The tower was built in 1889.", "IV. It is tall."]),
        ("Step 1. Open the box.\nStep 2. Take the key.\n", ["Step 1. Open the box.", "Step 2. Take the key."]),
        ("Q. How tall is it?\nA. It is 330 m tall.\n", ["Q. How tall is it?", "A. It is 330 m tall."]),
        ("The steps are: 1. Open the box. 2. Take the key.", ["The steps are:", "1. Open the box.", "2. Take the key."]),
    ],
)
def test_a_list_number_is_no_sentence(text, right):
    assert cut_texts(text) == right
    assert [" ".join(part.split()) for part in sentences(text)] == right


@pytest.mark.parametrize(
    ("language", "right"),
    [
        ("de", ["Die Brücke wurde am 29. Juli 1932 eröffnet.", "Sie ist 500 m lang."]),
        ("de", ["Der Turm wurde im 19. Jahrhundert von Dr. Müller gebaut.", "Er ist ca. 330 m hoch, d. h. sehr hoch."]),
        ("fi", ["Silta avattiin 29. heinäkuuta 1932.", "Se on pitkä."]),
        ("fr", ["Voir p. ex. le chap. 3.", "Fin."]),
        ("el", ["Πότε χτίστηκε ο πύργος;", "Κανείς δεν ξέρει."]),
        (
            "en",
            [
                "The valve was replaced by Ms. Okoro.",
                "It is 4.5 m, see Fig. 3.",
                'He said "yes."',
                "(It is so.)",
                "So it was.[2]",
                "Then.",
            ],
        ),
        ("ar", ["بني البرج في عام 1889.", "يبلغ ارتفاعه 330 مترا."]),
        ("hi", ["यह टावर 1889 में बना था।", "यह ऊँचा है।"]),
    ],
)
def test_a_sentence_ends_as_its_language_has_it(language, right):
    assert language_of(" ".join(right)) == language
    assert cut_texts(" ".join(right)) == right
    assert cut_texts(" ".join(right), language=language) == right


@pytest.mark.parametrize(
    "right",
    [
        ["「本当ですか？」と彼は聞いた。", "誰も答えなかった。"],
        ["“你好！”他说。", "然后他走了。", "他问：“你好吗？”", "我没有回答。"],
        ["长城是中国古代的防御工程。", "明朝修建了大部分现存的城墙。", "1987年，长城被列为世界遗产。"],
        ["ប៉មនេះត្រូវបានសាងសង់នៅឆ្នាំ១៨៨៩។", " វាមានកម្ពស់៣៣០ម៉ែត្រ។"],
        ["ဒီစာအုပ်ကောင်းတယ်။", " ငါကြိုက်တယ်။"],
    ],
)
def test_a_script_without_spaces_between_sentences(right):
    assert cut_texts("".join(right)) == [part.strip() for part in right]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (
            "- The tower was built for the fair of 1889 by a company\n  of engineers from the north.\n- It is tall.\n",
            ["- The tower was built for the fair of 1889 by a company of engineers from the north.", "- It is tall."],
        ),
        (
            "> On Monday the tower was closed for the repairs that had\n> been planned.\n",
            ["On Monday the tower was closed for the repairs that had > been planned."],
        ),
        (
            "The observa-\ntory was con-\nstructed in 1889 by a com-\npany from Lyon. It has two\ndomes and a li-\nbrary.\n",
            ["The observa- tory was con- structed in 1889 by a com- pany from Lyon.", "It has two domes and a li- brary."],
        ),
        (
            "The tower was built for the fair of\n1889 by a company of engineers from\nthe north. It stood empty for\nyears.\n",
            [
                "The tower was built for the fair of 1889 by a company of engineers from the north.",
                "It stood empty for years.",
            ],
        ),
        ("The valve was replaced\r\nby Ms. Okoro.\r\n", ["The valve was replaced by Ms. Okoro."]),
        ("Ada Lovelace\nAlan Turing\nGrace Hopper\n", ["Ada Lovelace", "Alan Turing", "Grace Hopper"]),
    ],
)
def test_a_sentence_is_not_cut_where_its_line_is_wrapped(text, right):
    assert cut_texts(text) == right


@pytest.mark.parametrize(
    "right",
    [
        ["1. First do this", "2. Then do that."],
        ["Do this:", "(1) Open the gate no. 7.", "(2) Take the key."],
        ["It takes approx. 30 min.", "(See [1][2].)", "That's all."],
        ["Run `make install.`", "Then call `np.array` twice.", "And `...` Rest is rest."],
        ["ในปี ค.ศ. 1889 หอคอยถูกสร้างขึ้น ตรงกับปีพ.ศ. 2432 โดย ดร. สมชาย ใจดี"],
        ["“It leaks.", "We knew it,” she said.", "So."],
    ],
)
def test_a_stop_inside_a_sentence_does_not_end_it_and_one_inside_a_mark_does(right):
    assert cut_texts(" ".join(right)) == right


@pytest.mark.parametrize(
    "text", ["The tower is tall. ", "a", "`", "- It is tall.\n", "<think>", "(", '"a. ', "1. ", "A. ", " ", "> ", "\f", "\n"]
)
def test_time_does_not_grow_with_the_square_of_the_length(text):
    started = time.process_time()
    cut(text * (100_000 // len(text)))
    assert time.process_time() - started < 6  # a part of a second, where it does not


@pytest.mark.parametrize(
    ("language", "right"),
    [
        ("hi", ["यह 12 जन. 1880 को 300 मी. ऊँचे स्थान पर शर्मा एंड कं. प्रा. लि. ने बनाया।", "वह गया ... और लौट आया।"]),
        ("hi", ["“मेरी नहीं है।” पुस्तकालयाध्यक्ष ने कहा।", "“कुछ नहीं,” उसने कहा, “सब ठीक है।”", "उसने पूछा।"]),
        ("km", ["ឯ.ឧ. បណ្ឌិត មាស ចន្ថា មកពី ស.រ.អា. នៅឆ្នាំ ១៩២១ គ.ស. ដោយឡែក។", "«មិនមែនទេ។» លោកគ្រូឆ្លើយ។"]),
        ("km", ["ក. ត្រូវស្ងៀមស្ងាត់។", "កុំយឺត។"]),
        (
            "el",
            [
                "Το κτίριο έχει εμβαδόν 300 τ.μ.",
                "Το πλήρωσε η Α.Ε. Βωκιών το 300 π.Χ. περίπου.",
                "Είδαμε κήπους κ.λπ.",
                "Ήταν ωραία.",
            ],
        ),
        ("el", ["Στις 5 Ιαν. 1950 ο Άγ. Γεώργιος, Λεωφ. Αθηνών 12, κατά το άρθ. 3 του ν. 1234/2020, άνοιξε.", "Ωραία."]),
    ],
)
def test_abbreviations_and_quotations_of_other_scripts(language, right):
    assert cut_texts(" ".join(right)) == right
    assert cut_texts(" ".join(right), language=language) == right


@pytest.mark.parametrize(
    ("first", "text", "last"), [("a", "`", "[a"), ("a.", "\t", "b"), ("", "<pre>", "</pre>"), ("<p>", "`", "a")]
)
def test_nor_does_that_of_a_long_run_inside_a_text(first, text, last):
    started = time.process_time()
    cut(f"{first}{text * (100_000 // len(text))}{last}", format="html" if "<" in first + text else "plain")
    assert time.process_time() - started < 6


@pytest.mark.parametrize("text", ["word ", "/* a\n", "` \\", "'''", "{"])
def test_time_of_code_does_not_grow_with_the_square_of_the_length(text):
    started = time.process_time()
    cut(text * (100_000 // len(text)), format="code")
    assert time.process_time() - started < 6


@pytest.mark.parametrize(
    ("language", "marked"),  # a | where a sentence ends
    [
        ("fr", "Marius vainquit les Teutons en 102 av. J.-C.|Rome brûla."),
        ("fr", "C'était en 52 av. J.-C. selon le Pr. Hale.|Il a vu le n. 5 de la rue."),
        ("it", "Si veda pag. 3 e fig. 4 del libro.|Il Sig. Rossi ha detto di no.|Vedi la pagina."),
        ("pt", "Moro na Av. Paulista n. 5.|É bom."),
        ("vi", "Tôi sống ở TP. Hồ Chí Minh.|Chào ThS. Nam."),
        ("nl", "Ik weet dat.|Mevr. Jansen weet het ook."),
        ("pl", "Kościół św. Jana jest stary.|To dr. Nowak."),
        ("sv", "Det finns t.ex. Anna.|Hon kom kl. 5 i går."),
        ("tr", "Bu Doç. Yılmaz.|O geldi."),
        ("de", "Das ist Dr. h.c. mult. Meier aus Bonn.|Er kam am Fr. 6. März."),
        ("en", "Call tel. 555 1234 now.|Tel. +44 113 496 is it."),
        ("en", "It begins at 5 p.m. ET on Fri. 6 March.|He sat.|Then 3 came."),
        ("pl", "Kosztował ok. 4 mln zł.|Prof. dr hab. J. Nowak był za.|Zob. str. 5 i ul. Długa."),
        ("pt", "Mede aprox. 330 m.|A Ana, av. Brasil, foi lá."),
        ("sv", "Den öppnades 3 okt. 1932 i Lund.|Se s. 5 i boken."),
        ("tr", "Bkz. s. 5.|Çok yüksek."),
        ("he", "פרופ. כהן פתח את הגשר.|הוא גבוה."),
        ("en", "It costs 5 dollars incl. VAT.|She lives in Boston, Mass. 02110 now."),
        ("nl", "Hij kostte veel.|'s Avonds is hij dicht."),
        ("de", "Das war Ludwig XIV.|Er kam oft.|Kaiser Wilhelm II. besuchte ihn."),
        ("en", "2 cups flour|1 tsp. salt|2 tbsp. oil"),
        ("en", "Paris!! 🇫🇷️|It won! ❤️|Yes."),
        ("en", "$$x = 1. Y = 2.$$|Next one."),
        ("en", "The answer is 1. e4 e5 2. Nf3 Nc6 3. Bb5.|It is old."),
        ("en", "No.|I said no.|See No. II of the list."),
        ("en", "[laughs] I don't know.|[pause] Maybe it was 1932.|See it [2] there."),
        ("ar", "الارتفاع 330 م.|هل تعلم؟|نعم."),
        ("ja", "町の人々（約300人。多くは漁師。）が払った。|橋は古い。|（古い。）|そうだ。"),
        ("zh", "镇上的人（约300人。多为渔民。）付了钱。|桥很老。"),
    ],
)
def test_a_stop_that_ends_no_sentence_and_one_that_does(language, marked):
    right = marked.split("|")
    text = ("\n" if language == "en" and "flour" in marked else " ").join(right)
    assert cut_texts(text, language=language) == right


def test_a_title_at_a_line_s_end_goes_on_with_the_name():
    text = "They built the church of St.\nAldan in 1900. It is old."
    assert cut_texts(text) == ["They built the church of St. Aldan in 1900.", "It is old."]


@pytest.mark.parametrize(
    "marked",  # a | where a sentence ends
    [
        '"It is true."|He left.|"Is it true?" he asked.|“It is.” Mary said so.|It was.|“It is.”|This answered nobody.',
        "“It is late.|Is it true?” Mary asked.|'It's Ann's!' Mary cried.|“He asked, ‘Is it true?’” Mary said.|No.",
        "*“Is it true?”* Mary wondered.|“Perhaps…” Tom murmured.|He said “Is it true?”|Mary asked twice.",
        "<i>“Is it true?”</i> Mary asked.|&ldquo;Is it true?&rdquo; Mary asked.|No.",
        "„Es ist spät.|Wirklich?“ fragte er.|Niemand wusste es.|»Es ist spät.|Wirklich?« fragte er.|„Nein!“|Er ging.",
        "« Il est tard.|Vraiment ? » demanda-t-il.|« Non ! » s’écria Jean.|« Oui. »|Il partit.",
        "«¿De verdad?» preguntó él.|Nadie lo sabía.|«No.»|Se fue.",
        "«Правда?» — спросил он.|Никто не знал.|«Нет».|Он ушёл.",
        "«Αλήθεια;» ρώτησε εκείνος.|Κανείς δεν ήξερε.",
        "”Onko totta?” Matti kysyi.|Kukaan ei tiennyt.",
        "“Thật sao?” Nam hỏi.|Không ai biết.",
        "“진짜예요.” 그가 말했다.|아무도 몰랐다.|“진짜예요.”|그는 떠났다.",
        '"هذا صحيح." قال أحمد.|لا.|"هذا صحيح."|غادر أحمد.',
        '"זה נכון." אמר דוד.|לא.',
        "“हाँ।” उसने कहा।|कोई नहीं।",
    ],
)
def test_a_sentence_goes_on_behind_a_quotation_where_it_says_who_speaks(marked):
    right = marked.split("|")
    assert cut_texts(" ".join(right), format="markdown") == right


@pytest.mark.parametrize(
    "marked",
    [
        "「遅い。|本当ですか？」と彼は言った。|「本当ですか？」彼は聞いた。|「本当だ。」|誰も答えなかった。",
        "「彼は『本当か？』と言った。」と母が言った。|「本当だ。」|彼は去った。",
        "“真的吗？”老人低声问道。|“真的。”|没有人回答。|“真的。”|他走了。",
        "他说：“真的吗？”然后走了。|「真的嗎？」他說。|沒有。",
    ],
)
def test_so_it_does_where_no_space_stands_behind_it(marked):
    assert cut_texts(marked.replace("|", "")) == marked.split("|")
