"""Classes without colours of their own: told apart by everybody."""

import itertools

import numpy as np
import pytest

from satsynth.datasets import folder

# Linear RGB as it is seen with full vision, and without one kind of cones: Machado, Oliveira, Fernandes (2009), severity 1.
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour, vision):
    """CIELAB (D65) of an sRGB colour as it is seen."""
    parts = np.asarray(colour) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = XYZ @ np.clip(np.asarray(VISION[vision]) @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(seen > 0.008856, np.cbrt(seen), 7.787 * seen + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_the_first_ten_classes_are_told_apart_with_any_colour_vision(vision):
    space = folder.label_space({"classes": [f"c{number}" for number in range(10)], "label_map": None})
    seen = [lab(colour, vision) for colour in space.colours]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) > 15  # 2.3 is just noticed


def test_every_class_has_a_colour_of_its_own_and_given_ones_stay():
    classes = [f"c{number}" for number in range(60)]
    assert len(set(folder.label_space({"classes": classes, "label_map": None}).colours)) == 60
    given = [{"name": "roof", "color": "#010203"}, "road", "pool"]
    colours = folder.label_space({"classes": given, "label_map": {"#0A0B0C": 1}}).colours
    assert colours == ((1, 2, 3), (10, 11, 12), folder.rgb(folder.SHADES[2]))
