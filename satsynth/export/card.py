"""The dataset card of an export, `README.md`: what Hugging Face `datasets` reads at its head, and what a person reads below."""

import html
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from satsynth.export.descriptors import hexadecimal
from satsynth.export.measures import Measured
from satsynth.export.rows import NO_NUMBER, NO_TEXT, sampler_text
from satsynth.export.tree import Totals
from satsynth.metrics.memorisation import Calibration
from satsynth.pairs import LabelSpace
from satsynth.runtime import files

# Licences that Hugging Face has a name for; others are told in their own words.
LICENCES = (
    *("apache-2.0", "mit", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
    *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0", "odbl", "pddl", "etalab-2.0", "odc-by"),
)
LONGEST = 64  # letters of a name that is made of words
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (math.inf, "n>1M"))
NAMES = {"train": "train", "val": "validation"}  # as Hugging Face calls the splits
DASH = "–"


@dataclass(frozen=True)
class Facts:
    """What the card tells.

    Args:
        cfg: of the export.
        space: its classes.
        totals: what was written of each split.
        recipe: content of `recipe.json`.
        measured: fidelity and copies, or None.
        judged: how many pairs of the source that was admitted from have each decision; nothing where none was judged.
    """

    cfg: Mapping
    space: LabelSpace
    totals: Mapping[str, Totals]
    recipe: Mapping
    measured: Measured | None
    judged: Mapping[str, int]


def write_card(path: Path, facts: Facts) -> None:
    """Write the card."""
    parts = [_pairs, _classes, _making, _nearness, _licence, _columns, _loading]
    body = "\n".join("\n".join([*part(facts), ""]) for part in parts)
    files.write_text(path, f"---\n{yaml.safe_dump(_head(facts), sort_keys=False, allow_unicode=True)}---\n\n{body}")


def plain(text: object) -> str:
    """Text of a config as Markdown shows it letter by letter: nothing in it is markup, a link or a new line."""
    quoted = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", quoted)


def _head(facts: Facts) -> dict:
    cfg, licence = facts.cfg, facts.cfg["licence"]
    count = sum(totals.pairs for totals in facts.totals.values())
    return {
        **_named(licence),
        "pretty_name": f"{cfg['dataset']}: {_kind(facts)} pairs of {cfg['source']}",
        "task_categories": ["image-segmentation"],
        "tags": ["remote-sensing", "aerial", _kind(facts), "satsynth"],
        "size_categories": [next(name for most, name in SIZES if count < most)],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": NAMES[split], "path": f"{split}/**"} for split in facts.totals],
            }
        ],
    }


def _named(licence: str | None) -> dict[str, str]:
    """The licence as Hugging Face takes it: one of its own names, else a short name of ours; the words themselves stand in the body."""
    if licence is None:
        return {"license": "unknown"}
    plain_letters = unicodedata.normalize("NFKD", licence).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9.]+", "-", plain_letters.lower())[:LONGEST].strip("-.")
    return {"license": name} if name in LICENCES else {"license": "other", "license_name": name or "see-below"}


def _kind(facts: Facts) -> str:
    """What the pairs are that a source made: an augmentation has no network."""
    return "synthetic" if facts.recipe["stages"] else "augmented"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _pairs(facts: Facts) -> list[str]:
    cfg = facts.cfg
    rows = []
    for split, totals in facts.totals.items():
        kinds = ", ".join(f"{count} {plain(decision)}" for decision, count in sorted(totals.decisions.items()))
        rows.append((split, str(totals.pairs), kinds, f"{totals.bytes / 1e6:.1f}"))
    real = " and the real training patches" if cfg["real"] else ""
    val = "`val` holds the real validation patches (`synthetic` is false)." if "val" in facts.totals else "There are no validation pairs."
    made = "pairs that a model made up" if facts.recipe["stages"] else "copies of real training pairs that an augmentation altered"
    return [
        f"# {plain(cfg['dataset'])}: {_kind(facts)} pairs of {plain(cfg['source'])}",
        "",
        f"Pairs of an aerial image (RGB) and a mask of class ids (8-bit grey, 255: unlabelled), {cfg['size']} × {cfg['size']} pixels. "
        f"`train` holds {made} (R = {cfg['ratio']}){real}. {val} "
        + ("Synthetic pairs show no place: they have no coordinates." if facts.recipe["stages"] else "Altered pairs bear no coordinates."),
        "",
        "![Pairs drawn at random](preview.png)",
        "",
        *_table(("split", "pairs", "of these", "MB of PNG"), rows),
        *_admission(facts),
    ]


def _admission(facts: Facts) -> list[str]:
    if not facts.judged:
        return []
    kept, masked, rejected = (facts.judged[name] for name in ("admitted", "masked", "rejected"))
    told = f"{kept} were admitted whole, {masked} with pixels set to 255 whose label is doubted, and {rejected} rejected"
    return ["", f"They were chosen by an admission: of {kept + masked + rejected} pairs {told}."]


def _classes(facts: Facts) -> list[str]:
    def shares(split: str, name: str) -> tuple[str, str]:
        totals = facts.totals[split]
        return _percent(totals.pixels.get(name, 0) / max(1, sum(totals.pixels.values()))), str(totals.holding.get(name, 0))

    listed = [(str(number), name, hexadecimal(facts.space.colours[number])) for number, name in enumerate(facts.space.names)]
    rows = [
        (number, plain(name), colour, *(cell for split in facts.totals for cell in shares(split, f"pixels_{name}")))
        for number, name, colour in [*listed, ("255", "ignore", DASH)]
    ]
    header = [cell for split in facts.totals for cell in (f"{split}: share of pixels", f"{split}: pairs that hold it")]
    return ["## Classes", "", *_table(("id", "class", "colour", *header), rows)]


def _making(facts: Facts) -> list[str]:
    recipe, made = facts.recipe, facts.recipe["made"]
    if not recipe["stages"]:
        return [
            "## How they were made",
            "",
            f"Real training pairs, altered by {plain(made.get('augment', 'an augmentation'))}; no model made them.",
        ]
    rows = []
    for stage, nfe in zip(recipe["stages"], made["nfe"]):
        card = stage["card"]
        trained = f"{card['steps']} steps, {card['images_seen']} images seen" if "steps" in card else DASH
        sampled = sampler_text({"samplers": [stage["sampler"]]})
        network = f"{plain(stage['generator'])} ({plain(card['kind'])}, {card['size']} px, codes {plain(card['codes'])})"
        rows.append((network, trained, plain(sampled), str(nfe), f"`{card['weights_sha256']}`"))
    return [
        "## How they were made",
        "",
        "By satsynth (after SatSynth, Toker et al., CVPR 2024): a model of images and their label codes, trained on the real training "
        f"pairs of {plain(recipe['dataset'])}. Pair i follows from the weights, the samplers, the seed ({made['seed']}), the size of the "
        f"blocks that pairs are sampled in ({made['block']}), and i.",
        "",
        *_table(("network", "training", "sampler", "NFE", "SHA-256 of the weights"), rows),
        "",
        f"`make regenerate EXPORT={facts.cfg['folder']} INDEX=17` makes pair 17 again from `recipe.json` and the weights, and compares.",
    ]


def _nearness(facts: Facts) -> list[str]:
    measured = facts.measured
    if measured is None:
        return ["## How near they are to real pairs", "", "Nothing was measured for this export (`measures: false`)."]
    keys = ("fid", "sfid", "is", "precision", "recall", "density", "coverage", "class_js", "presence_js")
    named = ("FID", "sFID", "IS", "precision", "recall", "density", "coverage", "class JS", "presence JS")
    rows = []
    for name, found in (("synthetic", measured.source), ("real validation patches", measured.real)):
        numbers = [_number(found[key], 3 if key.endswith("js") else 2) for key in keys]
        against = f"{found['reference_count']} training patches"
        rows.append((name, str(found["count"]), against, *numbers, _number(found["kid"], 2, 1e3)))
    told = [_copies(name, found, measured) for name, found in measured.copies.items()]
    return [
        "## How near they are to real pairs",
        "",
        *_table(("pairs", "N", "against", *named, "KID × 10³"), rows),
        "",
        f"By features of a segmenter ({plain(measured.evaluator)}) that was trained on the real training patches; its numbers compare with "
        "no others. FID, sFID and KID: lower is nearer. The row of real patches is what unseen scenes get.",
        "",
        f"**Copies.** {' '.join(told)} Each pair's nearest real training patch stands in `metadata.csv`. A small share is no proof that "
        "nothing of the training images can be recognised.",
    ]


def _copies(name: str, found: Calibration, measured: Measured) -> str:
    return (
        f"In {name}, {_percent(found.share)} of {found.synthetic_count} pairs lie nearer to a real training patch than the "
        f"{_percent(measured.quantile)} quantile of {found.null_count} real validation patches ({_percent(found.expected)} would where "
        "nothing is copied and val is drawn like train)."
    )


def _licence(facts: Facts) -> list[str]:
    licence = facts.cfg["licence"]
    said = f"The source data bear the licence: {plain(licence)}." if licence else "The licence of the source data was not stated."
    reach = "The pairs were made by a model that learned from these data; whether their licence reaches that far is for you to judge. "
    parts = "Real patches, where the set holds any, are parts of the source data themselves."
    if not facts.recipe["stages"]:
        reach, parts = "", "All pairs, altered or not, are parts of the source data themselves."
    return ["## Licence", "", f"{said} {reach}{parts}"]


def _columns(facts: Facts) -> list[str]:
    rows = [
        ("`file_name`, `mask_file_name`", "image and mask, relative to the file"),
        ("`synthetic`, `source`, `decision`", "whether a source made it, which, and what was decided on it"),
        ("`index`, `shard`, `seed`, `block`", "absolute index of the pair; of a real one, its row"),
        ("`weights`, `sampler`, `nfe`", "first digits of the weights' SHA-256, sampler and steps, network evaluations a pair"),
        ("`margin`, `invalid`", "mean gap between the two nearest label codes, share of pixels whose bits are no code"),
        ("`neighbour`, `neighbour_distance`", "nearest real training patch (its row) in features"),
        ("`neighbour_pixels`, `neighbour_pixels_distance`", "the same in pixels: root mean square difference, 0 to 255"),
        ("`masked`, `judged_distance`, `reasons`", "of admitted pairs: share of pixels set to 255, distance to the nearest real pair"),
        ("`patch`", "of a real pair: scene, row and column of its upper left pixel"),
        ("`pixels_CLASS`, `pixels_ignore`", "pixels of each class"),
    ]
    told = f"No value is missing: what is not known or does not apply is {NO_NUMBER}, or `{NO_TEXT}` where it is text."
    return ["## metadata.csv", "", told, "", *_table(("column", "what"), rows)]


def _loading(facts: Facts) -> list[str]:
    archives = (("webdataset", "tars"), ("parquet", "Parquet"))
    more = [f"`{name}/` holds the same pairs as {kind}." for name, kind in archives if facts.cfg[name]]
    return [
        "## Load it",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'pairs = load_dataset("{facts.cfg["folder"]}")  # this folder: columns image, mask and those of metadata.csv',
        "```",
        "",
        " ".join(["`data.yaml` is for Ultralytics, `mmsegmentation.py` for mmsegmentation, `classes.json` for everybody else.", *more]),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _number(value: float | None, digits: int, factor: float = 1) -> str:
    return DASH if value is None else f"{factor * value:.{digits}f}"
