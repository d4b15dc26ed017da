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
        details.add(Window(name, number, 0, f"{name}{number}.png"), image, image.shape[:2])
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


def collared(image, rows, edge=0):
    """The same with a collar without data; `edge` is the value that the image holds there."""
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[:rows], alpha[:, : rows // 2] = 0, 0
    return np.dstack([np.where(alpha[..., None] > 0, image, np.uint8(edge)), alpha])


@pytest.mark.parametrize("rows", [16, 32])
def test_a_copy_is_found_beside_a_collar_without_data(rows):
    train = filled([collared(ground(seed), rows) for seed in range(40)])
    val = filled([*(collared(ground(seed), rows) for seed in range(100, 130)), jpeg(ground(17)), collared(ground(18), rows, 255)], "b")
    found = {(number, other) for _, number, other in near_duplicates(train, val)}
    assert len(train.windows) == 40 and found == {(30, 17), (31, 18)}


def test_the_edge_of_a_collar_is_no_detail():
    """Water under one collar: as detail of colours its edge is the same in all windows."""
    water = [np.full((128, 128, 3), 120, np.uint8) + picture(128, 128, seed=seed) // 40 for seed in range(8)]
    zigzag = np.full((128, 128), 255, np.uint8)
    for row in range(128):
        zigzag[row, : 40 + row % 32] = 0
    seen = [np.where(zigzag[..., None] > 0, image, np.uint8(0)) for image in water]
    assert all(detail(image) is None for image in water)
    assert all(detail(np.dstack([image, zigzag])) is None for image in seen)
    found = detail(collared(ground(0), 32))
    assert not found[:8].any() and not found[:, :4].any() and np.count_nonzero(found[8:, 4:]) > 600
    assert abs(found.sum()) < 1e-3 and np.isclose((found**2).sum(), 1)
    assert detail(collared(ground(0), 90)) is None  # mostly without data


def legend(image, rows):
    """A white strip with black bars at the bottom, as a scale or a date is drawn into images."""
    out = image.copy()
    out[-rows:] = 255
    for column in range(4, 124, 8):
        out[-rows + 4 : -4, column : column + 3 + column % 5] = 0
    return out


@pytest.mark.parametrize("rows", [24, 40])
def test_a_legend_on_all_images_is_no_near_duplicate_but_a_copy_with_it_is(rows):
    faint = [(ground(seed).astype(int) // 4 + 90).astype(np.uint8) for seed in range(40)]
    other = [(ground(seed).astype(int) // 4 + 90).astype(np.uint8) for seed in range(100, 130)]
    train, val = filled([legend(image, rows) for image in faint]), filled([legend(image, rows) for image in [*other, jpeg(faint[17])]], "b")
    assert (val.array().reshape(31, -1) @ train.array().reshape(40, -1).T > 0.9).sum() > 100  # taken as a whole they are alike
    assert [(number, of) for _, number, of in near_duplicates(train, val)] == [(30, 17)]


def test_what_a_border_cuts_must_agree_in_all_its_parts():
    """A window of which a border leaves half, most of it legend: alike over different ground, and as whole as it is found again."""

    def cut(seed):
        return legend((ground(seed).astype(int) // 4 + 90).astype(np.uint8), 40)[-64:]

    train, val = Details(), Details()
    for number in range(20):
        train.add(Window("a", number, 0, "a.png"), cut(number), (128, 128))
    for number in (*range(100, 120), 7):
        val.add(Window("b", number, 0, "b.png"), cut(number), (128, 128))
    assert [(number, other) for _, number, other in near_duplicates(train, val)] == [(20, 7)]
    assert set(train.least) == {16} and set(filled([ground(0)]).least) == {10}


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
