"""Checkpoints: what a job has so far in a safetensors file, replaced atomically, so that the newest good state is always whole.

A checksum of all tensors and facts goes with them: a file of which a byte changed on the disk is not used, rather than gone on from.
"""

import json
import logging
import os
import zlib
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file

from satsynth.runtime.files import replacing

log = logging.getLogger(__name__)
NAME = "checkpoint.safetensors"


def seconds() -> float:
    """Seconds between two checkpoints: SATSYNTH_CHECKPOINT_SECONDS, 30 where it is not set. What a kill costs, never a result."""
    return float(os.environ.get("SATSYNTH_CHECKPOINT_SECONDS", "30"))


def save(folder: Path, tensors: dict[str, torch.Tensor], facts: dict, name: str = NAME) -> None:
    """Replace the checkpoint `name` of `folder` by these tensors and JSON facts."""
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    text = json.dumps(facts, sort_keys=True)
    with replacing(folder / name) as partial:
        save_file(plain, partial, metadata={"facts": text, "crc32": _checksum(plain, text)})


def _checksum(tensors: dict[str, torch.Tensor], facts: str) -> str:
    """CRC-32 of the facts and of every tensor's name, type, shape and bytes: what a disk does by accident shows."""
    value = zlib.crc32(facts.encode())
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), value)
    return f"{value:08x}"


def load(folder: Path, name: str = NAME) -> tuple[dict[str, torch.Tensor], dict] | None:
    """The checkpoint `name` of `folder`, or None where there is none or it is damaged (which is logged)."""
    path = folder / name
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            known = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        if _checksum(tensors, known["facts"]) != known["crc32"]:
            raise ValueError("its checksum is another")
        return tensors, json.loads(known["facts"])
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        log.warning("%s: the checkpoint is damaged (%s) and is not used.", path, error)
        return None


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The tensors of an optimiser's state as `optimizer/{parameter number}/{name}`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{number}/{name}": value if torch.is_tensor(value) else torch.tensor(value)
        for number, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `flatten_optimizer` gave; the parameter groups stay as they were built."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, value in tensors.items():
        if not key.startswith("optimizer/"):
            continue
        _, number, name = key.split("/", 2)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            # Fused steps walk raw memory: a moment must have the memory layout of its parameter.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        elif name != "step" or optimizer.defaults.get("fused"):
            value = value.to(parameter.device)
        optimizer.state[parameter][name] = value
