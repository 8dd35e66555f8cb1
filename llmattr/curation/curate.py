"""`curate`: what one may want to drop of a training set, and why."""

from pathlib import Path

from llmattr.core.files import digest
from llmattr.curation.contamination import contamination
from llmattr.curation.duplicates import duplicates
from llmattr.curation.finding import Curation
from llmattr.curation.kept import Kept
from llmattr.curation.outliers import outliers, word_vectors
from llmattr.curation.texts import Texts
from llmattr.text.reading import Columns, Data, open_rows


def curate(
    data: Data,
    test: Data | None = None,
    *,
    split: str | None = None,
    columns: Columns | None = None,
    cache: Path | None = None,
) -> Curation:
    """Look through training rows, and drop nothing: duplicates, conflicts, outliers, and what gives `test` away.

    `data`, `split`, `columns` as `open_rows` takes them; the rows of `test` have the same columns. `cache`: a folder in
    which finished parts are kept, so that a run that is killed goes on; None keeps nothing. Raises `LlmattrError` for what
    cannot be read.
    """
    rows = open_rows(data, split, columns)
    texts = Texts.of(rows)
    test_rows = [] if test is None else open_rows(test, columns=columns)
    asked = Texts.of(test_rows)
    kept = Kept(cache, digest([texts.digest(), asked.digest()]))
    findings = duplicates(texts, kept) + (contamination(texts, asked, kept) if len(asked) else [])
    findings += outliers(texts.whole, kept.part("vectors", lambda: word_vectors(texts.whole)), kept)
    kept.tidy()
    return Curation(rows, findings, {"test rows": len(asked)}, test=test_rows)
