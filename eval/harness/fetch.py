"""The files of public sets, from their repository or from a folder: each comes whole and as published, or not at all."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

from eval.harness.data import File, PublicSet, remember, wrong
from llmattr.core.files import write
from llmattr.core.progress import Progress
from llmattr.errors import LlmattrError

RAW = "https://raw.githubusercontent.com/{repository}/{commit}/{path}"
PATIENCE = 30.0  # seconds for which a server may say nothing
BLOCK = 1 << 16  # bytes


class NotThereError(LlmattrError):
    """A file that a folder has not."""


Source = Callable[[PublicSet, File], Iterable[bytes]]  # a file's contents, block by block


def fetch(one: PublicSet, source: Source) -> None:
    """Bring those files of a set that are missing or wrong.

    Raises `LlmattrError` where one cannot be had or is not as published: it is not kept, and those before it are.
    """
    needed = wrong(one)
    with Progress(sum(file.size for file in needed), f"fetching {one.name}", "bytes") as bar:
        for file in needed:
            blocks = []
            for block in source(one, file):
                blocks.append(block)
                bar.update(len(block))
            _keep(one, file, b"".join(blocks))
    if needed:
        remember(one)


def _keep(one: PublicSet, file: File, content: bytes) -> None:
    """Write a file that is as published."""
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(file.sha256):
        asked = f"{file.size} bytes with SHA-256 {file.sha256[:16]} were expected, {len(content)} with {found[:16]} found"
        raise LlmattrError(f"{file.name} of {one.name} is not as published: {asked}; it is not kept")
    place = one.folder / file.name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LlmattrError(f"cannot make the folder {str(place.parent)!r}: {error.strerror}") from None
    write(place, content)


def from_repository(one: PublicSet, file: File) -> Iterator[bytes]:
    """The file at the set's commit; a byte more than it should have at most."""
    url = RAW.format(repository=one.repository, commit=one.commit, path=quote(file.path))
    left = file.size + 1
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            while left and (block := answer.read(min(BLOCK, left))):
                left -= len(block)
                yield block
    except HTTPError as error:
        raise LlmattrError(f"{url} answered {error.code}: {_instead(one)}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise LlmattrError(f"cannot reach {urlsplit(url).netloc} ({reason}): {_instead(one)}") from None


def _instead(one: PublicSet) -> str:
    where = f"github.com/{one.repository} at commit {one.commit}"
    return f"get the files of {where} in another way, then python -m eval data {one.name} --from FOLDER"


def from_folder(folder: Path) -> Source:
    """Files by their name or their path in the repository, in this folder or in a folder of the set's name there."""

    def contents(one: PublicSet, file: File) -> list[bytes]:
        names = (file.name, file.path, Path(file.path).name)
        places = [base / name for base in (folder / one.name, folder) for name in names]
        found = [place.read_bytes() for place in dict.fromkeys(places) if place.is_file()]
        if not found:
            raise NotThereError(f"{file.name} of {one.name} is not in {str(folder)!r}, nor in a folder {one.name!r} there")
        right = (content for content in found if hashlib.sha256(content).hexdigest().startswith(file.sha256))
        return [next(right, found[0])]  # several sets have a LICENSE

    return contents
