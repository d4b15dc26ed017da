"""How val was chosen, in words, and how the classes of val differ from those of train."""

from collections.abc import Mapping, Sequence

from satsynth.reporting.markup import count, listing, number

NAMED = 3  # scenes of val that are named


def some(scenes: Sequence[str]) -> list[str]:
    """The names of the first, the middle and the last scene, or of all where they are no more: neighbours are often of one group."""
    last = len(scenes) - 1
    return [scenes[place] for place in sorted({last * part // (NAMED - 1) for part in range(NAMED)})]


def chosen(name: str, rule: Mapping, scenes: int, named: Sequence[str]) -> str:
    """One sentence on how the val split of a dataset was chosen.

    Args:
        name: of the dataset.
        rule: what `satsynth.plan.slices.division` returns.
        scenes: number of val's scenes that patches were cut from.
        named: the names of some of them.
    """
    joint = ":" if scenes == len(named) else ", such as"
    return f"Val of {name} is {_rule(rule)} ({count(scenes)} scene{'' if scenes == 1 else 's'}{joint} {listing(named)})."


def _rule(rule: Mapping) -> str:
    if "format" in rule:
        return f"what the format {rule['format']} calls so"
    val, train = rule["val"], rule.get("train")
    if isinstance(val, str):
        return f"what the list {val} names" + (f", train what {train} names" if train else "; all others are train")
    if isinstance(val, Mapping):
        return _holding(val) + (f", train {_holding(train)}; the rest is left out" if train else "; all others are train")
    share = f"{number(100 * val, digits=1).removesuffix('.0')}\u00a0% of the"
    seed = f"drawn by seed {rule['seed']}"
    if rule["by"] == "block":
        return f"{share} square blocks of {count(rule['block'])} px that every scene was cut into, each a scene here, {seed}"
    if rule["by"] == "scene":
        return f"{share} scenes, {seed}"
    return f"{share} values of {{{rule['by']}}} in the names of files, with all scenes of each, {seed}"


def _holding(tags: Mapping) -> str:
    parts = [f"{{{key}}} is {' or '.join(map(str, values))}" for key, values in tags.items()]
    return f"the scenes where {listing(parts)}"


def difference(names: Sequence[str], train: Sequence[int], val: Sequence[int]) -> str:
    """Which class's share of the labelled pixels differs most between val and train, and by how much; "" where one has no such pixel.

    Args:
        names: of the classes.
        train, val: pixels of each class.
    """
    if not sum(train) or not sum(val):
        return ""
    shares = [(100 * part / sum(val), 100 * other / sum(train)) for part, other in zip(val, train, strict=True)]
    most = max(range(len(shares)), key=lambda place: abs(shares[place][0] - shares[place][1]))
    there, here = (f"{number(share, digits=1)}\u00a0%" for share in shares[most])
    return f"Of val's labelled pixels {there} are {names[most]}, of train's {here}; the share of no other class differs more."
