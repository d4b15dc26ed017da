"""Values, colours or categories that no class has, over all files of a dataset."""

from collections import Counter
from collections.abc import Hashable

KEPT = 20  # values of a file that are kept with it: the most frequent ones


class Unknown:
    """What was found in every place (a file, or a pair of them); empty as long as nothing was.

    Masks that were saved as JPEG hold ten thousand colours each, and nearly all of them in few pixels. What is kept of a place is therefore
    its most frequent ones; sums over all places are exact.

    `pixels`: value -> pixels, or annotations, in all places. `places`: value -> how many places hold it.
    """

    def __init__(self) -> None:
        self.pixels, self.places = Counter(), Counter()
        self._first: dict[str, Hashable] = {}
        self._most: dict[Hashable, tuple[int, dict[str, int]]] = {}  # place -> all of its pixels, and those of its most frequent values

    def __len__(self) -> int:
        return len(self._most)

    def add(self, place: Hashable, found: Counter) -> None:
        """Take in what one place holds, once."""
        if not found:
            return
        self.pixels.update(found)
        self.places.update(found.keys())
        for value in found:
            self._first.setdefault(value, place)
        self._most[place] = found.total(), dict(found.most_common(KEPT))

    def worst(self) -> Hashable:
        """The place with most of all."""
        return max(self._most, key=lambda place: (self._most[place][0], str(place)))

    def examples(self, value: str, count: int) -> list[Hashable]:
        """Up to `count` places that hold a value: those where it is frequent, most first, else the first that was met."""
        held = [(kept[value], place) for place, (_, kept) in self._most.items() if value in kept]
        held = sorted(held, key=lambda pair: (-pair[0], str(pair[1])))[:count]
        return [place for _, place in held] or [self._first[value]]
