"""Ids for what no class has, so that a look at labels can show it in a colour of its own."""

import re
from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from satsynth.datasets.palette import filled
from satsynth.pairs import IGNORE


class StandIns:
    """Ids classes..254 for unknown values, colours and categories, in the order in which they are met.

    When all ids are given away (masks that were saved as JPEG hold ten thousand colours), a colour gets the id of the nearest one, and a
    value gets 255.

    Args:
        classes: K.
        taken: the colours of the classes, from which others are told apart.
    """

    def __init__(self, classes: int, taken: Sequence[tuple[int, int, int]] = ()):
        self._first, self._taken, self._ids = classes, list(taken), {}

    def ids(self, names: list[str]) -> np.ndarray:
        """Ids (n,) uint8 of n values (such as "7") or colours ("#RRGGBB"), the most frequent first."""
        for name in names:
            if name not in self._ids and self._first + len(self._ids) < IGNORE:
                self._ids[name] = self._first + len(self._ids)
        found = np.array([self._ids.get(name, IGNORE) for name in names], np.uint8)
        if self._first + len(self._ids) < IGNORE:
            return found
        known = {number: _rgb(name) for name, number in self._ids.items() if _rgb(name)}
        # A photograph in the place of a mask has a million of these.
        lone = {place: colour for place in np.flatnonzero(found == IGNORE).tolist() if (colour := _rgb(names[place]))}
        if lone and known:
            _, nearest = KDTree(list(known.values())).query(list(lone.values()), p=1)
            found[list(lone)] = np.array(list(known), np.uint8)[nearest]
        return found

    def table(self) -> np.ndarray:
        """Colours (256,3) uint8 of every id given so far; what has no colour of its own gets one by which it is told apart."""
        table = np.zeros((256, 3), np.uint8)
        colours = filled([*self._taken, *map(_rgb, self._ids)])[len(self._taken) :]
        table[self._first : self._first + len(self._ids)] = np.reshape(colours, (-1, 3))
        return table

    def colour(self, name: str) -> str | None:
        """The colour "#RRGGBB" in which a value or colour is shown; None where it has none of its own."""
        if _rgb(name):
            return name
        return f"#{bytes(self.table()[self._ids[name]]).hex().upper()}" if name in self._ids else None


def _rgb(name: str) -> tuple[int, int, int] | None:
    return tuple(bytes.fromhex(name[1:])) if re.fullmatch("#[0-9A-F]{6}", name) else None
