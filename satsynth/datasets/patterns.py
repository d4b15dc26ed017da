"""Patterns of paths with {wildcards} and stars: which files fit, and what the wildcards stand for."""

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from satsynth.datasets.rasters import SUFFIXES
from satsynth.label_files import COCO, VECTORS, label_kind, plain

WILDCARD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
STAR = re.compile(r"\{_[0-9]+\}")
ANY_SUFFIX = ".*"


def named(pattern: str) -> str:
    """A pattern whose n-th star is the wildcard {_n}: stars of images and labels stand for the same in turn.

    A `.*` at the end is left out, since a pattern without a suffix fits any: an image and its mask may have different ones.
    """
    start = pattern.removesuffix(ANY_SUFFIX)
    first, *rest = (start if "*" in start or WILDCARD.search(start) else pattern).split("*")
    return first + "".join(f"{{_{number}}}{part}" for number, part in enumerate(rest, 1))


def wildcards(pattern: str) -> tuple[str, ...]:
    """The names of the wildcards of a pattern, each once, in order."""
    return tuple(dict.fromkeys(WILDCARD.findall(pattern)))


def written(names: Iterable[str]) -> str:
    """Names of wildcards as they stand in a pattern, a star as a star."""
    return " ".join(as_written(f"{{{name}}}") for name in names) or "none"


def as_written(pattern: str) -> str:
    """A pattern with its stars as stars."""
    return STAR.sub("*", pattern)


def suffixes(place: str) -> tuple[str, ...]:
    """Those of the files that a folder or pattern is looked through for."""
    return {"vectors": VECTORS, "coco": (COCO,)}.get(label_kind(place), SUFFIXES)


def fixed_folder(pattern: str) -> str:
    """The folder that all files of a pattern lie below, at any depth."""
    return PurePosixPath(pattern.split("{")[0] + "x").parent.as_posix()


def fitting(pattern: str, flags: int = 0) -> Callable[[str], re.Match | None]:
    """A function that matches relative paths with a pattern, whose wildcards are the groups.

    A wildcard spans no slash and at least one character; a star fits nothing, too. A pattern whose last part has no dot fits files of any
    suffix.

    Args:
        pattern: its stars named (see `named`).
        flags: of the regular expression.
    """
    literal, *rest = WILDCARD.split(plain(pattern))
    expression, seen = re.escape(literal), set()
    for name, literal in zip(rest[::2], rest[1::2]):  # a split leaves names and what stands between them, in turn
        many = "*" if STAR.fullmatch(f"{{{name}}}") else "+"
        expression += (f"(?P={name})" if name in seen else f"(?P<{name}>[^/]{many})") + re.escape(literal)
        seen.add(name)
    compiled = re.compile(expression, flags)
    if "." in WILDCARD.sub("", pattern.rpartition("/")[2]):
        return lambda path: compiled.fullmatch(plain(path))
    return lambda path: compiled.fullmatch(plain(PurePosixPath(path).with_suffix("").as_posix()))
