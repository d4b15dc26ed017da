"""How long the gallery of 5,000 pairs of 256 px takes to open in Chromium, to filter and to sort, and how large it is.

    .venv/bin/python -m benchmarks.gallery [--images FOLDER]

Times are of the clock on the wall, from asking for the page to the moment at which every tile in view is decoded, each in a fresh context
of one browser; files lie in the disk's cache. Pairs are patches of the demo world, or of the images of a folder (with masks of the demo
world), under the eight flips and turns. Aim: 2 s to open. Without Chromium nothing is measured.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.interleaved import AT_MOST, Bench
from satsynth.datasets.demo import draw, label_space
from satsynth.pairs import StoreWriter, open_view
from satsynth.reporting.gallery import document, packing
from satsynth.symmetries import turned

PAIRS, SIZE, SHARDS, AIM = 5000, 256, 16, 2.0
CFG = {"pairs": PAIRS, "tile": 96, "quality": 75, "quantile": 0.01}  # the paper's preset
# The page shows tiles until no picture in view is missing or still to be decoded.
DECODED = """
async () => {
  const inView = (one) => { const box = one.getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight; };
  const images = () => [...document.querySelectorAll(".tile img.image")].filter(inView);
  while (!images().length || images().some((one) => !one.src)) await new Promise((done) => setTimeout(done, 2));
  await Promise.all(images().map((one) => one.decode()));
  return images().length;
}
"""
# Seconds that a change of the form takes until its tiles are in place and drawn (the pictures of new ones may come later).
CHANGED = """
async ([name, value]) => {
  const form = document.getElementById("choices");
  const begun = performance.now();
  form.elements[name].value = value;
  form.elements[name].dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((done) => setTimeout(done));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return (performance.now() - begun) / 1000;
}
"""


def patches(folder: Path | None, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Some pairs (side,side,3) and (side,side) uint8, each cut from a scene of its own or from the images of `folder`."""
    scenes = [draw(np.random.default_rng(number), 2 * side) for number in range(12)]
    cut = [slice(0, side), slice(side, 2 * side)]
    masks = [mask[rows, columns] for _, mask in scenes for rows in cut for columns in cut]
    images = [image[rows, columns] for image, _ in scenes for rows in cut for columns in cut]
    if folder:
        pictures = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.rglob("*.jpg"))]
        found = [
            picture[top : top + side, left : left + side]
            for picture in pictures
            for top in range(0, picture.shape[0] - side + 1, side)
            for left in range(0, picture.shape[1] - side + 1, side)
        ]
        images = found[:: max(1, len(found) // 600)]
    return [(image, masks[number % len(masks)]) for number, image in enumerate(images)]


def build(root: Path, count: int, size: int, images: Path | None) -> Path:
    """The gallery of `count` pairs below `root`, as the workflow's rules would write it; its page."""
    known, stream = patches(images, size), np.random.default_rng(0)
    made = {"weights": ["0" * 64], "samplers": [{"method": "dpmpp_2m", "steps": 20}], "nfe": [20], "seed": 0, "block": 64}
    space, base = label_space({}), root / f"results/demo/{size}px"

    def store(folder: Path, first: int, last: int, facts: dict) -> Path:
        with StoreWriter(folder, size=size, classes=space.count, facts=facts) as writer:
            for row in range(first, last):
                pair = (turned(array, row // len(known) % 8) for array in known[row % len(known)])
                scores = {"margin": round(float(stream.uniform()), 6), "invalid": round(float(stream.uniform(0, 0.02)), 6)}
                writer.append(*map(np.ascontiguousarray, pair), seed=0, index=row, **scores)
        return folder

    trained = count // 4  # distinct training patches that are nearest to some pair
    train = store(base / "real/train", 0, trained, {})
    edges = [count * number // SHARDS for number in range(SHARDS + 1)]
    shards = [store(base / f"cascade/shard-{k:04d}", edges[k], edges[k + 1], {"source": made}) for k in range(SHARDS)]

    def table(path: Path, rows: int) -> Path:
        distance = stream.gamma(4, 0.3, rows)
        found = {"row": range(rows), "feature_distance": distance, "feature_row": stream.integers(0, trained, rows), "feature_turn": 0}
        found |= {"feature_ratio": 0.9, "pixel_distance": distance * 20, "pixel_row": 0}
        pd.DataFrame(found).to_csv(path, index=False)
        return path

    neighbours = [table(root / f"neighbours-{k}.csv", edges[k + 1] - edges[k]) for k in range(SHARDS)]
    place = root / f"results/report/gallery/demo-{size}px-cascade"
    parts = -(-count // 200)
    out = {role: [place / f"{role}-{number:03d}.js" for number in range(parts)] for role in ("tiles", "pairs", "real")}
    out |= {"numbers": place / "numbers.js", "strip": place / "strip.jpg", "card": place / "card.json"}
    given = {"train": open_view([train]), "neighbours": neighbours, "null": [table(root / "null.csv", 400)]}
    card = packing.pack({"dataset": "demo", "source": "cascade"}, CFG | {"pairs": count}, space, open_view(shards), out, **given)
    page = root / "results/report/gallery.html"
    document.write(page, "Benchmark", [card])
    return page


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=7)
    bench.parser.add_argument("--images", type=Path, help="folder of JPEG images to cut pairs from")
    bench.parser.add_argument("--pairs", type=int, default=PAIRS)
    program = shutil.which("chromium")
    count, size = (200, 64) if bench.quick else (bench.chosen.pairs, SIZE)
    if not program:
        print("There is no Chromium here: nothing is measured.")
        bench.close()
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        begun = time.perf_counter()
        page = build(Path(folder), count, size, bench.chosen.images)
        print(f"built in {time.perf_counter() - begun:.0f} s")
        files = [path for path in page.parent.rglob("*") if path.is_file()]
        bench.record(f"gallery of {count} pairs of {size} px, on disk", [sum(path.stat().st_size for path in files) / 1e6], unit="MB")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        times: dict[str, list[float]] = {
            "opens": [],
            "filters": [],
            "sorts": [],
            "shows the tiles of another order": [],
            "opens a pair": [],
        }
        for number in range(bench.chosen.rounds + 1):
            context = browser.new_context(viewport={"width": 1400, "height": 1000})
            tab = context.new_page()
            begun = time.perf_counter()
            tab.goto(page.as_uri())
            tab.evaluate(DECODED)
            found = {"opens": time.perf_counter() - begun}
            found["filters"] = tab.evaluate(CHANGED, ["class", label_space({}).names[1]])
            begun = time.perf_counter()
            found["sorts"] = tab.evaluate(CHANGED, ["sort", "distance"])
            tab.evaluate(DECODED)
            found["shows the tiles of another order"] = time.perf_counter() - begun
            begun = time.perf_counter()
            tab.locator(".tile").first.click()
            tab.wait_for_function(
                "() => document.querySelector('#made canvas').width > 0 && document.querySelector('#nearest img').complete"
            )
            found["opens a pair"] = time.perf_counter() - begun
            context.close()
            if number:  # the first fills the disk's cache
                for name, seconds in found.items():
                    times[name].append(seconds)
        browser.close()
    for name, seconds in times.items():
        bench.record(f"gallery of {count} pairs {name}", seconds, aim=AIM if name == "opens" else None, sense=AT_MOST, unit="s")
    bench.close()


if __name__ == "__main__":
    main()
