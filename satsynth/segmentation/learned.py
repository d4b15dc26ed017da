"""Which pairs trained weights have learned, by the hashes in their cards: two datasets may agree in number of classes and size."""

from pathlib import Path

from satsynth.runtime import files
from satsynth.runtime.errors import WeightsError


def check_evaluator(subject: Path, data: dict[str, list[str]], store: Path) -> None:
    """Refuse an evaluator that learned anything but the real training pairs.

    Args:
        subject: what the error names: the evaluator's weights, or the card of features that it made.
        data: `real` and `synthetic` of the evaluator's card: SHA-256 of the cards of the stores that it was trained on.
        store: folder of the real training pairs.

    Raises:
        WeightsError: it was trained on another store, or on more than this one.
    """
    if data["synthetic"]:
        cause = "the evaluator was trained on synthetic pairs, too: it would judge what it has learned."
    elif data["real"] != [files.sha256(Path(store) / "card.json")]:
        cause = f"the evaluator was trained on other pairs than those in {store}."
    else:
        return
    raise WeightsError(subject, cause, "Train it on the real pairs of this dataset alone: remove its weights and run the workflow again.")


def check_generator(weights: Path, card: dict, store: Path) -> None:
    """Refuse a generator that learned other pairs of its size than the real training pairs.

    Args:
        weights: of the generator; the error names them.
        card: content of its card.
        store: folder of the real training pairs at the generator's size.

    Raises:
        WeightsError: see above.
    """
    if card["data"].get(str(card["size"])) != files.sha256(Path(store) / "card.json"):
        cause = f"the generator was trained on other pairs than those in {store}."
        raise WeightsError(weights, cause, "Train it on this dataset: remove the file and run the workflow again.")
