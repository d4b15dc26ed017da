"""Every random number is a function of (seed, key): never of the order of work, the host or the clock."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # torch takes seconds to import, and half of the jobs need numpy's streams only
    import torch


def derive(seed: int, *key: int | str) -> int:
    """A 63-bit seed for the stream named by `key` under `seed`; distinct keys give independent streams."""
    text = "/".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in key)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def numpy_stream(seed: int, *key: int | str) -> np.random.Generator:
    """The numpy generator of the stream (Philox, the same on every platform)."""
    return np.random.Generator(np.random.Philox(derive(seed, *key)))


def torch_stream(seed: int, *key: int | str, device: "str | torch.device" = "cpu") -> "torch.Generator":
    """The torch generator of the stream on `device`; CPU and CUDA streams of one key differ."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, *key))
