"""What is added to the real pairs, synthetic pairs (D′) or an augmentation of them, and how tables, figures and words call it."""

from collections.abc import Mapping, Sequence
from itertools import groupby

GENERATIVE = ("satsynth", "semgan", "image_only")
_NAMES = {"cutmix": "CutMix"}
NOISY = ("ddim", "dpmpp_2m")  # read eta
SAMPLERS = {"ddim": "DDIM", "dpmpp_2m": "DPM-Solver++(2M)", "unipc": "UniPC", "heun": "Heun"}


def is_synthetic(method: str | None) -> bool:
    """Whether a run's method is a generator's, rather than an augmentation (or nothing at all: None, NaN or "")."""
    return isinstance(method, str) and method.startswith(GENERATIVE)


def is_augmentation(method: str | None) -> bool:
    """Whether a run's method is an augmentation, rather than a generator's or nothing at all (None, NaN or "")."""
    return isinstance(method, str) and method != "" and not is_synthetic(method)


def is_admitted(method: str | None) -> bool:
    """Whether only those of a generator's pairs are used that were admitted by their scores."""
    return is_synthetic(method) and method.endswith("_admitted")


def name(method: str | None, source: str | None = None) -> str:
    """D′, what of it was admitted, or the name of an augmentation (Cutout, CutMix), with its source in brackets if called otherwise."""
    if not is_augmentation(method):
        return "admitted D′" if is_admitted(method) else "D′"
    said = _NAMES.get(method, "-".join(word.capitalize() for word in method.split("_")))
    return said if source in (None, "", method) else f"{said} ({source})"


def samplers(stages: Sequence[Mapping]) -> str:
    """The samplers of a source in words: `UniPC, 15 + 15 steps` for two stages of one method, both methods where they differ.

    Args:
        stages: the samplers' configs in the order of the stages (method, steps, eta); "" for what no sampler of a diffusion model made.
    """
    named = [(sampler(stage), stage["steps"]) for stage in stages if "method" in stage]
    parts = [(method, " + ".join(str(steps) for _, steps in group)) for method, group in groupby(named, key=lambda pair: pair[0])]
    return ", then ".join(f"{method}, {steps} steps" for method, steps in parts)


def sampler(stage: Mapping) -> str:
    """The name of a diffusion sampler, with its noise where it adds some of its own (ancestral has that by definition)."""
    name, noise = SAMPLERS.get(stage["method"], stage["method"]), stage.get("eta", 0.0)
    return f"{name} with noise (η = {noise:g})" if noise and stage["method"] in NOISY else name
