import numpy as np
import pytest
import torch

from satsynth.codes import Codes, fill_ignore, has_free_word
from satsynth.runtime.errors import ConfigError


@pytest.mark.parametrize("kind", ["bits", "onehot"])
def test_every_class_survives_for_every_number_of_classes(kind):
    for classes in range(2, 256):
        codes = Codes(kind, classes)
        masks = torch.arange(classes, dtype=torch.uint8)[None, None]
        decoded, margins = codes.decode(codes.encode(masks))
        assert torch.equal(decoded, masks) and (margins > 0).all()
        assert not codes.invalid(codes.encode(masks)).any()


def test_decoding_never_leaves_the_classes():
    noise = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert Codes("bits", 5).decode(noise)[0].max() < 5


def test_bits_are_most_significant_first():
    words = (Codes("bits", 16).words() + 1) / 2
    assert words[[0, 1, 5, 10, 15]].tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 1, 1]]


def test_a_free_corner_goes_to_the_lowest_of_its_neighbours():
    corner = torch.ones(1, 3, 1, 1)
    masks, margins = Codes("bits", 7).decode(corner)
    assert masks.item() == 3 and margins.item() == 0 and Codes("bits", 7).invalid(corner).item()


@pytest.mark.parametrize(
    ("kind", "classes", "channels"), [("bits", 16, 4), ("bits", 7, 3), ("bits", 8, 3), ("bits", 2, 1), ("onehot", 16, 16)]
)
def test_channels_are_those_of_the_paper(kind, classes, channels):
    assert Codes(kind, classes).channels == channels


def test_ignore_pixels_take_a_free_word_where_there_is_one():
    masks = torch.tensor([[[0, 6, 255]]], dtype=torch.uint8)
    codes = Codes("bits", 7, ignore_word=True)
    assert codes.channels == 3 and torch.equal(codes.decode(codes.encode(masks))[0], masks)
    assert has_free_word("bits", 7) and not has_free_word("bits", 8) and not has_free_word("onehot", 7)
    with pytest.raises(ConfigError, match="no free word"):
        Codes("bits", 8, ignore_word=True)


def test_ignore_pixels_are_filled_from_the_nearest_class():
    mask = np.array([[1, 255, 255, 255, 2]], np.uint8)
    assert fill_ignore(mask)[0, [0, 1, 3, 4]].tolist() == [1, 1, 2, 2]
    nothing = np.full((2, 2), 255, np.uint8)
    assert (fill_ignore(nothing) == 255).all()


def test_unknown_codes_are_refused():
    with pytest.raises(ConfigError, match="gray"):
        Codes("gray", 4)
    with pytest.raises(ConfigError, match="256"):
        Codes("bits", 256)
