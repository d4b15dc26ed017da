"""Label codes: masks as channels that a diffusion model can treat like colours (paper, section 4.2, eq. 4).

Bits are most-significant first. Code words are scaled to +-1, the range of the images after z -> 2z - 1.
"""

import functools
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
import torch
from scipy import ndimage

from satsynth.runtime.errors import ConfigError

KINDS = ("bits", "onehot", "none")


@dataclass(frozen=True)
class Codes:
    """The code of a label space.

    Args:
        kind: "bits" (ceil(log2 K) channels), "onehot" (K channels; the ablation of the paper's Table 3) or "none" (no channel: images
            alone; the DDPM of the paper's Table 1a).
        classes: K, 2 to 255.
        ignore_word: give ignore pixels the first free bit pattern; needs one (see `has_free_word`).
    """

    kind: str
    classes: int
    ignore_word: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError("codes", f"'{self.kind}' is no label code.", f"Use one of {', '.join(KINDS)}.")
        if not 2 <= self.classes <= 255:
            raise ConfigError("classes", f"{self.classes} classes cannot be coded.", "Give 2 to 255 classes.")
        if self.ignore_word and not has_free_word(self.kind, self.classes):
            raise ConfigError("codes", f"{self.kind} of {self.classes} classes has no free word.", "Fill ignore pixels instead.")

    @property
    def channels(self) -> int:
        """n, the number of channels of a coded mask."""
        return {"bits": ceil(log2(self.classes)), "onehot": self.classes, "none": 0}[self.kind]

    def words(self) -> torch.Tensor:
        """Code words, (K or K + 1, n) float32 of +-1; row K, where present, is the ignore word."""
        count = self.classes + self.ignore_word
        if self.kind == "onehot":
            return torch.eye(count) * 2 - 1
        shifts = torch.arange(self.channels - 1, -1, -1)
        return ((torch.arange(count)[:, None] >> shifts) & 1).float() * 2 - 1

    def encode(self, masks: torch.Tensor, ignore: int = 255) -> torch.Tensor:
        """Masks (N,H,W) uint8 -> code channels (N,n,H,W) float32 of +-1.

        Ignore pixels take the ignore word; without one, the masks must have been filled first (`fill_ignore`). Kind "none" makes n = 0
        channels of any mask.
        """
        if not self.channels:
            return masks.new_empty((len(masks), 0, *masks.shape[1:]), dtype=torch.float32)
        index = masks.long()
        if self.ignore_word:
            index = torch.where(index == ignore, self.classes, index)
        return _words_on(self, masks.device)[index].permute(0, 3, 1, 2).contiguous()

    def decode(self, values: torch.Tensor, ignore: int = 255) -> tuple[torch.Tensor, torch.Tensor]:
        """Nearest code word (paper, section 4.5); ties go to the lowest class id.

        Args:
            values: (N,n,H,W) float, about +-1.

        Returns:
            masks (N,H,W) uint8, and margins (N,H,W) float32: the gap between the squared distances to the second
            nearest and the nearest word, divided by 4 (1 for an exact word whose neighbour differs in one bit). Without channels every
            pixel is to be ignored, and its margin is nan.
        """
        if not self.channels:
            shape = len(values), *values.shape[2:]
            return values.new_full(shape, ignore, dtype=torch.uint8), values.new_full(shape, torch.nan, dtype=torch.float32)
        words = _words_on(self, values.device)
        # All words of a kind have one norm, so the nearest word has the largest dot product.
        scores = torch.einsum("nchw,kc->nkhw", values.float(), words)
        best = scores.argmax(1)  # the first maximum: the lowest id
        top = scores.topk(2, dim=1).values
        masks = torch.where(best == self.classes, ignore, best) if self.ignore_word else best
        return masks.to(torch.uint8), (top[:, 0] - top[:, 1]) / 2

    def invalid(self, values: torch.Tensor) -> torch.Tensor:
        """Pixels whose thresholded channels are no code word at all: (N,H,W) bool; none of them without channels."""
        if not self.channels:
            return values.new_zeros((len(values), *values.shape[2:]), dtype=torch.bool)
        hard = values.float().sign()
        words = _words_on(self, hard.device)
        agreement = torch.einsum("nchw,kc->nkhw", hard, words).amax(1)
        return agreement < self.channels


@functools.lru_cache(maxsize=32)
def _words_on(codes: Codes, device: torch.device) -> torch.Tensor:
    """The code words on a device, copied there once: a copy in every step would make the host wait."""
    with torch.inference_mode(False):
        return codes.words().to(device)


def has_free_word(kind: str, classes: int) -> bool:
    """Whether a bit pattern is left over that no class uses; one-hot codes have none (C = 3 + K in the paper)."""
    return kind == "bits" and classes < 2 ** ceil(log2(classes))


def fill_ignore(mask: np.ndarray, ignore: int = 255) -> np.ndarray:
    """Give every ignore pixel of a mask (H,W) uint8 the class of the nearest labelled pixel (Euclidean).

    For the generator only, which needs a class everywhere; a mask without any labelled pixel is returned as it is.
    """
    unknown = mask == ignore
    if not unknown.any() or unknown.all():
        return mask
    rows, columns = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return mask[rows, columns]
