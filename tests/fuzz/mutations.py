"""Seeded damage, and what may come of it: the case is taken with a sane result, or refused by one clear error of the project."""

import contextlib
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from satsynth.runtime.errors import SatsynthError

HANG = 60  # seconds; a case takes milliseconds, so this tells an endless loop from a busy machine
UNWORDED = re.compile(r"Traceback|object at 0x|<class|<module|NoneType|\bself\b")


class HangError(BaseException):
    """Not an Exception: no handler of the code under test may swallow it."""


@contextlib.contextmanager
def alarm(seconds: int = HANG) -> Iterator[None]:
    """Break off what does not come to an end."""
    assert threading.current_thread() is threading.main_thread()

    def ring(number: int, frame: object) -> None:
        raise HangError(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def stream(kind: str, number: int) -> random.Random:
    """The random numbers of one case: a function of its kind and number only."""
    return random.Random(f"{kind}/{number}")


def complaint(error: SatsynthError, names: str | None) -> str | None:
    """What is unclear about an error, or None: it must name the file or key, say the cause, and give a remedy.

    Args:
        error: what was raised.
        names: a text that the message must hold, such as the file's path.
    """
    for part in ("subject", "cause", "remedy"):
        if not getattr(error, part).strip(" ."):
            return f"it has no {part}"
    if names is not None and names not in str(error):
        return f"it does not name {names}"
    if UNWORDED.search(error.cause + error.remedy):
        return "it speaks of Python objects"
    if len(str(error)) > 4000:
        return f"it has {len(str(error))} characters"
    return None


def survey(kind: str, count: int, case: Callable[[random.Random, int], str | None], named: Callable[[int], str | None]) -> Counter:
    """Run `count` cases of a kind and count what came of them; fail with all unclear ones at once.

    Args:
        kind: name of the kind, part of the seed.
        count: number of cases.
        case: (random numbers, number of the case) -> what was done in words. It raises SatsynthError where the case is refused and
            AssertionError where it was taken, but the result is not sane.
        named: number of the case -> a text that an error must hold, or None.
    """
    outcomes, unclear = Counter(), []
    for number in range(count):
        try:
            with alarm():
                case(stream(kind, number), number)
            outcomes["taken"] += 1
        except SatsynthError as error:
            outcomes["refused"] += 1
            fault = complaint(error, named(number))
            if fault:
                unclear.append(f"case {number}: {fault}: {type(error).__name__}: {error}")
        except (Exception, HangError) as error:
            unclear.append(f"case {number}: {type(error).__name__}: {error}")
    print(f"{kind}: {count} cases, {outcomes['taken']} taken, {outcomes['refused']} refused, {len(unclear)} unclear")
    assert not unclear, f"{len(unclear)} of {count} cases of {kind} are unclear:\n" + "\n".join(line[:600] for line in unclear[:40])
    assert outcomes.total() == count
    return outcomes


# Bytes ------------------------------------------------------------------------------------------------------------------------


def damage(content: bytes, rng: random.Random, head: int | None = None) -> bytes:
    """Content that was cut, padded, overwritten or had bits flipped; `head`: the first bytes, which half of the changes go to."""
    size = len(content)
    mutable = bytearray(content)

    def place() -> int:
        return rng.randrange(min(head, size) if head and rng.random() < 0.5 else size)

    how = rng.choice(["cut", "cut", "flip", "flip", "flips", "flips", "zeros", "ones", "swap", "tail", "repeat", "head", "empty", "noise"])
    if how == "cut":
        return content[: rng.choice([rng.randrange(size), size - 1, size // 2, place()])]
    if how == "flip":
        mutable[place()] ^= 1 << rng.randrange(8)
    elif how == "flips":
        for _ in range(rng.randint(2, 40)):
            mutable[place()] = rng.randrange(256)
    elif how in ("zeros", "ones"):
        start, length = place(), rng.choice([1, 2, 4, 8, 64, 512])
        mutable[start : start + length] = (b"\0" if how == "zeros" else b"\xff") * len(mutable[start : start + length])
    elif how == "swap":
        one, other = sorted((place(), place()))
        mutable[one : other + 1] = mutable[one : other + 1][::-1]
    elif how == "tail":
        mutable += rng.randbytes(rng.choice([1, 100, 5000]))
    elif how == "repeat":
        start, length = place(), rng.randint(1, 200)
        mutable[start:start] = content[start : start + length]
    elif how == "head":
        del mutable[: rng.randint(1, 64)]
    elif how == "empty":
        return b""
    else:
        return rng.randbytes(rng.choice([1, 8, 100, size]))
    return bytes(mutable)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of everything below a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))}
