"""What ends with a full stop and ends no sentence, beyond what sentencex knows, language by language."""

from collections.abc import Iterable
from functools import cache

import regex

# Titles and the like: a name or a word comes behind, so no sentence ends there whatever the next letter is.
_BEFORE_NAMES = (
    "Mr Mrs Ms Mx Messrs Dr Drs Prof Rev Hon St Ste Gen Col Lt Sgt Capt Cpt Maj Cmdr Adm Gov Sen Rep Pres "
    "Supt Det Insp vs cf e.g i.e viz al"
)
# What a number comes behind.
_BEFORE_NUMBERS = (
    "No Nos Nr Fig Figs Sec Secs Sect Ch Chap ch Vol Vols Art Arts Eq Eqs Tab Tbl Abb Kap Abs Bd Anm Aufl "
    "Ziff Ref Refs App Ex pp p S vol chap art fig núm nº pág págs cap lám v ss sec eq tab approx ca circa "
    "par para σ σσ σελ αρ αριθ κεφ εικ ν άρθ απόφ τηλ παρ τόμ рис табл гл стр с п ст ул д кн т kuva taul luku"
)
_OF = {
    "en": "approx dept est govt Jan Feb Mar Apr Aug Sept Oct Nov Dec Mt Ave Blvd",
    "de": (
        "Fa bzw ca d.h d.i z.B z.T z.Zt u.a u.U i.d.R i.A o.ä o.g s.o s.u v.a vgl evtl ggf inkl exkl gem geb "
        "gest Hr Hrn Fr Frl Dipl Ing Str sog Std Min Mio Mrd Tsd usf zzgl zz Tel Univ Jh Jhd Jan Feb Apr Aug "
        "Sept Okt Nov Dez entspr einschl insb insbes lt max min mind"
    ),
    "fr": (
        "M MM t bd no Mme Mmes Mlle Mgr Me p.ex env cf éd av apr J.-C c.-à-d boul tél hab janv févr avr juil "
        "sept oct nov déc St Ste"
    ),
    "es": (
        "pl Cía Sr Sra Sres Sras Srta D Dña Dr Dra Drs Ud Uds Vd Vds Prof Profa p.ej aprox av avda tel EE "
        "admón dpto a.C d.C Lic Ing Arq Gral"
    ),
    "fi": "esim ns mm n k.o ko po puh prof tri toht rva hra os vrt eli ts em",
    "el": "κα κος αι Ιαν Ιουν Νοε Ιωάν Κων",
    "ru": (
        "г гг в вв им ул пр просп д кв корп стр т.е т.к т.н т.д.н тов проф акад доц канд см ср напр др св тыс "
        "млн млрд обл р-н пос пер наб пл"
    ),
    "ar": "د م أ ص",
}

_SHORT = {  # what no whole word is: consonants alone behind a space or another such stop, or one at the end in Greek
    "th": r"(?:(?<!\p{Thai})[ก-ฮ]{1,4}|[ก-ฮ]\.\s?[ก-ฮ]{1,3})\.\s*$",
    "lo": r"(?:(?<!\p{Lao})[ກ-ຮ]{1,4}|[ກ-ຮ]\.\s?[ກ-ຮ]{1,3})\.\s*$",
    "el": r"(?<!\p{L})(?!(?:μπαρ|σοκ|γκολ|τεστ|τραμ|φιλμ|κλαμπ|ροκ|ποπ|σεφ)\.)\p{Greek}{0,5}[βγδζθκλμπρστφχ]\.\s*$",
}


@cache
def ends_with_abbreviation(language: str) -> regex.Pattern[str]:
    """What a text ends with that goes on behind its full stop, in this language."""
    words = [word for group in (_BEFORE_NAMES, _OF.get(language, "")) for word in group.split()]
    listed = rf"(?<![\p{{L}}\p{{M}}])(?:{_either(words)})\.\s*$"
    return regex.compile("|".join([listed, *([_SHORT[language]] if language in _SHORT else [])]))


def _either(words: Iterable[str]) -> str:
    """A pattern of these words; a space may stand behind a full stop inside one."""
    return "|".join(regex.escape(word).replace(r"\.", r"\.\s?") for word in sorted(set(words), key=len, reverse=True))


BEFORE_A_NUMBER = regex.compile(rf"(?<![\p{{L}}\p{{M}}])(?:{_either(_BEFORE_NUMBERS.split())})\.\s*$")
