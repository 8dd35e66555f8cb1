"""The one writer of JSON: what it writes, jq, browsers and Go read too; and whether a text is JSON."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_text(value: object, indent: int | None = 1) -> str:
    """The value as strict JSON (RFC 8259): numbers that are not finite become null, numpy's arrays and numbers plain ones.

    null among numbers reads back as nan. What JSON has no form for (a path, a date) is written as text, and half a surrogate as
    its escape.
    """
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return text.encode(errors="backslashreplace").decode()


def plain(value: object) -> Any:
    """The same in dicts, lists, texts, whole and finite numbers, truth values and None."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, (str, bool, int)) else str(value)


def is_json(text: str) -> bool:
    """Whether the text is JSON that can be read."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
