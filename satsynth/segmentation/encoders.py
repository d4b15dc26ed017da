"""Initial weights of an encoder: none, ImageNet from the hub of segmentation-models-pytorch, or a local file."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import safetensors
import safetensors.torch
import segmentation_models_pytorch as smp
import torch
from torch import nn

from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, WeightsError

log = logging.getLogger(__name__)
LOCAL = "Set encoder_weights to the path of a local .safetensors or .pth file, or to none."
NAMED = 5


@contextlib.contextmanager
def naming(encoder: str, network: str) -> Iterator[None]:
    """Turn the library's complaints about an encoder, while a network is built, into a ConfigError that names both."""
    try:
        yield
    except (KeyError, ValueError, RuntimeError) as error:  # RuntimeError: what timm says of a model that it does not know
        raise ConfigError(
            "encoder",
            f"'{encoder}' is no encoder for {network} ({error}).",
            "Use resnet18, resnet34, resnet50, mit_b0, mit_b2 or another of smp.encoders.",
        ) from error


def initialise(network: nn.Module, encoder: str, weights: str) -> str:
    """Load weights into `network.encoder`, in place.

    Args:
        network: a network with an attribute `encoder`.
        encoder: its name in segmentation-models-pytorch.
        weights: "none", "imagenet" (needs a connection or the hub's cache) or the path of a local file.

    Returns:
        What was loaded, free of paths: "none", "imagenet" or "sha256:..." of the file.

    Raises:
        WeightsError: the weights cannot be had, or do not fit; it lists what is missing, unexpected and of another shape.
    """
    if weights == "none":
        return weights
    if weights == "imagenet":
        fit_into(network.encoder, _from_hub(encoder), f"imagenet weights of {encoder}")
        return weights
    path = files.as_given(weights)
    fit_into(network.encoder, _from_file(path), weights)
    return f"sha256:{files.sha256(path)}"


def _from_hub(encoder: str) -> dict[str, torch.Tensor]:
    subject = f"encoder_weights: imagenet ({encoder})"
    try:
        return smp.encoders.get_encoder(encoder, weights="imagenet").state_dict()
    except KeyError as error:
        raise WeightsError(subject, "segmentation-models-pytorch has no such weights.", LOCAL) from error
    except Exception as error:  # the hub's client raises errors of three libraries for one lost connection
        cause = f"they are not in the local cache and could not be downloaded ({type(error).__name__}: no connection?)."
        raise WeightsError(subject, cause, LOCAL) from error


def _from_file(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise WeightsError(f"encoder_weights: {path}", "there is no such file.", LOCAL)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive surfaces as anything from EOFError to UnpicklingError
        raise WeightsError(f"encoder_weights: {path}", f"the file cannot be read ({type(error).__name__}).", LOCAL) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise WeightsError(
            f"encoder_weights: {path}", "the file is no plain dictionary of tensors.", "Save the encoder's state_dict alone."
        )
    return state


def fit_into(encoder: nn.Module, state: dict[str, torch.Tensor], subject: str) -> None:
    """Load `state` into `encoder`; the classifier of an ImageNet file and counters of batch normalisation may be absent or too many.

    Raises:
        WeightsError: anything else is missing, unexpected or of another shape; the encoder is left as it was.
    """
    wanted = encoder.state_dict()
    missing = [name for name in wanted if name not in state and not _optional(name)]
    unexpected = [name for name in state if name not in wanted and not _optional(name)]
    mismatched = [
        f"{name} {tuple(state[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    found = {"missing": missing, "unexpected": unexpected, "mismatched": mismatched}
    if any(found.values()):
        parts = [f"{len(names)} {kind} ({_listed(names)})" for kind, names in found.items() if names]
        raise WeightsError(subject, f"the weights do not fit the encoder: {'; '.join(parts)}.", "Give weights of this very encoder.")
    nn.Module.load_state_dict(encoder, {name: state[name] for name in wanted if name in state}, strict=False)
    log.info(
        "%s: %d tensors loaded into the encoder, %d left out", subject, sum(name in state for name in wanted), len(state.keys() - wanted)
    )


def _optional(name: str) -> bool:
    return name.startswith(("fc.", "classifier.", "last_linear.")) or name.endswith("num_batches_tracked")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
