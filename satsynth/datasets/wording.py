"""How messages name some of many things."""

from collections.abc import Sequence


def some(names: Sequence[str], most: int) -> str:
    """The first `most` names and how many more there are, as in "a, b and 12 more"; one more than `most` is named, too."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
