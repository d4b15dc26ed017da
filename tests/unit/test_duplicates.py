"""Near duplicates: found through what copies go through, not found between different ground; large sets by a draw."""

import io

import numpy as np
import pytest
from dataset_fixtures import picture
from PIL import Image
from scipy import ndimage

from satsynth.datasets import duplicates
from satsynth.datasets.duplicates import Details, Window, detail, near_duplicates
from satsynth.randomness import numpy_stream


def ground(seed, size=128):
    """Texture of several scales, as ground has."""
    noise = picture(size, size, seed=seed).astype(np.float32) - 128
    mixed = sum(scale * ndimage.gaussian_filter(noise, (scale, scale, 0)) for scale in (1, 3, 8))
    return np.clip(128 + mixed * 50 / mixed.std(), 0, 255).astype(np.uint8)


def filled(images, name="a"):
    details = Details()
    for number, image in enumerate(images):
        details.add(Window(name, number, 0, f"{name}{number}.png"), image)
    return details


def jpeg(image, quality=50):
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(packed))


COPIES = {
    "the same": lambda image: image,
    "compressed": jpeg,
    "darker": lambda image: (image * 0.6 + 20).astype(np.uint8),
    "noisy": lambda image: np.clip(image + numpy_stream(1, "noise").normal(0, 5, image.shape), 0, 255).astype(np.uint8),
    "resampled": lambda image: np.asarray(Image.fromarray(image).resize((90, 90), Image.Resampling.BICUBIC)),
    "grey": lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    **{f"turned by {90 * turns}": lambda image, turns=turns: np.rot90(image, turns).copy() for turns in (1, 2, 3)},
    "mirrored": lambda image: image[:, ::-1].copy(),
    "turned and mirrored": lambda image: np.rot90(image[::-1]).copy(),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_found_and_nothing_else(copy):
    train = filled([ground(seed) for seed in range(40)])
    val = filled([*(ground(seed) for seed in range(100, 130)), COPIES[copy](ground(17))], "b")
    [(alike, number, other)] = near_duplicates(train, val)
    assert (number, other) == (30, 17) and 0.9 <= alike <= 1.01


def test_plain_ground_and_a_single_edge_have_no_detail():
    water = np.full((128, 128, 3), 80, np.uint8) + picture(128, 128) // 32
    coast = water.copy()
    coast[:, 64:] = 200
    smooth = np.repeat(np.linspace(0, 255, 128).astype(np.uint8)[None, :, None], 128, 0).repeat(3, 2)
    assert detail(water) is None and detail(coast) is None and detail(smooth) is None
    found = detail(ground(0))
    assert found.shape == (32, 32) and found.dtype == np.float32 and abs(found.sum()) < 1e-3 and np.isclose((found**2).sum(), 1)


def test_of_many_windows_a_draw_is_kept(monkeypatch):
    monkeypatch.setattr(duplicates, "MOST", 10)
    images = [ground(seed, 64) for seed in range(60)]
    one, again = filled(images), filled(images)
    assert one.seen == 60 and len(one.windows) == len(one.array()) == 10
    assert one.windows == again.windows and np.array_equal(one.array(), again.array())
    rows = [window.row for window in one.windows]
    assert len(set(rows)) == 10 and max(rows) >= 10  # not simply the first ones
    for window, kept in zip(one.windows, one.array()):
        np.testing.assert_allclose(kept, detail(images[window.row]), atol=1e-3)


def test_nothing_to_compare():
    assert near_duplicates(Details(), filled([ground(0)])) == []
