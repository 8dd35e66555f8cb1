"""Tables of what stands beside a number: scales, units, months; as patterns of folded text (small letters, no accents)."""

import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple, TypeVar

import regex

T = TypeVar("T")
Table = tuple[regex.Pattern[str], list[T]]


class Unit(NamedTuple):
    """What is measured, and how a value becomes one of its base unit."""

    kind: str
    factor: float = 1.0
    offset: float = 0.0

    def to_base(self, value: float) -> float:
        """The value in the base unit."""
        return value * self.factor + self.offset


_SCALES = {
    r"thousand|tausend|mille|mila|mil|duizend|тыс\p{L}*|k": 1e3,
    r"mil millones": 1e9,
    r"million\p{L}*|mil(?:hoes|hao|lones|lon|ioni|ione|joen)|миллион\p{L}*|mio|mn|mln|млн": 1e6,
    r"billions?|milliard\p{L}*|mil?[ij]ard\p{L}*|bi(?:lhoes|lhao)|миллиард\p{L}*|mrd|mld|bn|млрд": 1e9,
    r"trillions?|trn|трлн": 1e12,
    r"lakhs?": 1e5,
    r"crores?": 1e7,
    r"[万萬]": 1e4,
    r"[億亿]": 1e8,
}
_SQUARE = r"(?:square|sq|quadrat\p{L}*)[. -]?\s?"
_UNITS = {
    r"%|٪|per ?cent|prozent|pour ?cent|por ?cien?to|per ?cento|procent|процент\p{L}*": Unit("share"),
    r"us ?\$|\$|usd|(?:us |u\.s\. )?dollars?|dolares|доллар\p{L}*|美元": Unit("dollar"),
    r"€|eur|euros?|евро|欧元": Unit("euro"),
    rf"km2|{_SQUARE}(?:km|kilomet\p{{L}}*)|kilometres? carres?|кв\. км": Unit("area", 1e6),
    rf"m2|{_SQUARE}(?:m|met(?:er|re)\p{{L}}*)|metres? carres?": Unit("area"),
    rf"{_SQUARE}mi(?:les?)?|mi2": Unit("area", 2589988.0),
    rf"{_SQUARE}f(?:ee|oo)?t": Unit("area", 0.09290304),
    r"acres?": Unit("area", 4046.856),
    r"ha|hectares?|hektar": Unit("area", 1e4),
    r"km/h|kmh|kph|kilomet(?:er|re)s? per hour": Unit("speed", 1.0),
    r"mph|miles? per hour": Unit("speed", 1.609344),
    r"km|(?:ki|chi|qui)lomet\p{L}*|километ\p{L}*|км|公里|千米|キロ": Unit("length", 1000.0),
    r"m|met(?:er|re|ro)[ns]?|metri|мет(?:р|ра|ров)|м|米|メートル": Unit("length"),
    r"cm|[cz]entimet\p{L}*|сантимет\p{L}*|厘米": Unit("length", 0.01),
    r"mm|mil+imet\p{L}*|миллимет\p{L}*|毫米": Unit("length", 0.001),
    r"miles?|mi|meilen|milles|millas|miglia|milhas|mijl|мил(?:ь|и|я)|英里": Unit("length", 1609.344),
    r"nautical miles?|nmi": Unit("length", 1852.0),
    r"f(?:ee|oo)?t|fuß|pieds?|pies?|piedi|pes": Unit("length", 0.3048),
    r"inch(?:es)?|″": Unit("length", 0.0254),
    r"y(?:ar)?ds?": Unit("length", 0.9144),
    r"kg|kilo(?:gram\p{L}*)?s?|кг|килограмм\p{L}*|公斤|千克": Unit("mass"),
    r"g|gram(?:me|m|o)?s?|грамм\p{L}*": Unit("mass", 0.001),
    r"mg|mil+igram\p{L}*": Unit("mass", 1e-6),
    r"metric tons?|tonnes?|tonnen|t|тонн\p{L}*|吨": Unit("mass", 1000.0),
    r"lbs?|pounds?": Unit("mass", 0.45359237),
    r"oz|ounces?": Unit("mass", 0.028349523),
    r"l|lit(?:er|re|ro)s?|litri|литр\p{L}*": Unit("volume"),
    r"ml|mil+ilit\p{L}*": Unit("volume", 0.001),
    r"gal(?:lons?)?": Unit("volume", 3.785412),
    r"°\s?c|degrees? c(?:elsius)?|grad celsius|℃": Unit("temperature"),
    r"°\s?f|degrees? f(?:ahrenheit)?|℉": Unit("temperature", 5 / 9, -160 / 9),
    r"sec(?:ond)?s?|sekunden?|secondes?|segundos?": Unit("time"),
    r"min(?:ute)?s?|minuten|minutos?|minuti|минут\p{L}*": Unit("time", 60.0),
    r"h|hours?|hrs?|stunden?|heures?|horas?|ore|uur|час\p{L}*": Unit("time", 3600.0),
    r"days?|tagen?|jours?|dias?|giorni|dagen|дн(?:я|ей)": Unit("time", 86400.0),
    r"weeks?|wochen?|semaines?|semanas?|settimane|weken|недел\p{L}*": Unit("time", 604800.0),
    r"months?|monaten?|meses|mesi|maanden|месяц\p{L}*": Unit("time", 2629800.0),
    r"years?|yrs?|jahren?|annees?|ans|anos?|anni|jaar|лет|года": Unit("time", 31557600.0),
    r"decades?|jahrzehnten?|decennies?|decadas?": Unit("time", 315576000.0),
}
CENTURY = regex.compile(  # behind a number
    r"\s?(?:th|st|nd|rd|e|eme|\.|-[еи]|º|°)?[\s-]?(?:centur\p{L}*|c\.|jahrhundert\p{L}*|jh\b|siecles?|siglos?|secol[oi]|seculos?|eeuw\p{L}*|век\p{L}*|世紀|世纪)"
)
DECADE = regex.compile(r"['’]?s\b|er(?:-?jahre?n?)?\b|年代|-е\b")
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "CNY")  # codes that stand before a number
_OF_MONEY = regex.compile(r"\s?([mb])\b")  # else "m" is a metre
_MONTHS = """
january jan janvier janv januar enero gennaio janeiro januari января январь
february feb fevrier fevr februar febrero febbraio fevereiro februari февраля февраль
march mar mars marz maerz marzo marco maart mrt марта март
april apr avril abril aprile апреля апрель
may mai mayo maggio maio mei мая май
june jun juin juni junio giugno junho июня июнь
july jul juillet juil juli julio luglio julho июля июль
august aug aout agosto augustus августа август
september sep sept septembre septiembre settembre setembro сентября сентябрь
october oct octobre oktober okt octubre ottobre outubro oktober октября октябрь
november nov novembre noviembre novembro ноября ноябрь
december dec decembre dezember dez diciembre dicembre dezembro декабря декабрь
"""


def fold(text: str) -> str:
    """Small letters without accents, and the plain form of what has another (NFKC).

    >>> fold("Å ℃ ﬁ É ٣")
    'a °c fi e ٣'
    """
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c)))


MONTHS = {fold(name): month for month, line in enumerate(_MONTHS.split("\n")) for name in line.split()}


def scale_at(text: str, money: bool = False) -> tuple[float, int]:
    """By how much the number is multiplied that stands before this folded text, and how many characters say so."""
    if money and (letter := _OF_MONEY.match(text)):
        return {"m": 1e6, "b": 1e9}[letter[1]], letter.end()
    return _first(_scales(), text) or (1.0, 0)


def unit_at(text: str) -> tuple[Unit | None, int]:
    """The unit that this folded text begins with, and how many characters say so."""
    return _first(_units(), text) or (None, 0)


def _first(table: "Table[T]", text: str) -> tuple[T, int] | None:
    pattern, values = table
    found = pattern.match(text)
    return (values[found.lastindex - 1], found.end()) if found and found.lastindex else None


@cache
def _scales() -> "Table[float]":
    return _made(_SCALES)


@cache
def _units() -> "Table[Unit]":
    return _made(_UNITS)


def _made(table: Mapping[str, T]) -> "Table[T]":
    either = "|".join(f"({one})(?![\\p{{L}}\\p{{N}}])" for one in table)
    return regex.compile(rf"[\s-]{{0,2}}(?:{either})"), list(table.values())
