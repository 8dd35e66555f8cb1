"""What ends with a full stop and ends no sentence, beyond what sentencex knows, language by language."""

from collections.abc import Iterable
from functools import cache

import regex

# Titles and the like: a name or a word comes behind, so no sentence ends there whatever the next letter is.
_BEFORE_NAMES = (
    "Mr Mrs Ms Mx Messrs Dr Drs Prof Rev Hon St Ste Gen Col Lt Sgt Capt Cpt Maj Cmdr Adm Gov Sen Rep Pres "
    "Supt Det Insp vs cf e.g i.e viz incl excl"
)
# What a number or a month comes behind.
_BEFORE_NUMBERS = (
    "No Nos Nr Fig Figs Sec Secs Sect Ch Chap ch Vol Vols Art Arts Eq Eqs Tab Tbl Abb Kap Abs Bd Anm Aufl "
    "Ziff Ref Refs App Ex pp p S vol chap art fig núm nº pág págs cap lám v ss sec eq tab approx ca circa "
    "n nn nr tel Tel fax ext max pag pagg figg tav blz afb kl kap godz rys hal стор séc čl "
    "Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun Mo Di Mi Do Fr Sa So lun mer jeu ven sam dim jue vie "
    "par para s jan feb febr apr aug sep sept okt nov dec "
    "σ σσ σελ αρ αριθ κεφ εικ ν άρθ απόφ τηλ παρ τόμ рис табл гл стр с п ст ул д кн т kuva taul luku"
)
_OF = {
    "en": "approx dept est govt ed eds tsp tbsp oz lb Jan Feb Mar Apr Aug Sept Oct Nov Dec Mt Ave Blvd",
    "de": (
        "Fa bzw ca d.h d.i z.B z.T z.Zt u.a u.U h.c mult phil rer nat med jur "
        "i.d.R i.A o.ä o.g s.o s.u v.a vgl evtl ggf inkl exkl gem geb "
        "gest Hr Hrn Fr Frl Dipl Ing Str sog Std Min Mio Mrd Tsd usf zzgl zz Tel Univ Jh Jhd Jan Feb Apr Aug "
        "Sept Okt Nov Dez entspr einschl insb insbes lt max min mind"
    ),
    "fr": (
        "M MM Pr Prs t bd no Mme Mmes Mlle Mgr Me p.ex env cf éd av apr J.-C c.-à-d boul tél hab janv févr avr juil "
        "sept oct nov déc St Ste"
    ),
    "es": (
        "pl Cía Sr Sra Sres Sras Srta D Dña Dr Dra Drs Ud Uds Vd Vds Prof Profa p.ej aprox av avda tel EE "
        "admón dpto a.C d.C Lic Ing Arq Gral Fr Sto Sta"
    ),
    "it": "pag pagg fig figg sig sigg dott ing avv p.es ad.es",
    "pt": "aprox av Av Al Rod Trav Lgo Sr Sra Profa Cia p.ex",
    "nl": "dhr mevr Dhr Mevr mw ds incl excl bijv",
    "sv": "t.ex d.v.s dvs resp bl.a",
    "da": "f.eks bl.a dvs",
    "no": "f.eks bl.a dvs",
    "pl": "dr hab inż mgr pl św tzw m.in ok zob Zob str ul tj tzn",
    "cs": "kpt plk mj",
    "tr": "Doç Yrd Av Sn bkz Bkz örn Örn Cad Sok Mah Apt",
    "ro": "dl dna",
    "hu": "ún kb",
    "id": "Bpk Sdr Jl",
    "vi": "TP Tp ThS Ths TS PGS GS BS KS LS NXB TX",
    "fi": "esim ns mm n k.o ko po puh prof tri toht rva hra os vrt eli ts em",
    "el": "κα κος αι Ιαν Ιουν Νοε Ιωάν Κων",
    "ru": (
        "г гг в вв им ул пр просп д кв корп стр т.е т.к т.н т.д.н тов проф акад доц канд см ср напр др св тыс "
        "млн млрд обл р-н пос пер наб пл"
    ),
    "ar": "د م أ ص إلخ",
    "he": "פרופ עו״ד אינג גב מס עמ",
}

_SHORT = {  # what no whole word is: consonants alone behind a space or another such stop, or one at the end in Greek
    "th": r"(?:(?<!\p{Thai})[ก-ฮ]{1,4}|[ก-ฮ]\.\s?[ก-ฮ]{1,3})\.\s*$",
    "lo": r"(?:(?<!\p{Lao})[ກ-ຮ]{1,4}|[ກ-ຮ]\.\s?[ກ-ຮ]{1,3})\.\s*$",
    "el": r"(?<!\p{L})(?!(?:μπαρ|σοκ|γκολ|τεστ|τραμ|φιλμ|κλαμπ|ροκ|ποπ|σεφ)\.)\p{Greek}{0,5}[βγδζθκλμπρστφχ]\.\s*$",
}
# Abbreviations, and words that are written as one is, that may end a sentence: before a capital letter, and after an acronym
# before a word that opens sentences.
_ENDS = (
    r"(?:\b(?:etc|usw|u\.\s?s\.\s?w|ff|pts|т\.\s?д|т\.\s?п|[ad]\.\s?C|(?:av|apr)\.\s?J\.\s?-C"
    r"|π\.\s?Χ|μ\.\s?Χ|π\.\s?μ|μ\.\s?μ|τ\.\s?μ|κ\.?\s?λπ|κ\.?\s?τ\.?\s?λ|κ\.\s?ά|κ\.\s?ο\.\s?κ)"
    r"|\d\s?(?:гг?|м|км|см|кг|руб|коп|μ|χλμ|εκ|m|km|cm|mm|kg|h|min|sec|hrs|pts|lb|oz|tsp|tbsp|Std|Min|€|%))\.\s+(?=[«“„\"(¿¡]*\p{Lu})"
    r"|(?<!\d)\d{1,3}\s?(?:م|كم|سم|كغ|كجم)\.\s+(?=\p{Arabic})|\b(?:[Nn]o|dat|me|fa|may|art)\.\s+(?=\p{Lu}\p{Ll}|I['’ ])"
)
_OPENS = (
    "The|They|Their|There|Then|It|Its|He|She|We|You|This|That|These|In|On|At|But|And|An|Who|What|Why|How|When|Where|If|No"
    "|Ο|Η|Το|Οι|Τα|Τον|Την|Στο|Στη|Και|Αλλά|Δεν|Αυτό|Τότε|Έτσι|Μετά"
)
_AFTER_A_KING = "Er|Sie|Es|Das|Dies\\w*|Il|Elle|Ce|Él|Ella|Lui|Lei|Hij|Zij|Han|Hon|Ele|Ela"
MAY_END = regex.compile(rf"{_ENDS}|\b(?:(?:\p{{Lu}}\.){{2,6}}\s+(?=(?:{_OPENS})\b)|[IVX]{{2,6}}\.\s+(?=(?:{_AFTER_A_KING})\b))")
_MONTH = regex.compile(
    r"(?:Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|Jan|Feb|Apr|Aug|Sep|Okt|Nov|Dez|Jahrhundert|Jahrtausend|Jh|"
    r"\p{L}+kuu\p{Ll}*)"
)
_ORDINAL = regex.compile(r"(?<![\p{L}\d.,])\d{1,3}\.\s*$")
_ORDINALS = {"de", "fi", "da", "no", "et", "cs", "sk", "hu", "hr", "sl", "tr", "lv", "lt", "is", "pl", "sr"}
_BEFORE_ORDINAL = regex.compile(
    r"\b(?:am|vom|zum|beim|im|dem|den|der|des|die|das|ein|eine|einen|einem|einer|eines|jeder|jedem|jeden|seit|bis|ab|und|oder|Am|Vom|Im|Der|Die|Das|Zum|Beim|Den|Dem)\s+"
    r"(?:\d{1,2}\.\s*(?:/|–|-|und|bis)\s*)?\d{1,3}\.\s*$"
)
_ENGLISH_MONTH = r"(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)(?:[a-z]{2,6})?\b"
_NUMBER = regex.compile(rf"[+(]*\d|[IVXLC]+\b|{_ENGLISH_MONTH}")
_ZONE = regex.compile(r"(?:[ECMP][SD]?T|GMT|UTC|BST|CES?T|IST|JST)\b")  # behind "5 p.m."
_ZIP = regex.compile(r"\d{5}\b")  # behind "Boston, Mass."
_STATE = regex.compile(r",\s\p{Lu}\p{L}{1,5}\.$")
_CHESS = regex.compile(r"(?:[KQRBN]?[a-h]?[1-8]?x?[a-h][1-8]|O-O)\b")  # behind "1. e4 e5 2."
_INITIALS = regex.compile(r"(?<![\p{L}\p{M}\d])\p{Lu}\.(?:[\s-]*\p{Lu}\.)*$")


def is_before_a_name(left: str) -> bool:
    """Whether a text ends with a title or the like, whatever its language: the next line goes on with a name."""
    return bool(_BEFORE_A_NAME.search(left))


def is_abbreviated(left: str, right: str, language: str) -> bool:
    """Whether the stop is that of an abbreviation, an initial or an ordinal."""
    if any(end.end() == len(left) + 1 for end in MAY_END.finditer(f"{left} {right}", max(len(left) - 12, 0), len(left) + 20)):
        return False
    if _ends_with(language).search(left):
        return True
    if _NUMBER.match(right) and _BEFORE_A_NUMBER.search(left):
        return True
    if (left.endswith(".m.") and _ZONE.match(right)) or (_CHESS.match(right) and _ORDINAL.search(left)):
        return True
    if _ZIP.match(right) and _STATE.search(left):
        return True
    initials = _INITIALS.search(left)
    if initials and (language != "en" or initials[0].count(".") > 1) and right[:1].isupper():
        return True
    if language not in _ORDINALS or not _ORDINAL.search(left):
        return False
    return bool(right[:1].isdigit() or _MONTH.match(right) or _BEFORE_ORDINAL.search(left))


@cache
def _ends_with(language: str) -> regex.Pattern[str]:
    listed = rf"(?<![\p{{L}}\p{{M}}])(?:{_either(f'{_BEFORE_NAMES} al {_OF.get(language, str())}'.split())})\.\s*$"
    return regex.compile("|".join([listed, *([_SHORT[language]] if language in _SHORT else [])]))


def _either(words: Iterable[str]) -> str:
    """A pattern of these words; a space may stand behind a full stop inside one."""
    return "|".join(regex.escape(word).replace(r"\.", r"\.\s?") for word in sorted(set(words), key=len, reverse=True))


_BEFORE_A_NAME = regex.compile(rf"(?<![\p{{L}}\p{{M}}])(?:{_either(_BEFORE_NAMES.split())})\.\s*$")
_BEFORE_A_NUMBER = regex.compile(rf"(?<![\p{{L}}\p{{M}}\d])(?<!['’](?=s\.))(?:{_either(_BEFORE_NUMBERS.split())})\.\s*$")
