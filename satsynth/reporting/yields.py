"""What admissions took of their parents' pairs, in words."""

from collections.abc import Iterable
from pathlib import Path

from satsynth.runtime import files
from satsynth.selection.admission import tell

SUMMED = ("decisions", "reasons")


def told(cards: Iterable[str | Path]) -> list[str]:
    """A sentence for each admitted source: its yield over all shards that are used, and why pairs were rejected.

    Args:
        cards: {dataset}/{size}px/{source}/shard-{shard}/card.json; those of shards that nobody admitted are passed over.
    """
    summed: dict[tuple[str, str, str], dict] = {}
    for path in map(Path, cards):
        facts = files.read_json(path).get("admission")
        if facts is None:
            continue
        place = (path.parts[-5], path.parts[-4].removesuffix("px"), path.parts[-3])
        total = summed.setdefault(place, {"parent_count": 0, "pixels": 0, "masked_pixels": 0, **{name: {} for name in SUMMED}})
        for name in ("parent_count", "pixels", "masked_pixels"):
            total[name] += facts[name]
        for name in SUMMED:
            for key, count in facts[name].items():
                total[name][key] = total[name].get(key, 0) + count
    said = []
    for (dataset, size, source), total in summed.items():
        share = 100 * total["masked_pixels"] / max(1, total["pixels"])
        several = " A pair may be rejected for several reasons." if sum(total["reasons"].values()) > total["decisions"]["rejected"] else ""
        said.append(f"{source} ({dataset}, {size} px): {tell(total)}; {share:.1f} % of the labels that were kept are ignored.{several}")
    return said
