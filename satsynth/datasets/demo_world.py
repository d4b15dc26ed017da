"""The land of the demo world: parcels, water and roads.

A scene is painted back to front: parcels, water and roads here, then what stands on them (`demo_objects`). Every shape is a
signed distance in pixels (negative inside), which gives the soft edge of the colour and the hard edge of the label from one
number. Heights are kept beside colours, so that one sun casts every shadow; a shadow darkens the colour and never changes the
label.

Sizes are chosen for patches of 64 px that are also read at 32 px: roads are 7 to 9 px wide, buildings 10 to 20 px, crowns 6
to 11 px, parcels 35 to 80 px, rivers 16 to 28 px. Tones overlap on purpose (ploughed soil, gravel roads and brown roofs;
asphalt and flat roofs; dark crops and trees), so that shape and surroundings carry what colour does not.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FIELD, TREE, SOIL, WATER, ROAD, BUILDING, CAR = range(7)

# Land cover of a parcel: class, colour, amplitude of the rows, amplitude of the mottling, share.
CROPS = (
    (FIELD, (122, 146, 82), 0.0, 8.0, 0.20),  # pasture
    (FIELD, (146, 168, 92), 6.0, 4.0, 0.18),  # young crop
    (FIELD, (90, 122, 64), 7.0, 4.0, 0.14),  # maize
    (FIELD, (196, 178, 114), 6.0, 5.0, 0.17),  # ripe grain
    (FIELD, (168, 152, 104), 5.0, 6.0, 0.06),  # stubble
    (SOIL, (146, 114, 86), 6.0, 5.0, 0.15),  # ploughed
    (SOIL, (178, 148, 114), 4.0, 6.0, 0.10),  # dry, bare
)
WATERS = ((58, 92, 104), (66, 96, 86), (46, 70, 84), (78, 100, 72), (96, 100, 82))  # clear to muddy
ASPHALT, GRAVEL = (128, 128, 128), (176, 158, 130)


@dataclass
class Canvas:
    """What has been painted so far; `y` and `x` are the pixel coordinates, `sun` points from the ground to the sun."""

    colour: np.ndarray  # (S,S,3) float32, 0 to 255
    label: np.ndarray  # (S,S) uint8
    height: np.ndarray  # (S,S) float32, px above ground
    y: np.ndarray
    x: np.ndarray
    sun: np.ndarray  # unit vector (x, y)

    @property
    def size(self) -> int:
        """Side in pixels."""
        return len(self.label)

    def paint(self, window: tuple, distance: np.ndarray, colour: object, label: int | None = None) -> None:
        """Lay `colour` over the inside of a shape given by its signed distance within `window`, and its label."""
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        part = self.colour[window]
        part += cover * (np.asarray(colour, np.float32) - part)
        if label is not None:
            self.label[window][distance < 0] = label

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns within `reach` px of a point; may be empty."""
        low_y, low_x = (int(np.clip(value - reach, 0, self.size)) for value in (y, x))
        high_y, high_x = (int(np.clip(value + reach + 2, 0, self.size)) for value in (y, x))
        return slice(low_y, high_y), slice(low_x, high_x)


def noise(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """Smooth noise (size,size) float32 of about unit deviation whose blobs are about `scale` px wide."""
    coarse = rng.standard_normal((int(size / scale) + 4,) * 2).astype(np.float32)
    step = np.arange(size, dtype=np.float32) / scale + 1
    rows = ndimage.map_coordinates(coarse, np.meshgrid(step, step, indexing="ij"), order=3, mode="nearest")
    return rows * 1.6


def parcels(rng: np.random.Generator, canvas: Canvas) -> np.ndarray:
    """Paint the patchwork of fields; returns the distance to the nearest parcel border (S,S) in px."""
    size = canvas.size
    reach = int(size * 0.75) + 12
    leaves, stack = [], [(-reach, -reach, reach, reach)]
    while stack:
        box = stack.pop()
        sides = np.array([box[2] - box[0], box[3] - box[1]])
        axis = int(sides.argmax()) if rng.random() < 0.85 else int(sides.argmin())
        if sides.max() < 82 and (sides.min() < 66 or rng.random() < 0.3):
            leaves.append(box)
            continue
        if sides[axis] < 70:
            axis = 1 - axis
        cut = box[axis] + sides[axis] * rng.uniform(0.4, 0.6)
        first, second = list(box), list(box)
        first[axis + 2] = second[axis] = round(cut)
        stack += [tuple(first), tuple(second)]
    ids = np.zeros((2 * reach, 2 * reach), np.int32)
    for number, (u0, v0, u1, v1) in enumerate(leaves):
        ids[v0 + reach : v1 + reach, u0 + reach : u1 + reach] = number
    angle = rng.uniform(0, np.pi)
    dx, dy = canvas.x - size / 2, canvas.y - size / 2
    u = dx * np.cos(angle) + dy * np.sin(angle) + 3 * noise(rng, size, 70)
    v = dy * np.cos(angle) - dx * np.sin(angle) + 3 * noise(rng, size, 70)
    limit = reach - 1
    which = ids[np.clip(v + reach, 0, 2 * limit).astype(int), np.clip(u + reach, 0, 2 * limit).astype(int)]
    corners = np.array(leaves, np.float32)[which]
    border = np.minimum.reduce([u - corners[..., 0], v - corners[..., 1], corners[..., 2] - u, corners[..., 3] - v])

    shares = np.array([crop[4] for crop in CROPS])
    shares = rng.dirichlet(shares * 14)  # what grows differs from scene to scene
    kinds = rng.choice(len(CROPS), len(leaves), p=shares)
    tones = np.array([CROPS[kind][1] for kind in kinds]) * rng.normal(1, 0.045, (len(leaves), 1)) + rng.normal(0, 3, (len(leaves), 3))
    turned = rng.random(len(leaves)) < 0.5
    pitch = rng.uniform(6.5, 9.0, len(leaves))
    rows = np.sin(np.where(turned[which], u, v) * (2 * np.pi / pitch[which]))
    rows *= np.array([CROPS[kind][2] for kind in kinds], np.float32)[which]
    mottle = (noise(rng, size, 18) + noise(rng, size, 7) * 0.6) * np.array([CROPS[kind][3] for kind in kinds], np.float32)[which]
    canvas.colour[:] = tones[which] + (rows + mottle)[..., None] * np.array([1.0, 0.95, 0.7])
    canvas.label[:] = np.array([CROPS[kind][0] for kind in kinds], np.uint8)[which]
    canvas.paint((slice(None),) * 2, border - 1.3, (104, 120, 72))
    canvas.label[border < 0.8] = FIELD
    return border


def curve(rng: np.random.Generator, start: np.ndarray, heading: float, length: float, bend: float, wave: float) -> np.ndarray:
    """A smooth path (n,4) of x, y, heading and arc length every half px: a sine-generated curve, as rivers draw them."""
    s = np.arange(0, length, 0.5)
    phase = rng.uniform(0, 2 * np.pi, 2)
    turn = bend * (np.sin(s / wave + phase[0]) + 0.5 * np.sin(s / (wave * 0.57) + phase[1]))
    angle = heading + turn - turn[0]
    steps = np.stack([np.cos(angle), np.sin(angle)], 1) * 0.5
    return np.column_stack([start + np.cumsum(steps, 0), angle, s])


def inside(path: np.ndarray, size: int, margin: float) -> np.ndarray:
    """Which points of a path lie within the scene grown by `margin` px."""
    return ((path[:, :2] > -margin) & (path[:, :2] < size + margin)).all(1)


def across(rng: np.random.Generator, size: int, heading: float, bend: float, wave: float) -> np.ndarray:
    """A path that crosses the whole scene and passes near its middle."""
    middle = size / 2 + rng.uniform(-0.3, 0.3, 2) * size
    back = curve(rng, middle, heading + np.pi, size * 1.5, bend, wave)
    ahead = curve(rng, middle, heading, size * 1.5, bend, wave)
    back[:, 2] += np.pi
    path = np.concatenate([back[::-1], ahead])
    path[:, 3] = np.arange(len(path)) * 0.5
    return path[inside(path, size, 24)]


def nearest(canvas: Canvas, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (S,S) of every pixel to the points of `path`, and the index (S,S) of the nearest point."""
    pad, size = 24, canvas.size
    owner = np.full((size + 2 * pad,) * 2, -1)
    keep = np.flatnonzero(inside(path, size, pad - 1))
    cells = np.round(path[keep, :2]).astype(int) + pad
    owner[cells[:, 1], cells[:, 0]] = keep
    rows, columns = ndimage.distance_transform_edt(owner < 0, return_distances=False, return_indices=True)
    index = owner[rows, columns][pad:-pad, pad:-pad]
    return np.hypot(canvas.x - path[index, 0], canvas.y - path[index, 1]), index


def waters(rng: np.random.Generator, canvas: Canvas) -> np.ndarray:
    """Paint a river, a lake, or both; returns the signed distance (S,S) to the shore in px."""
    size = canvas.size
    shore = np.full((size, size), np.inf)
    draw = rng.random()
    if draw < 0.7:
        path = across(rng, size, rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.7), rng.uniform(45, 70))
        away, index = nearest(canvas, path)
        half = rng.uniform(9, 13) + 1.8 * np.sin(path[:, 3] / 60 + rng.uniform(0, 6))
        shore = away - half[index] + 0.8 * noise(rng, size, 30)
    if draw > 0.4:
        for _ in range(max(1, size // 160)):
            x, y = rng.uniform(0.1, 0.9, 2) * size
            wide, turn = rng.uniform(26, 58), rng.uniform(0, np.pi)
            a = (canvas.x - x) * np.cos(turn) + (canvas.y - y) * np.sin(turn)
            b = (canvas.y - y) * np.cos(turn) - (canvas.x - x) * np.sin(turn)
            lake = np.hypot(a, b * rng.uniform(1.2, 1.8)) - wide + 8 * noise(rng, size, 40)
            if not ((lake < 0) & (shore < 20)).any():
                shore = np.minimum(shore, lake)
    deep = np.clip(-shore / 14, 0, 1)[..., None]
    tone = np.array(WATERS[rng.integers(len(WATERS))], np.float32) + rng.normal(0, 5, 3)
    turn = rng.uniform(0, np.pi)
    along = canvas.x * np.cos(turn) + canvas.y * np.sin(turn)
    ripple = np.sin(along / 2.1 + 1.5 * noise(rng, size, 20)) * np.clip(noise(rng, size, 40), 0, 2)
    glint = np.clip(noise(rng, size, 60) + noise(rng, size, 24) * 0.6 - 1.1, 0, 1.5)
    colour = tone + (1 - deep) * (24, 22, 8) + (ripple * 2.5 + glint * 20)[..., None]
    everywhere = (slice(None),) * 2
    canvas.paint(everywhere, (shore - 2.2) / 2, (150, 146, 104))
    canvas.paint(everywhere, shore, colour, WATER)
    return shore


def roads(rng: np.random.Generator, canvas: Canvas, shore: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Paint a connected network; returns its paths (n,6: x, y, heading, arc, half width, gravel) and the signed distance to it."""
    size = canvas.size

    def wet(path: np.ndarray) -> float:
        cells = np.clip(path[:, :2], 0, size - 1).astype(int)
        return float((shore[cells[:, 1], cells[:, 0]] < 6).mean())

    heading = rng.uniform(0, np.pi)
    trials = [across(rng, size, heading + rng.uniform(-0.6, 0.6), rng.choice([0.0, 0.18, 0.3]), 70) for _ in range(6)]
    found = [min(trials, key=wet)]
    paths = [np.column_stack([found[0], np.full((len(found[0]), 2), (rng.uniform(4.0, 4.5), 0))])]
    for _ in range(size // 10):
        if len(paths) > size // 60:
            break
        parent = paths[rng.integers(len(paths))]
        seen = np.flatnonzero(inside(parent, size, -10))
        if not len(seen):
            continue
        origin = parent[rng.choice(seen)]
        side = rng.choice([-1, 1])
        path = curve(rng, origin[:2], origin[2] + side * np.pi / 2 + rng.normal(0, 0.12), size * 1.5, rng.choice([0.0, 0.15, 0.25]), 60)
        path = path[: max(1, int(np.argmin(np.append(inside(path, size, 20), False))))]
        others = np.concatenate(paths)[::8, :2]
        gaps = np.array([np.hypot(*(others - point).T).min() for point in path[::8, :2]])
        clear = np.flatnonzero(gaps[6:] < 5) + 6  # beyond its own junction: where it meets another road, it ends
        close = gaps[8 : clear[0] - 4] if len(clear) else gaps[8:]
        path = path[: clear[0] * 8 + 1] if len(clear) else path
        if len(path) < 100 or wet(path) > 0.15 or (len(close) and close[4:].size and close[4:].min() < 26):
            continue
        gravel = rng.random() < 0.45
        paths.append(np.column_stack([path, np.full((len(path), 2), (rng.uniform(3.4, 3.9), gravel))]))
    joined = np.concatenate(paths)
    away, index = nearest(canvas, joined)
    edge = away - joined[index, 4]
    grain = noise(rng, size, 9)[..., None]
    asphalt = np.array(ASPHALT, np.float32) + rng.normal(0, 16) + grain * 3
    gravel = np.array(GRAVEL, np.float32) + rng.normal(0, 6) + grain * 5
    everywhere = (slice(None),) * 2
    canvas.paint(everywhere, np.where(shore < 0, 9.0, edge - 1.5), (146, 146, 104))  # the verge
    canvas.paint(everywhere, np.where(shore < 1, edge - 1.3, 9.0), (206, 202, 194))  # a bridge's parapet
    canvas.paint(everywhere, edge, np.where(joined[index, 5:6] > 0, gravel, asphalt), ROAD)
    dashed = (joined[index, 3] % 14 < 7) & (joined[index, 4] > 3.95)
    canvas.paint(everywhere, np.where(dashed, away + 0.1, 9.0), (214, 212, 204))
    return paths, edge
