"""A quotation that ends with a stop, and the sentence around it that goes on: who says it, by the verbs of each language."""

import regex

from llmattr.text.split.blocks import seen

_OPENINGS = {  # of each mark that closes
    "”": "“„”",
    "“": "„“",
    "’": "‘‚’",
    "‘": "‚‘",
    "»": "«»",
    "«": "»«",
    "›": "‹›",
    "‹": "›‹",
    "」": "「",
    "』": "『",
    '"': '"',
    "'": "'",
}
_EMPHASIS = "*_ \u00a0\u202f"
_APOSTROPHE = regex.compile(r"(?<=\w)['’](?=\w)")
_NAMES = (
    r"(?!(?:This|That|It|What|Nobody|None|No)\b)(?:\p{Lu}[\w.’'-]* ){1,3}"  # who speaks, where it begins with a capital letter
)

# Behind a quotation: its particle, or a noun that it belongs to.
_BOUND = regex.compile(r"(?:と|って|という|といった|なんて|など|は|が|を|に|の|も|で|や|、|，|,)")
_BOUND_IN_CHINESE = regex.compile(r"(?:然[后後]|[的就便并並等这這]|之[类類])")
_SAID = regex.compile(  # who says it, with a verb of saying
    rf"{_NAMES}(?:said|says|asked|asks|replied|cried|shouted|whispered|answered|wrote|yelled|exclaimed|murmured|muttered|wondered"
    r"|added|called|sighed|continued|remarked|repeated|snapped|screamed|agreed|explained|insisted|observed)\b"
    rf"|{_NAMES}(?:sanoi|kysyi|vastasi|huusi|kuiskasi|mumisi|dedi|sordu|bağırdı|fısıldadı|yanıtladı|mondta|kérdezte|felelte"
    r"|válaszolta|kiáltotta|suttogta|berkata|bertanya|menjawab|berteriak|berbisik)\b"
    r"|\p{Lu}\p{L}*+ (?:\p{L}+ ){0,2}?(?:nói|hỏi|đáp|trả lời|kêu|hét|thì thầm)\b"
    r"|(?!没|沒|[无無]人|誰|谁)[^。！？，“「]{0,10}[说說道问問喊叫答想写寫嚷]"
    r"|(?!誰も)[^。！？「]{0,12}?[はがも](?:[^。！？「]{0,8}?[をにでくと])?(?:言|云|尋ね|訊|聞い|聞き返|叫|答え|つぶや|呟|ささや|囁|話し)"
    r"|[^.?!“‘]{0,20}?(?:말했|말하|물었|묻|대답했|외쳤|속삭|소리쳤|중얼거|덧붙)"
    r"|(?:قال|سأل|أجاب|صاح|صرخ|همس|رد|أضاف|تساءل)ت?\b"
    r"|[^.؟?!«“]{0,30}?\b(?:گفت|پرسید|پاسخ داد|فریاد زد|کہا|پوچھا|بولا|جواب دیا)\b"
    r"|(?:אמר|שאל|ענ|צעק|לחש|השיב)[הו]?\b"
    r"|[^।?!“‘]{0,40}?(?:कहा|कही|पूछ|बोल|चिल्ला|लिखा|उत्तर दिया|जवाब दिया|सोचा|म्हण|विचारल|भन|सोध)"
    r"|[^।.?!“‘]{0,40}?(?:বলল|বলেন|জিজ্ঞ|ਪੁੱਛ|ਕਿਹਾ|ਬੋਲ|પૂછ|કહ્યું|બોલ|கேட்ட|சொன்ன|கூறி|అడిగ|అన్నా|చెప్ప|ಕೇಳಿ|ಹೇಳಿ|ചോദിച്ച|പറഞ്ഞ)"
    r"|[^.?!„“]{0,20}?(?:ჰკითხა|იკითხა|თქვა|უთხრა|უპასუხა)|[^።?!“]{0,20}?(?:ብሎ|ብላ|ጠየቀ|አለ)"
    r"|[^។?!«“]{0,40}?(?:និយាយ|ឆ្លើយ|សួរ|ស្រែក|តប)|[^။?!“]{0,30}?(?:ပြော|မေး|ဖြေ)"
)
_ASKED = regex.compile(r"[?!؟][”»\"]$")
_CASELESS_LETTER = regex.compile(r"(?![\p{Han}\p{Hiragana}\p{Katakana}])[\p{L}\p{N}]")


def quotation_goes_on(left: str, right: str, has_case: bool) -> bool:
    """Whether a sentence so far, `left`, ends with a quotation behind which it goes on."""
    left = seen(left).strip(_EMPHASIS)
    openings = _OPENINGS.get(left[-1:])
    if openings is None:
        return left.endswith("）") and bool(_BOUND.match(right))
    if left[-1] in "」』" and _BOUND.match(right):
        return True
    opened = [mark for mark in _APOSTROPHE.sub("x", left[:-1]) if mark in openings]
    if left[0] in openings or not opened:  # all that was said so far is the quotation
        if _SAID.match(right) and len(opened) < 2 and (opened or left[-1] != "'"):
            return True
        return bool(opened and not has_case and _ASKED.search(left) and _CASELESS_LETTER.match(right))
    return left[-1] in "”’」』" and bool(_BOUND_IN_CHINESE.match(right))
