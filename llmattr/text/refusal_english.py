"""How a refusal is put together in any language, and how it is said in English: patterns of small letters."""

from typing import NamedTuple

import regex


class Refusing(NamedTuple):
    """The words of a language, whose names in capitals stand for them in the patterns behind them.

    doc: what documents are called; no: what denies; tell: what documents do; known: what is done with what stands there;
    in_doc: in or by documents; phrase: what refuses without documents; beside: clauses that may stand with a refusal; cut:
    where a clause ends; denial: the documents do not tell, or it is not known from them; denies: a word without which neither
    a phrase nor a denial is said, so that these, which are long, are made only for a sentence that may refuse.
    """

    doc: str
    no: str
    tell: str
    in_doc: str
    known: str
    phrase: str
    beside: str
    cut: str
    denial: str = r"^(?=.*NO)(?:(?=.*DOC).*TELL|(?=.*IN_DOC).*KNOWN)"
    denies: str = "NO"


_WH = r"(?:who|whom|whose|what|when|where|why|how|which|whether)"
_UNTOLD = (
    r"un(?:named|stated|said|mentioned|specified|disclosed|identified|addressed|answered"
    r"|recorded|clear|known)|missing|absent|left out|omitted"
)
_STATED = (
    r"stated|mentioned|specified|given|provided|indicated|listed|named|said|available|described|disclosed"
    r"|included|discussed|explained|addressed|recorded|reported|covered"
)
_TOLD = r"(?:stated|mentioned|specified|given|provided|indicated|listed|named|said|addressed|reported|told|identified)"
_UNTOLD_THING = r"(?:(?:the|his|her|its|their|any|what|which|who|whose|where|when|why|how)\b[^,]*?)"  # whatever was asked for
_INFO = r"(?:information|info|details?|answer)"
_SORRY = (
    r"^(?:(?:sorry|i'm (?:very |so )?sorry|i am (?:very |so )?sorry|i'm afraid|i am afraid|unfortunately|sadly"
    r"|i apologi[sz]e|thank(?:s| you)[^,]*|therefore|thus|hence|additionally|furthermore|that|however|but|so|and|well"
    r"|as an ai[^,]*|as far as i can (?:tell|see)|(?:based |according )?IN_DOC)[,.]? ?)*"
)
_SPEAKER_CANNOT = (
    r"(?:i|we) (?:really |honestly |just |simply )?(?:(?:do|did|can|could)(?: not|n't)|can(?:no|')t"
    r"|(?:am|was|are|were)(?:(?: not|n't) able| unable) to|'m (?:not able|unable) to|(?:have|'ve) not been able to) (?:\w+ly )?"
)
_ENGLISH_DENIAL = (
    # the documents do not tell; none of them tells
    r"DOC,? (?:(?:on|about) (?:(?!TELL)\S+ ){1,8}?)?(?:(?!(?:that|he|she|they|it|his|her"
    r"|says?)\b)\S+ ){0,3}?NO ?(?:\S+ ){0,4}?TELL"
    r"|DOC (?:(?:on|about) (?:\S+ ){1,8}?)?(?:\S+ ){0,2}?(?:(?:is|are) silent|(?:is|are) too \w+ to TELL|stops? short of"
    r"|(?:gives?|offers?|provides?) no\b|makes? no (?:\w+ )?(?:statement|mention|reference|comment)\b"
    r"|(?:says?|ha(?:s|ve)|tells?(?: us| me)?) nothing\b|leaves? (?:\S+ ){0,2}?(?:open|out|UNTOLD))"
    r"|NO (?:\S+ ){0,5}?DOC (?:\S+ ){0,3}?TELL|NO ?(?:\S+ ){0,2}?TELL(?:.* )?IN_DOC(?! \w)"
    r"|^(?:nothing|none of (?:this|these|it)) (?:here |there )?TELL (?:me |us )?WH"
    # it is not told in them
    r"|NO ?(?:\S+ ){0,12}?KNOWN(?:.* )?IN_DOC|\b(?:UNTOLD|impossible|nowhere) (?:.* )?IN_DOC"
    r"|IN_DOC,? (?:\S+ ){0,5}?(?:NO ?(?:\S+ ){0,3}?KNOWN(?! to)|\b(?:is|are|remains?) UNTOLD)"
    r"|^(?:\w+ ){0,2}IN_DOC,.* (?:(?:is|are|was|were|has|have)(?: not|n't)|cannot|can't|no)(?: be"
    r"| been)? (?:\w+ly )?KNOWN(?! to)|\b(?:is|are)(?:n't| not) (?:among (?:the (?:facts|details)|it|them|these)\b"
    r"|(?:a )?part IN_DOC|IN_DOC)"
    # they tell something else (as `beside` says), but not this
    r"|^(?:(?:but|though|yet|and) )?(?:not (?:\w+ )?WH\b|(?:not|neither) (?:its|his|her|their|the)\b(?!.* (?:was|were|is"
    r"|are|had|has|did|could)\b)|nothing (?:about|on|of)\b|never (?:of|about|WH)\b|no (?:\w+ ){1,3}(?:that|who|which|of"
    r"|about|on|for)\b)"
)

ENGLISH = Refusing(
    doc=r"\b(?:texts?|documents?|docs|documentation|knowledge base|(?:these|the given|the provided) (?:files|records)"
    r"|passages?|contexts?|sources?|excerpts?|paragraphs?|snippets?|summary|pages?"
    r"|articles?(?! \d)|search results?|ones (?:here|provided|given|above)"
    r"|what (?:i (?:was|have been)|you(?: have|'ve)?) (?:given|gave|provided|shared|shown|sent)"
    r"|(?:provided|given|available|supplied|above|retrieved) (?:information|content|data|material|page|report|results?)"
    r"|(?:information|content|data|material)s? (?:provided|given|supplied|above|available))\b(?! (?:of|by|for|he"
    r"|she|they|we|code)\b)",
    no=rf"(?:\b(?:not|no|none|nor|neither|nothing|nowhere|never|cannot|unable|impossible|{_UNTOLD}|insufficient"
    r"|lacks?|fails?|silent|omits?|without)\b|\b\w+n't\b)",
    tell=r"\b(?:mentions?|says?|states?|specify|specifies|indicates?|indication|tells?|address(?:es)?|discuss(?:es)?|answers?"
    r"|reveals?|disclos(?:es|e)|explains?|describes?|clarify|clarifies|covers?|identify|identifies|names?|lists?|elaborates?"
    r"|gives?|provides?|includes?|silent|information|details?|references?|contains?|calls?|classify|classifies|ranks?"
    r"|reports?"
    r"|records?|shows?|notes?|supply|supplies|establish(?:es)?|spells? out|go(?:es)? into|deals? with|helps? (?:with|to|me"
    r"|us)|(?:talk|speak)s? (?:of|about)|touch(?:es)? on|(?:allow|permit|let|enable)s? (?:for|an?|any|me|us|one|you))\b",
    in_doc=r"\b(?:in|from|by|on|within|with|using|of|given|anywhere in|to) (?:(?:any|one|either|all|the|this|these"
    r"|those|your|my|of|provided|given|available|supplied|above|two|three) )*DOC",
    known=rf"\b(?:{_STATED}|appears?|(?:be )?seen|determined?|found|find|answered|inferred?|established|derived|identified"
    r"|verified|confirmed|settled|told|shown|noted|dealt with|spelled out|come up|comes up|learn(?:ed|t)|(?:worked"
    r"|made) out|clear|unclear|unknown|known|possible"
    r"|(?<=\b(?:i|we|one|you|to|cannot|can't) (?:\w+ )?)(?:tell|say|know|see))\b",
    phrase=rf"{_SORRY}(?:{_SPEAKER_CANNOT}(?:know\b(?! how to)|answer\b|determine\b"
    rf"|(?:find|locate)(?! (?:my|our|a way|peace)\b)[^,]*$|see (?:any|an|that|this|(?:\S+ ){{0,10}}?IN_DOC)\b"
    rf"|(?:tell|say) (?:you|from|for|with|{_WH})\b|(?:(?:work|make|find) out|establish|identify|decide|settle) {_WH}\b"
    rf"|provide (?:an|you|that|a|any|the|this)\b|compare|confirm|verify|have (?:(?:any|enough|sufficient|access|specific"
    rf"|the|to|that|more|further|details?|on|about|current|necessary|relevant) )*(?:{_INFO}|data))"
    r"|(?:i|we) (?:(?:could )?(?:see|find)|(?:have )?found) (?:no|nothing)\b[^,]*$"
    rf"|(?:i|we) have (?:no|insufficient|not enough) (?:\w+ )?(?:{_INFO}|idea|mention|knowledge"
    r"|way (?:of (?:telling|knowing)|to (?:tell|know)))"
    rf"|(?:i|we) (?:am|was|are|were) (?:(?:not|never) (?:told|shown) {_WH}|given nothing)\b"
    rf"|(?:i'm|i am) not (?:sure|certain)(?:$| {_WH}\b)"
    r"|there (?:is|are)(?:n't| not)? (?:no |not |any |enough |insufficient |sufficient |specific "
    rf"|relevant |further |direct )+{_INFO}\b"
    r"|(?:it|this|that|the (?:\w+ )?(?:year|date|name|number|reason|place|location|price|cost|author|age|amount"
    rf"|answer|information|details?|population|length|height)(?: of [\w ]+)?|{_WH} .*)"
    rf" (?:is|are|was)(?: not|n't) (?:explicitly |clearly |specifically |directly )?(?:{_STATED})(?: here"
    rf"| anywhere| explicitly)?(?:$| {_WH}\b)"
    rf"|{_UNTOLD_THING} (?:(?:is|are)(?: not|n't) (?:\w+ly )?{_TOLD}(?:(?: by name)?(?: here| there| anywhere)?)$"
    r"|(?:is|are|goes|go|remains?) (?:left )?un(?:said|mentioned|stated|named|specified|told)$)"
    r"|there (?:is|'s) nothing (?:here|there|IN_DOC) (?:on|about|that|to)\b"
    r"|(?:neither|none) [^,]*(?:is|are) (?:mentioned|stated|specified|indicated)$)"
    # what begins with nothing else
    r"|^so [^,]* (?:cannot|can't) be (?:compared|answered|told|settled|known|determined)$"
    rf"|\bthere (?:is|are) no (?:\w+ )?(?:mention|indication|reference|(?:word|hint) (?:on|of|about|as to) {_WH})\b"
    r"(?!.* (?:in|on|within) )"
    r"|\b(?:is|are) (?:missing|absent) here$"
    rf"|^(?:no|not enough|insufficient) (?:\w+ )?(?:{_INFO}|mention)(?: (?:about|on|regarding) .*)?(?:$"
    rf"| (?:is|are|was|were) (?:given|provided|available|found)$)"
    rf"|^{_INFO} (?:about|on|regarding) .* (?:is|are) not (?:{_STATED})$"
    r"|^(?:but |while |although )?(?:it|they) (?:does|do)(?: not|n't) (?:\w+ly )?(?:say|state|specify|mention"
    r"|indicate|give|provide)\b"
    r"|^(?:the|this|that|your) question (?:cannot|can't|could not) be answered"
    r"|^not (?:stated|mentioned|specified|given|known|enough information)\b|^(?:unknown|unanswerable|n/a|no answer"
    r"|no idea|(?:do not|don't|cannot|can't) (?:know|say|answer))$",
    beside=rf"{_SORRY}$|(?:but |although |though |while |whereas |and |only )*(?:(?:the|this|these|all|both|it"
    rf"|they|provided|given|you|shared) )*(?:DOC|it|they)?(?: (?:you|provided|shared|only|merely|simply|just|do|does))*"
    rf" ?(?:mentions?|discuss(?:es)?|describes?|(?:talk|tell|speak)s? (?:us |me )?(?:of|about)|covers?|refers? to"
    rf"|focus(?:es)? on|provides?|contains?|gives?|lists?|traces?|(?:is|are) about|(?:say|state"
    rf"|tell)s? {_WH})\b(?!.*(?<!\bof )\bthat\b)(?!.*\d)"
    r"|(?:but |and |so )?(?:please|you (?:may|might|could|can|should|would)|if you|let me know|(?:i|we) (?:would"
    r"|can only|could only|need|recommend|suggest|will need)|i'd |feel free|could you|would you"
    r"|more (?:information|context)|i(?: have|'ve)? (?:looked|read|searched|checked|reviewed)\b)",
    cut=r"[;:!?](?:\s|$)|(?<!\b(?:st|dr|mr|mrs|ms|prof|no|vs|\p{L}))\.(?:\s|$)|\s[-–—]\s|—|,? (?=(?:but|however"
    rf"|although|though|while|whereas|yet)\b)|, (?=not {_WH}\b)"
    r"|, (?=(?:so|which|please|and (?:it|he|she|they|the|i|this|that|there|you))\b)|(?<=^(?:while|although|though"
    r"|whereas)\b[^,]*),",
    denial=_ENGLISH_DENIAL.replace("UNTOLD", f"(?:{_UNTOLD})").replace("WH", _WH),
    denies=r"NO|\b(?:too|stops?|leaves?|untold|unanswerable|n/a)\b",
)

SPEAKER = regex.compile(rf"{_SORRY}(?:i|we)(?:'m)?\b")
TOLD = regex.compile(rf"\b(?:see|mention|telling|nowhere|{_UNTOLD})\b")
TELLS = regex.compile(
    r"\b(?:says?|states?|shows?|tells?|names?|mentions?|gives?|lists?|notes?|reports?|explains?|describes?|indicates?|writes?)\b"
    r"(?! (?:us |me |you )?(?:no|nothing|neither|none)\b)"
)
YES_OR_NO = regex.compile(
    r"(?:^|[\n.?!:,])\s*(?:and |or )?(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|may|must)\b",
    regex.IGNORECASE,
)
# English words that say nothing but what documents do or do not do.
OF_DOCUMENTS = """
document documentation text passage context source excerpt paragraph snippet summary article page material information result
content report search
say said state stated statement mention mentioned tell told give given provide provided name named naming specify specified
indicate indicated indication reveal disclose explain describe cover address answer answered include contain list listed note
record identify identified establish clarify discuss show shown offer supply make comment word detail clue hint data evidence
basis refer reference speak talk
know known clear unclear determine determined find found see seen learn learned infer conclude work possible impossible able
unable sure certain unknown appear stand let allow help settle decide compare
not no none nothing neither nor never nowhere without cannot could lack lacking missing absent silent silence omit omitted leave
left open unsaid unnamed unstated unspecified unmentioned fail insufficient short enough only about
sorry unfortunately sadly afraid available question specific specifically further exact exactly explicitly anywhere something
either among here there part of these those this that any fact year date number place location person people other two both one
what which who whom whose when where why how whether based according
"""
