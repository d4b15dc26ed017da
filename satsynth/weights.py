"""Weights of any trained network as a file, and the checks against their card."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from satsynth.runtime import files
from satsynth.runtime.errors import WeightsError

AGAIN = "Delete weights and card and train again."


def write(weights: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write tensors as safetensors, atomically; returns the file's SHA-256."""
    with files.replacing(weights) as partial:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial)
    return files.sha256(weights)


def check(weights: Path, card: dict) -> None:
    """Refuse a file that is missing, or is not the one that the card describes.

    Raises:
        WeightsError: see above.
    """
    if not Path(weights).is_file():
        raise WeightsError(weights, "there is no such file.", "Train the network first.")
    if files.sha256(weights) != card.get("weights_sha256"):
        raise WeightsError(weights, "the content is not what its card says.", AGAIN)


@contextlib.contextmanager
def described(weights: Path) -> Iterator[None]:
    """Turn what building a network from a card raises, where the card lacks a key or holds nonsense, into a WeightsError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, OverflowError) as error:
        raise WeightsError(weights, f"their card describes no network ({type(error).__name__}: {error}).", AGAIN) from error


def _form(tensor: torch.Tensor) -> str:
    """Shape, and type where that is not float32, as in "(3, 4)" or "() of int64"."""
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{tuple(tensor.shape)}" + ("" if kind == "float32" else f" of {kind}")


def load_into(network: nn.Module, weights: Path) -> nn.Module:
    """The network, on the CPU or its device, with these weights, in evaluation mode and without gradients.

    Raises:
        WeightsError: the file cannot be read, or does not fit the network; the message lists what did not fit.
    """
    try:
        tensors = load_file(weights, device="cpu")
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(weights, f"the file cannot be read ({type(error).__name__}: {error}).", AGAIN) from error
    wanted = {name: _form(value) for name, value in network.state_dict().items()}
    found = {name: _form(value) for name, value in tensors.items()}
    wrong = [
        f"{name} is {found.get(name, 'missing')}, the network has {wanted.get(name, 'none')}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    if wrong:
        more = f", and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise WeightsError(weights, f"{len(wrong)} tensors do not fit: {'; '.join(wrong[:8])}{more}.", AGAIN)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)
