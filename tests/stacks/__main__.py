"""Read every pair of an export with every stack; see the package's docstring."""

import os
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image

from tests.stacks.readers import ARCHIVES, OTHERS, PACKAGES, TESTED

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / ".venv/stacks"  # by make test-stacks, for this process alone


def main() -> int:
    """The command line: the folder of an export, or nothing."""
    sys.path.append(str(INSTALLED))
    os.environ.setdefault("YOLO_CONFIG_DIR", str(INSTALLED))  # Ultralytics writes its settings there
    if len(sys.argv) > 1:
        return check(Path(sys.argv[1]))
    sys.path.insert(0, str(ROOT / "tests/unit"))
    from export_fixtures import World

    with tempfile.TemporaryDirectory() as place:
        return check(World(Path(place)).export(webdataset=True, parquet=True))


def check(folder: Path) -> int:
    """Print a line a stack and split; 1 where a pixel or pair is another than in the PNG files, a stack failed, or nothing is there."""
    if not any((folder / "train/images").glob("*.png")):
        print(f"{folder} holds no pair of train: is it an export?")
        return 1
    failed = 0
    for reader in (*TESTED, *OTHERS):
        package = PACKAGES.get(reader.__name__, reader.__name__)
        archive = ARCHIVES.get(reader.__name__)
        if archive and not (folder / archive).is_dir():
            print(f"{reader.__name__:22} this export has no {archive}")
            continue
        for split in ("train", "val"):
            if not (folder / split).is_dir():
                continue
            begun = time.perf_counter()
            try:
                count, wrong = compare(folder, split, reader)
            except Exception as error:  # whatever a stack raises; the others are read all the same
                count, wrong = 0, [f"{type(error).__name__}: {error}"]
            seconds = time.perf_counter() - begun
            verdict = f"WRONG: {', '.join(map(str, wrong[:3]))}" if wrong else "every pixel"
            print(f"{reader.__name__:22} {metadata.version(package):9} {split:6} {count:7} pairs {seconds:7.1f} s  {verdict}", flush=True)
            failed += bool(wrong)
    return 1 if failed else 0


def compare(folder: Path, split: str, reader) -> tuple[int, list[str]]:
    """How many pairs a reader gave, and the keys of those that are not in the PNG files, are there otherwise, or are missing."""
    missing, wrong, count = {path.stem for path in (folder / split / "images").glob("*.png")}, [], 0
    for key, *pair in reader(folder.absolute(), split):
        expected = [np.array(Image.open(folder / split / part / f"{key}.png")) for part in ("images", "masks")]
        if key not in missing or not all(map(np.array_equal, pair, expected)):
            wrong.append(key)
        missing.discard(key)
        count += 1
    return count, [*wrong, *(f"{key} is missing" for key in sorted(missing))]


if __name__ == "__main__":
    raise SystemExit(main())
