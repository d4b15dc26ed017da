"""Display colours for classes that bring none: told apart with any colour vision, and from the black of unlabelled pixels."""

import colorsys

import numpy as np

# Okabe and Ito's seven, then those that lie farthest from all before them to a normal eye and to three kinds of dichromats (Machado et al.
# 2009): every two of the sixteen are 16 or more apart in CIELAB to each of them.
COLOURS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (120, 0, 240),
    (120, 40, 0),
    (200, 240, 200),
    (80, 0, 80),
    (0, 0, 120),
    (240, 0, 80),
    (0, 240, 120),
    (160, 80, 240),
    (160, 240, 240),
)
NEAR = 60  # in RGB: a colour so near to one that the user gave is passed over


def filled(given: list[tuple[int, int, int] | None]) -> list[tuple[int, int, int]]:
    """Colours (red, green, blue) of all classes: those that are given, and for None the next of the palette, then hues by position."""
    taken = [np.array(colour) for colour in given if colour is not None]
    free = [colour for colour in COLOURS if all(np.linalg.norm(colour - other) > NEAR for other in taken)]
    colours = []
    for number, colour in enumerate(given):
        if colour is None:
            shade = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.75 - 0.25 * (number % 2), 0.9 - 0.2 * (number % 3))
            colour = free.pop(0) if free else tuple(round(255 * part) for part in shade)
        colours.append(colour)
    return colours
