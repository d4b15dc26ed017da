"""The grammar of names: datasets, sources, training sets, shards and the paths made of them."""

import re
from dataclasses import dataclass

from satsynth.runtime.errors import ConfigError

SHARD_DIGITS = 4
NAME = r"[a-z][a-z0-9_]*"
MOST_UNITS = 10**SHARD_DIGITS // 16  # a unit has 16 shards at most
LONGEST = 40  # characters of a name: five of them stand in the name of one log file
SOURCE = rf"(?P<source>{NAME})-r(?P<ratio>[0-9]+)"
BASES = ("real", "fit")


@dataclass(frozen=True)
class TrainingSet:
    """A training set: real pairs (or none) and R units of each of some sources.

    Written `(real|fit)(+SOURCE-rR)*`, or `SOURCE-rR(+SOURCE-rR)*` for synthetic pairs alone.
    """

    base: str | None
    parts: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return "+".join([*([self.base] if self.base else []), *(f"{source}-r{ratio}" for source, ratio in self.parts)])


def parse_training_set(text: str, sources: dict) -> TrainingSet:
    """Read a training set's name.

    Raises:
        ConfigError: the name does not follow the grammar, names an unknown source, or R is below 1.
    """
    base, parts = None, []
    for position, word in enumerate(text.split("+")):
        if position == 0 and word in BASES:
            base = word
            continue
        match = re.fullmatch(SOURCE, word)
        if not match:
            raise ConfigError(text, f"'{word}' is neither {' nor '.join(BASES)} nor SOURCE-rR.", "Write for example real+cascade-r1.")
        source, ratio = match["source"], int(match["ratio"])
        if source not in sources:
            known = ", ".join(sorted(sources)) or "none"
            raise ConfigError(text, f"'{source}' is no source of this config.", f"Configured sources: {known}.")
        if ratio < 1:
            raise ConfigError(text, "R is 0.", "Leave the source out for R = 0.")
        if ratio > MOST_UNITS:
            raise ConfigError(text, f"R is {ratio}, above {MOST_UNITS}.", "Use a smaller R.")
        parts.append((source, ratio))
    return TrainingSet(base, tuple(parts))


def shard_names(ratio: int, shards: int) -> list[str]:
    """Names of the shards that R units of `shards` shards each are made of; R = 3 begins with R = 1's."""
    return [f"{number:0{SHARD_DIGITS}d}" for number in range(ratio * shards)]


def alternatives(names) -> str:
    """A wildcard constraint that matches exactly these names; nothing where there are none."""
    return "|".join(sorted(map(re.escape, names))) or "(?!)"
