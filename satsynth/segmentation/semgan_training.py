"""Training of SemGAN's encoder: the common training of a segmenter, around a trained generator and a trained evaluator."""

from pathlib import Path

from satsynth.runtime import files
from satsynth.runtime.errors import WeightsError
from satsynth.segmentation.training import train


def train_encoder(
    real: list[Path],
    synthetic: list[Path],
    cfg: dict,
    seed: int,
    *,
    generator: tuple[Path, Path],
    evaluator: tuple[Path, Path],
    train_store: Path,
    **options: object,
) -> dict:
    """Train the encoder that finds images in the latent space of a frozen SemGAN.

    Args:
        real: folders of stores of real pairs; may be empty.
        synthetic: folders of stores of synthetic pairs; may be empty.
        cfg: the segmenter's config, see `satsynth.segmentation.training.train`; `network` is "semgan", which also reads style_width,
            loss and background (see `satsynth.segmentation.networks.semgan.LatentSearch.training_loss`).
        seed: of initial weights, order and flips.
        generator: weights and card of a SemGAN that was trained on the dataset, at the stores' size.
        evaluator: weights and card of a segmenter whose encoder measures the perceptual distance.
        train_store: folder of the real training pairs, which both must have learned, also where the encoder is given synthetic pairs alone.
        options: weights (generator and evaluator's encoder are in them, too), card (with generator_sha256 and evaluator_sha256 besides),
            history, work, device and wall_seconds, see `satsynth.segmentation.training.train`.

    Returns:
        The card.

    Raises:
        ConfigError, StoreError, WeightsError, TrainingError, BudgetError: see `satsynth.segmentation.training.train`.
    """
    made_by, judged_by = (_read(path) for path in (generator[1], evaluator[1]))
    filled = {
        **cfg,
        "generator": {key: made_by.get(key) for key in ("size", "network")},
        "evaluator": judged_by["segmenter"],
        "frozen": {"generator": (generator[0], made_by), "evaluator": evaluator, "train_store": train_store},
    }
    hashes = {"generator_sha256": made_by["weights_sha256"], "evaluator_sha256": judged_by["weights_sha256"]}
    return train(real, synthetic, filled, seed, origins=hashes, **options)


def _read(card: Path) -> dict:
    try:
        return files.read_json(card)
    except (OSError, ValueError) as error:
        raise WeightsError(card, f"the card cannot be read ({error}).", "Train the generator and the evaluator first.") from error
