"""What stands on the land of the demo world: villages with houses, yards and cars; trees; and the shadows of it all."""

import numpy as np
from scipy import ndimage

from satsynth.datasets.demo_world import ASPHALT, BUILDING, CAR, CROPS, FIELD, ROAD, SOIL, TREE, WATER, Canvas, inside, noise

LAWN = (126, 148, 88)
ROOFS = ((176, 96, 72), (150, 84, 66), (140, 112, 92), (118, 116, 118), (190, 184, 174))
FLAT_ROOFS = ((196, 194, 190), (136, 134, 134), (168, 160, 148))
CARS = ((228, 228, 226), (176, 180, 184), (44, 46, 52), (176, 42, 38), (48, 84, 148))


def min_distance(canvas: Canvas, points: np.ndarray) -> np.ndarray:
    """Distance (S,S) of every pixel to the nearest of a few points (n, 2 or more: x, y, ...)."""
    return np.minimum.reduce([np.hypot(canvas.x - point[0], canvas.y - point[1]) for point in points])


def box(canvas: Canvas, x: float, y: float, turn: float, long: float, wide: float) -> tuple:
    """A rectangle: its window, its axes a (along `turn`) and b there, and the signed distance."""
    window = canvas.window(x, y, np.hypot(long, wide) / 2 + 4)
    dx, dy = canvas.x[window] - x, canvas.y[window] - y
    a, b = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return window, a, b, np.maximum(abs(a) - long / 2, abs(b) - wide / 2)


def house(rng: np.random.Generator, canvas: Canvas, shape: tuple, long: float, wide: float, turn: float, flat: bool) -> None:
    """Paint one building: a gabled, hipped or flat roof, lit by the scene's sun."""
    window, a, b, distance = shape
    if flat:
        colour = np.array(FLAT_ROOFS[rng.integers(len(FLAT_ROOFS))]) + rng.normal(0, 5, 3)
        canvas.paint(window, distance, colour * 1.12, BUILDING)  # the parapet
        canvas.paint(window, distance + 1.5, colour * 0.96)
        for _ in range(int(long * wide / 130)):
            unit = np.maximum(abs(a - rng.uniform(-0.35, 0.35) * long), abs(b - rng.uniform(-0.3, 0.3) * wide)) - 1.4
            canvas.paint(window, unit, colour * 0.7)
        rise = rng.uniform(5, 7)
    else:
        colour = np.array(ROOFS[rng.choice(len(ROOFS), p=(0.3, 0.2, 0.2, 0.2, 0.1))]) * rng.normal(1, 0.06)
        across_sun = float(canvas.sun @ (-np.sin(turn), np.cos(turn)))
        light = np.sign(b) * across_sun
        if rng.random() < 0.35:  # hipped: the short sides slope too
            ends = (long / 2 - abs(a)) < (wide / 2 - abs(b))
            light = np.where(ends, np.sign(a) * float(canvas.sun @ (np.cos(turn), np.sin(turn))), light)
        canvas.paint(window, distance, colour * (1 + 0.2 * light)[..., None], BUILDING)
        canvas.paint(window, np.maximum(abs(b) - 0.2, distance + 2), colour * 1.25)  # the ridge
        rise = rng.uniform(4, 6)
    canvas.height[window][distance < 0] = rise


def car(rng: np.random.Generator, canvas: Canvas, x: float, y: float, turn: float) -> None:
    """Paint one car: body, glass, and a low height for its shadow."""
    long = rng.uniform(6.6, 7.8)
    window, a, b, distance = box(canvas, x, y, turn, long, 3.7)
    colour = np.array(CARS[rng.choice(len(CARS), p=(0.32, 0.2, 0.16, 0.2, 0.12))], np.float32)
    canvas.paint(window, distance, colour, CAR)
    canvas.paint(window, np.maximum(abs(abs(a - 0.3) - 1.7) - 0.6, abs(b) - 1.2), (58, 66, 76))
    canvas.height[window][distance < 0] = 1.3


def settlements(rng: np.random.Generator, canvas: Canvas, paths: list, shore: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Paint villages along the roads, with lawns, yards, car parks, pools and cars; returns what trees must keep clear of (S,S) bool."""
    size = canvas.size
    joined = np.concatenate(paths)
    seen = joined[inside(joined, size, -size // 8)]
    centres = seen[rng.integers(len(seen), size=max(1, size // 220))] if len(seen) else joined[:1]
    radius = rng.uniform(0.19, 0.28) * max(size, 256)
    reach = min_distance(canvas, centres) + 14 * noise(rng, size, 60)
    lawn = (np.minimum(reach - radius * 0.9, 9) + np.maximum(edge - 34, 0)) / 5
    lawn = np.where(canvas.label < WATER, lawn, 9.0)
    shade = (noise(rng, size, 22) * 6)[..., None]
    everywhere = (slice(None),) * 2
    canvas.paint(everywhere, lawn, np.array(LAWN) + rng.normal(0, 4, 3) + shade, None)
    canvas.label[(lawn < 0) & (canvas.label == SOIL)] = FIELD

    taken = (edge < 1.5) | (shore < 3)
    for path in paths:
        at = rng.integers(0, 30)
        while at < len(path):
            x, y, heading, _, half, _ = path[at]
            near = np.exp(-((np.hypot(*(centres[:, :2] - (x, y)).T).min() / radius) ** 4))
            for side in (-1, 1):
                if rng.random() > 0.85 * near + 0.1:
                    continue
                flat = rng.random() < 0.22
                long, wide = (rng.uniform(20, 30), rng.uniform(14, 20)) if flat else (rng.uniform(13, 19), rng.uniform(10, 13))
                away = half + wide / 2 + rng.uniform(4, 9)
                normal = np.array([-np.sin(heading), np.cos(heading)]) * side
                place = np.array([x, y]) + normal * away
                turn = heading + (np.pi / 2 if not flat and rng.random() < 0.25 else 0)
                shape = box(canvas, *place, turn, long, wide)
                if shape[3].size == 0 or (taken[shape[0]] & (shape[3] < 3)).any():
                    continue
                house(rng, canvas, shape, long, wide, turn, flat)
                taken[shape[0]] |= shape[3] < 3
                behind = place + normal * (wide / 2 + rng.uniform(8, 11))
                if flat:
                    car_park(rng, canvas, taken, behind, heading)
                elif rng.random() < 0.4:
                    yard(rng, canvas, taken, behind, turn, pool=rng.random() < 0.45)
            at += int(rng.uniform(38, 56))
        at = rng.integers(0, 80)
        while at < len(path):
            x, y, heading, _, half, gravel = path[at]
            lane = rng.choice([-1, 1]) * half * 0.48
            if gravel == 0 and at > 24:
                car(rng, canvas, x - np.sin(heading) * lane, y + np.cos(heading) * lane, heading)
            at += int(rng.uniform(60, 190))
    return taken


def car_park(rng: np.random.Generator, canvas: Canvas, taken: np.ndarray, place: np.ndarray, heading: float) -> None:
    """Paint an asphalt yard with parked cars where there is room; it is road by label and roof by colour."""
    window, _, _, distance = box(canvas, *place, heading, 26, 14)
    if distance.size == 0 or (taken[window] & (distance < 0)).any():
        return
    canvas.paint(window, distance, np.array(ASPHALT) + rng.normal(0, 8), ROAD)
    taken[window] |= distance < 2
    along = np.array([np.cos(heading), np.sin(heading)])
    for slot in (-9, -4.4, 0.2, 4.8, 9.4):
        if rng.random() < 0.55:
            car(rng, canvas, *(place + along * slot), heading + np.pi / 2)


def yard(rng: np.random.Generator, canvas: Canvas, taken: np.ndarray, place: np.ndarray, turn: float, pool: bool) -> None:
    """Paint a swimming pool (water by label) or a patch of bare soil behind a house where there is room."""
    long, wide = (11, 7) if pool else (15, 11)
    window, _, _, distance = box(canvas, *place, turn, long, wide)
    if distance.size == 0 or (taken[window] & (distance < 1)).any():
        return
    taken[window] |= distance < 2
    if pool:
        canvas.paint(window, distance - 1.6, (198, 190, 176))
        canvas.paint(window, distance, (92, 172, 190), WATER)
    else:
        canvas.paint(window, distance, np.array(CROPS[5][1]) + rng.normal(0, 6), SOIL)


def trees(rng: np.random.Generator, canvas: Canvas, border: np.ndarray, taken: np.ndarray, edge: np.ndarray, shore: np.ndarray) -> None:
    """Paint woods, hedges on some parcel borders, trees along the water and single ones, crown by crown."""
    size = canvas.size
    woods = noise(rng, size, 75) + 0.25 * noise(rng, size, 25)
    level = np.quantile(woods, 1 - rng.uniform(0.1, 0.25))
    hedges = (border < 2.0) & (noise(rng, size, 55) > 0.75)
    bank = (shore > 3) & (shore < 9) & (noise(rng, size, 40) > 0.7)
    room = ndimage.distance_transform_edt(~(taken | (canvas.label >= WATER)))
    spacing = 5.0
    rows, columns = np.mgrid[0 : size + spacing : spacing, 0 : size + spacing : spacing]
    spots = np.stack([columns.ravel(), rows.ravel()], 1) + rng.uniform(-1.9, 1.9, (rows.size, 2))
    spots = spots[rng.permutation(len(spots))]
    luck, radii, tints = rng.random(len(spots)), rng.uniform(3.2, 5.4, len(spots)), rng.normal(0, 1, len(spots))
    crown = np.zeros((size, size), np.float32)
    tint = np.zeros((size, size), np.float32)
    for (x, y), chance, radius, hue in zip(spots, luck, radii, tints):
        cell = min(max(int(y), 0), size - 1), min(max(int(x), 0), size - 1)
        wood = woods[cell] > level
        if not (wood or (hedges[cell] and chance < 0.85) or (bank[cell] and chance < 0.6) or chance < 0.006):
            continue
        radius = min(radius, room[cell] - 0.5)
        if radius < 2.8:
            continue
        window = canvas.window(x, y, radius)
        square = ((canvas.x[window] - x) ** 2 + (canvas.y[window] - y) ** 2) / radius**2
        dome = np.where(square < 1, radius * (0.55 + 0.6 * np.sqrt(np.clip(1 - square, 0, 1))), 0)
        higher = dome > crown[window]
        crown[window][higher] = dome[higher]
        tint[window][higher] = hue
    leaves = np.pad(crown > 0, 3, mode="edge")  # else the closing would eat the crowns at the scene's edge
    leafy = ndimage.binary_closing(leaves, iterations=2)[3:-3, 3:-3] & (room > 0)
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(crown, 0.8))
    lit = np.clip(-(slope_x * canvas.sun[0] + slope_y * canvas.sun[1]), -0.9, 0.9)
    base = np.array([(72, 98, 56), (82, 104, 58), (64, 92, 60)][rng.integers(3)], np.float32)
    colour = base * (1 + 0.34 * lit + 0.05 * tint)[..., None] + tint[..., None] * (3, 1.5, 0)
    colour *= np.where(crown > 0, 1.0, 0.62)[..., None]  # the floor between crowns is dark
    soft = ndimage.gaussian_filter(leafy.astype(np.float32), 0.6)[..., None]
    canvas.colour += soft * (colour - canvas.colour)
    canvas.label[leafy] = TREE
    np.maximum(canvas.height, crown, out=canvas.height)


def shadows(canvas: Canvas, slope: float) -> np.ndarray:
    """How much of each pixel lies in shadow, (S,S) in 0 to 1: heights are walked away from the sun, losing `slope` px per px."""
    size = canvas.size
    above = np.zeros_like(canvas.height)
    padded = np.pad(canvas.height, 16, mode="edge")
    for step in np.arange(0.75, 12, 0.75):
        dx, dy = np.round(canvas.sun * step).astype(int)
        moved = padded[16 + dy : 16 + dy + size, 16 + dx : 16 + dx + size] - step * slope
        np.maximum(above, moved, out=above)
    return ndimage.gaussian_filter(np.clip((above - canvas.height) * 1.5, 0, 1), 0.6)
