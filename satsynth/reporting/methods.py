"""What is added to the real pairs, synthetic pairs (D′) or an augmentation of them, and how tables, figures and words call it."""

GENERATIVE = ("satsynth", "semgan", "image_only")
_NAMES = {"cutmix": "CutMix"}


def is_synthetic(method: str | None) -> bool:
    """Whether a run's method is a generator's, rather than an augmentation (or nothing at all: None, NaN or "")."""
    return isinstance(method, str) and method.startswith(GENERATIVE)


def is_augmentation(method: str | None) -> bool:
    """Whether a run's method is an augmentation, rather than a generator's or nothing at all (None, NaN or "")."""
    return isinstance(method, str) and method != "" and not is_synthetic(method)


def name(method: str | None, source: str | None = None) -> str:
    """D′, or the name of the augmentation (Cutout, CutMix, Copy-Paste), with its source in brackets where that is called otherwise."""
    if not is_augmentation(method):
        return "D′"
    said = _NAMES.get(method, "-".join(word.capitalize() for word in method.split("_")))
    return said if source in (None, "", method) else f"{said} ({source})"
