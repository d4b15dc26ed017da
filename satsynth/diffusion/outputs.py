"""What a training of any kind of generator reads and leaves: stores, weights with their card, history and previews.

No kind is named here, and no network imported: a change of one family of generators must not count as a change of the others.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from satsynth.codes import Codes
from satsynth.diffusion.previews import Previews
from satsynth.diffusion.stacks import Stacks
from satsynth.fitting import Recipe
from satsynth.pairs import View, open_view
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, WeightsError
from satsynth.weights import AGAIN, write
from satsynth.weights import check as check_file

FORMAT = 1


@dataclass(frozen=True)
class Outputs:
    """Where a training writes.

    Args:
        weights: averaged parameters, safetensors, float32.
        card: what the kind's `load` and a reader need to know, JSON.
        history: CSV, see `satsynth.fitting.HISTORY`.
        previews: PNG, uncurated samples at a quarter, half, three quarters and all of the steps.
        work: folder of the checkpoint and the previews so far.
    """

    weights: Path
    card: Path
    history: Path
    previews: Path
    work: Path


def open_stores(stores: list[Path], sizes: list[int]) -> list[View]:
    """Views of stores that must be of these sides.

    Raises:
        ConfigError: a store is of another side.
        StoreError: a store cannot be used.
    """
    views = [open_view([store]) for store in stores]
    for view, size in zip(views, sizes, strict=True):
        if view.size != size:
            cause = f"the store {view.stores[0].folder} holds {view.size} px, not {size}."
            raise ConfigError("size", cause, "Name the store of that size.")
    return views


def write_outputs(
    outputs: Outputs,
    cfg: dict,
    stacks: Stacks,
    tensors: dict[str, torch.Tensor],
    history: pd.DataFrame,
    shown: Previews,
    own: dict,
) -> None:
    """Write what a training of any kind ends with: sheet, history, weights and, last, the card: the common facts and the kind's `own`."""
    margin, invalid = shown.write(outputs.previews)
    files.write_text(outputs.history, history.to_csv(index=False, lineterminator="\n"))
    codes, views, recipe = stacks.codes, stacks.views, Recipe.of(cfg["training"])
    card = {
        **own,
        "format": FORMAT,
        "kind": cfg["kind"],
        "size": cfg["size"],
        "low": cfg.get("low"),
        "codes": codes.kind,
        "classes": codes.classes,
        "ignore_word": codes.ignore_word,
        "steps": recipe.steps,
        "images_seen": recipe.steps * recipe.batch,
        "pairs": len(stacks),
        "pairs_left_out": len(views[0]) - len(stacks),
        "seed": cfg["seed"],
        "data": {str(view.size): files.sha256(view.stores[0].folder / "card.json") for view in views},
        "margin": margin,
        "invalid": invalid,
        "weights_sha256": write(outputs.weights, tensors),
    }
    files.write_json(outputs.card, card)


def check(weights: Path, card: dict, kind: str) -> None:
    """Refuse a file that is missing, or is not the one that the card of a generator of this kind describes.

    Raises:
        WeightsError: see above.
    """
    if card.get("kind") != kind or card.get("format") != FORMAT:
        raise WeightsError(weights, f"its card says {card.get('kind')} of format {card.get('format')}, not {kind} of {FORMAT}.", AGAIN)
    check_file(weights, card)


def card_codes(card: dict) -> Codes:
    """The label code of a trained generator."""
    return Codes(card["codes"], card["classes"], card["ignore_word"])
