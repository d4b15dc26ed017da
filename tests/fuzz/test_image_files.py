"""Damaged images and masks of a user's own folder: tiled, or refused by one error that names the file.

What cannot be known: a JPEG has no checksum, so a changed byte of its data may give other pixels without an error; so may one of an
uncompressed TIFF. Of a PNG, whose parts bear checksums, and of truncated files of every kind, the tests below ask for more.
"""

import io
import itertools
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import rasterio
from mutations import damage, snapshot, stream, survey
from PIL import Image

from satsynth.datasets import folder, tiling
from satsynth.datasets.rasters import opened
from satsynth.datasets.scenes import files_under, lines_of, natural
from satsynth.pairs import Store
from satsynth.plan import raw
from satsynth.runtime.errors import ConfigError, DataError

HEIGHT, WIDTH, CLASSES = 40, 48, 3
CFG = {
    **{"images": "images", "labels": "masks", "class_count": CLASSES, "label_map": None, "ignore": 255, "unknown": "error"},
    **{"split": {"by": "scene", "val": 0.5, "seed": 0}, "size": 16, "stride": 16, "remainder": "pad", "max_ignore": 1.0, "resize": None},
    **{"max_pixels": 1_000_000, "bands": None, "scale": None},
}
LOOSE = [
    {},
    {"unknown": "ignore"},
    {"scale": "auto"},
    {"scale": [0, 1000]},
    {"resize": 64},
    {"bands": [3, 1, 2]},
    {"label_map": {"#000000": 0}},
]


def picture() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([rows * 5, columns * 5, rows ^ columns], -1).astype(np.uint8)


def ids() -> np.ndarray:
    return (np.mgrid[:HEIGHT, :WIDTH].sum(0) // 9 % CLASSES).astype(np.uint8)


def encoded(array: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options) -> bytes:
    bands = array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": len(bands), "dtype": array.dtype, **options}
    with warnings.catch_warnings(action="ignore"), rasterio.MemoryFile() as memory:
        with memory.open(**profile) as target:
            target.write(bands)
        return memory.read()


def palette_png() -> bytes:
    image = Image.fromarray(ids(), "P")
    image.putpalette([40 * number % 256 for number in range(256) for _ in range(3)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def sound(kind: str, mask: bool) -> list[tuple[str, bytes]]:
    """Suffix and content of sound files of a kind, in several forms."""
    array = ids() if mask else picture()
    if kind == "png":
        forms = [encoded(array, "PNG"), encoded(array, "PNG", compress_level=0), palette_png() if mask else encoded(array[..., 0], "PNG")]
        return [(".png", content) for content in forms]
    if kind == "jpeg":
        options = [{"quality": 95}, {"progressive": True, "quality": 80}, {"subsampling": 2}]
        return [(".jpg", encoded(array, "JPEG", **option)) for option in options]
    tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    options = [{}, {"compress": "deflate"}, {"compress": "lzw", "predictor": 2}, tiled, {**tiled, "compress": "zstd"}]
    options += [{"compress": "packbits"}, {"interleave": "band"} if not mask else {}, {"BIGTIFF": "YES"}]
    options += [] if mask else [{"compress": "jpeg", "photometric": "ycbcr"}]
    return [(".tif", tiff(array, **option)) for option in options]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def forged_png(rng: random.Random) -> bytes:
    """A PNG of sound checksums that lies about its size, depth, colours, filters or data."""
    side = rng.choice([0, 1, 16, 1000, 1001, 65535, 2**31 - 1, 2**31, 2**32 - 1])
    other = rng.choice([side, 16, 40])
    depth, colour = rng.choice([1, 2, 4, 8, 16, 3, 0, 255]), rng.choice([0, 2, 3, 4, 6, 1, 7])
    header = struct.pack(">IIBBBBB", side, other, depth, colour, rng.choice([0, 0, 1]), rng.choice([0, 0, 9]), rng.choice([0, 1, 2]))
    data = zlib.compress(rng.choice([bytes(5000), rng.randbytes(5000), b"", bytes([7]) * 100_000]))
    extra = rng.choice(
        [b"", b"", chunk(b"PLTE", bytes(rng.choice([3, 768, 4, 0]))), chunk(b"tEXt", b"a\0" + bytes(9999)), chunk(b"zTXt", b"a\0\0" + data)]
    )
    end = rng.choice([chunk(b"IEND", b""), b""])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data[: rng.choice([len(data), 9, 0])]) + end


def forged_jpeg(rng: random.Random) -> bytes:
    """A JPEG whose frame lies about its size, components or tables."""
    content = bytearray(encoded(picture(), "JPEG", progressive=rng.random() < 0.5))
    frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    if rng.random() < 0.6:
        content[frame + 5 : frame + 9] = struct.pack(">HH", *(rng.choice([0, 1, 40, 1000, 1001, 65535]) for _ in range(2)))
    else:
        place = frame + rng.randrange(2, 19)
        content[place] = rng.choice([0, 1, 3, 4, 8, 16, 17, 0x44, 255])
    return bytes(content)


def forged_tiff(rng: random.Random) -> bytes:
    """A TIFF of which one or two entries of its directory say something else: size, bands, tiles, compression, offsets, counts."""
    _, content = rng.choice([form for form in sound("tiff", False) if form[1][2] == 42])
    content = bytearray(content)
    start = struct.unpack_from("<I", content, 4)[0]
    for _ in range(rng.choice([1, 1, 2])):
        place = start + 2 + 12 * rng.randrange(struct.unpack_from("<H", content, start)[0])
        field = rng.choice(["value", "value", "value", "tag", "type", "count"])
        wild = rng.choice([0, 1, 2, 3, 5, 7, 16, 255, 1001, 65535, 2**31, 2**32 - 1, 34712, 50000, 34892])
        if field == "value":
            struct.pack_into("<I", content, place + 8, wild)
        elif field == "count":
            struct.pack_into("<I", content, place + 4, wild)
        else:
            struct.pack_into("<H", content, place + (0 if field == "tag" else 2), rng.choice([wild & 0xFFFF, 256, 258, 277, 322, 339, 317]))
    return bytes(content)


DISGUISES = {
    "VRT": b'<VRTDataset rasterXSize="48" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>%s'
    b"</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>",
    "WMS": b'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}.png</ServerUrl></Service></GDAL_WMS>',
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="48" height="40"><image href="%s"/></svg>',
    "GIF": encoded(ids(), "GIF"),
    "BMP": encoded(picture(), "BMP"),
    "WebP": encoded(picture(), "WEBP"),
    "PNM": b"P5 48 40 255\n" + bytes(1920),
    "PDF": encoded(picture(), "PDF"),
    "ZIP": b"PK\x03\x04" + bytes(200),
    "ESRI header": b"ncols 48\nnrows 40\nxllcorner 0\nyllcorner 0\ncellsize 1\n" + b"1 " * 1920,
    "CSV": b"a,b\n1,2\n",
    "GeoJSON": b'{"type": "FeatureCollection", "features": []}',
    "ENVI": b"ENVI\nsamples = 48\nlines = 40\nbands = 1\n",
    "script": b"#!/bin/sh\ntouch pwned\n",
}
FORGERS = {"png": forged_png, "jpeg": forged_jpeg, "tiff": forged_tiff}
CASES = {f"{kind} {role}": 140 for kind, role in itertools.product(("png", "jpeg", "tiff"), ("image", "mask"))}


def lay(root, image: tuple[str, bytes], mask: tuple[str, bytes]):
    """A folder with one pair."""
    for part, (suffix, content) in (("images", image), ("masks", mask)):
        place = root / part
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        (place / f"a{suffix}").write_bytes(content)
    return root


def tiled(root, cfg) -> list[tuple[np.ndarray, np.ndarray]]:
    """All patches of all scenes below a root, without a split."""
    found, _ = folder._find(root, cfg)
    return [(image, mask) for scene in found for _, _, _, image, mask in tiling.patches(scene, folder.labels(cfg), cfg)]


@pytest.mark.parametrize("kind", CASES)
def test_damaged_images_and_masks(tmp_path, kind):
    """Half of the cases are damaged anywhere, half are whole files that lie; a patch that comes out is a patch, whatever it shows."""
    form, role = kind.split()
    forms, good = sound(form, role == "mask"), {"image": sound("png", False)[0], "mask": sound("png", True)[0]}

    def case(rng: random.Random, number: int) -> None:
        suffix, content = rng.choice(forms)
        content = FORGERS[form](rng) if number % 2 else damage(content, rng, head=64)
        root = lay(tmp_path / "root", **{**good, role: (suffix, content)})
        before, cfg = snapshot(root), {**CFG, **rng.choice(LOOSE)}
        if cfg.get("label_map"):
            cfg = {**cfg, "unknown": "ignore"}
        for image, mask in tiled(root, cfg):
            assert image.shape == (16, 16, 3) and mask.shape == (16, 16) and image.dtype == mask.dtype == np.uint8
            assert set(np.unique(mask).tolist()) <= {*range(CLASSES), 255}
        assert snapshot(root) == before

    survey(kind, CASES[kind], case, lambda number: str(tmp_path / "root"))


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize("role", ["image", "mask"])
def test_no_truncated_file_is_taken(tmp_path, kind, role):
    """Cut anywhere before its pixels end, a file is refused: nothing grey or black is made up for what is missing.

    The last bytes of a file may hold no pixels (an end marker, a directory's last entries), so the cuts stop short of them.
    """
    good = {"image": sound("png", False)[0], "mask": sound("png", True)[0]}
    cfg = {**CFG, "unknown": "ignore"}
    for number, (suffix, content) in enumerate(sound(kind, role == "mask")):
        rng = stream(f"cut {kind} {role}", number)
        for _ in range(6):
            cut = content[: rng.randrange(8, len(content) - 40)]
            root = lay(tmp_path / "root", **{**good, role: (suffix, cut)})
            with pytest.raises(DataError, match=str(root)):
                tiled(root, cfg)


def test_a_changed_byte_of_a_pngs_pixels_is_noticed(tmp_path):
    """Its checksums say so; with no other kind of file can one count on that."""
    content = sound("png", False)[0][1]
    start = content.find(b"IDAT") + 4
    for number in range(100):
        changed = bytearray(content)
        changed[stream("png byte", number).randrange(start, len(content) - 16)] ^= 1 << number % 8
        root = lay(tmp_path / "root", (".png", bytes(changed)), sound("png", True)[0])
        with pytest.raises(DataError, match=r"a\.png"):
            tiled(root, CFG)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_other_format_is_opened(tmp_path, disguise, suffix):
    """Least of all those of GDAL and libvips that read what other files or addresses hold."""
    (tmp_path / "secret.png").write_bytes(sound("png", True)[0][1])
    content = DISGUISES[disguise].replace(b"%s", str(tmp_path / "secret.png").encode())
    root = lay(tmp_path / "root", (suffix, content), sound("png", True)[0])
    with pytest.raises(DataError, match="begins"):
        tiled(root, CFG)


def huge(kind: str) -> bytes:
    """A file of a few hundred bytes that claims gigabytes: of pixels, or within one strip or tile of a small image."""
    if kind == "png":
        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    if kind == "jpeg":
        content = bytearray(encoded(picture(), "JPEG", progressive=True))
        frame = content.find(b"\xff\xc2")
        content[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
        return bytes(content)
    big = kind == "tiff tile"
    tags = [(256, 4, 1, 64 if big else 60_000), (257, 4, 1, 64 if big else 60_000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    tags += [(277, 3, 1, 60_000 if kind == "tiff bands" else 1)]
    tags += (
        [(322, 4, 1, 65_520), (323, 4, 1, 65_520), (324, 4, 1, 8), (325, 4, 1, 100)]
        if big
        else [(273, 4, 1, 8), (278, 4, 1, 60_000), (279, 4, 1, 100)]
    )
    if kind == "tiff bands":
        tags[0], tags[1] = (256, 4, 1, 64), (257, 4, 1, 64)
    data = zlib.compress(bytes(100_000))
    directory = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + directory + bytes(4)


@pytest.mark.parametrize("role", ["image", "mask"])
@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "tiff tile", "tiff bands"])
def test_decompression_bombs_are_refused_before_a_pixel_is_decoded(tmp_path, kind, role):
    """In a process that may have 400 MB more than it starts with; the message names the file and the key that says how much is too much."""
    suffix = {"png": ".png", "jpeg": ".jpg"}.get(kind, ".tif")
    good = {"image": sound("png", False)[0], "mask": sound("png", True)[0]}
    root = lay(tmp_path / "root", **{**good, role: (suffix, huge(kind))})
    lines = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
import numpy, rasterio, pyvips
from satsynth.datasets.rasters import opened
from satsynth.runtime.errors import DataError
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)
for path in sorted(Path({str(root)!r}).glob("*/*")):
    try:
        with opened(path, {10_000_000 if kind == "tiff bands" else 500_000_000}) as raster:
            raster.read(0, 16, [1])
    except DataError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert done.returncode == 0 and len(said) == 1 and str(root) in said[0], done.stdout + done.stderr
    assert "max_pixels" in said[0], said


def test_no_scene_is_resized_to_the_size_of_a_bomb(tmp_path):
    root = lay(tmp_path, sound("png", False)[0], sound("png", True)[0])
    with pytest.raises(DataError, match=r"a\.png.*resized to 20000"):
        tiled(root, {**CFG, "resize": 20_000})


# Names ------------------------------------------------------------------------------------------------------------------------

NAMES = [
    "a b", "'", '"', "$(touch pwned)", "`touch pwned`", "; touch pwned", "-rf", "--help", "é", "漢字 😀", "a,b", "nan", "007", "1e5",
    "[0]", "a[page=1]", "{id}", "%s", "#a?b&c", "a!b", "zip+file:a", "http:a", "GTIFF_DIR:1:a", "a\\b", "*", "~", "1²3", "٣", "x" * 200,
    "=1+1",
]  # fmt: skip


def test_scenes_of_any_name_are_tiled_and_kept_by_their_names(tmp_path, monkeypatch):
    """In every kind of file, at two depths; nothing is written below the root, and no name reaches a shell."""
    root = tmp_path / "raw $(touch pwned) 'root'"
    for number, name in enumerate(NAMES):
        suffix, content = [sound("png", False)[0], sound("jpeg", False)[0], sound("tiff", False)[0]][number % 3]
        below = [name, "sub"] if number % 2 and len(name) < 100 else [""]
        for part, end, data in (("images", suffix, content), ("masks", ".png", sound("png", True)[0][1])):
            place = root.joinpath(part, *below)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{name}{end}").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    before = snapshot(root)
    raw.digest(root, "mine")
    for split in ("train", "val"):
        tiling.tile("folder", root, split, CFG, {16: tmp_path / split})
    stores = [Store.open(tmp_path / split, verify=True) for split in ("train", "val")]
    scenes = {scene for store in stores for scene in store.index["scene"]}
    assert scenes == {f"{name}/sub/{name}" if number % 2 and len(name) < 100 else name for number, name in enumerate(NAMES)}
    assert snapshot(root) == before and {path.name for path in tmp_path.iterdir()} == {root.name, "train", "val"}


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"a\rb", b"\x1b[31m", b"a\x7f"])
def test_a_name_that_no_index_can_hold_is_told(tmp_path, name):
    root = lay(tmp_path, sound("png", False)[0], sound("png", True)[0])
    with open(os.fsencode(root / "images") + b"/" + name + b".png", "wb") as file:
        file.write(b"")
    with pytest.raises(DataError, match=r"\\[xnr].*\.png.*Rename") as refused:
        tiled(root, CFG)
    assert str(refused.value).isprintable()


def test_a_list_that_is_no_utf_8_is_told(tmp_path):
    root = tmp_path
    (root / "val.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"val\.txt.*UTF-8"):
        lines_of(root / "val.txt")


def test_digits_that_are_no_ascii_are_sorted_as_letters():
    assert natural("1²2")[2] == (1, 0, "²") and sorted(["1²2", "10", "٣", "9"], key=natural) == ["1²2", "9", "10", "٣"]


# Links ------------------------------------------------------------------------------------------------------------------------


def test_links_are_followed_out_of_the_root_and_what_they_lead_to_counts(tmp_path):
    """As on clusters, where data lie elsewhere: reading goes where links lead, and a changed target is a changed dataset."""
    store = lay(tmp_path / "store", sound("png", False)[0], sound("png", True)[0])
    root = tmp_path / "root"
    root.mkdir()
    (root / "images").symlink_to(store / "images")
    (root / "masks").mkdir()
    (root / "masks/a.png").symlink_to(store / "masks/a.png")
    assert len(tiled(root, CFG)) == 9
    known = raw.digest(root, "mine")
    raw.digest.cache_clear()
    os.utime(store / "masks/a.png", (1, 1))
    assert raw.digest(root, "mine") != known


def test_links_without_an_end_and_to_nothing_are_told(tmp_path):
    root = lay(tmp_path / "root", sound("png", False)[0], sound("png", True)[0])
    for target in (root, root / "images", tmp_path, root / "images/loop"):
        link = root / "images/loop"
        link.symlink_to(target)
        raw.digest.cache_clear()
        # Found at the first link: two such links in one folder would be followed along every one of 2^40 paths.
        cause = "cannot be looked at" if target == link else "is a link to a folder that it lies in"
        with pytest.raises(ConfigError, match=rf"datasets\.mine\.root: .*loop' {cause}"):
            raw.digest(root, "mine")
        if target != link:
            with pytest.raises(DataError, match=r"images/loop: it is a link"):
                files_under(root / "images")
        link.unlink()
    os.mkfifo(root / "images/b.png")  # never opened: who did would wait for ever
    with pytest.raises(DataError, match=r"b\.png.*no plain file"), opened(root / "images/b.png", 100):
        pass


@pytest.mark.parametrize("root", [".", "results", "results/demo", "link"])
def test_no_root_lies_in_results_or_holds_them(tmp_path, monkeypatch, root):
    """Nothing is ever written below a root; results are what is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SATSYNTH_DATA", raising=False)
    (tmp_path / "results/demo").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "results")
    raw.digest.cache_clear()
    with pytest.raises(ConfigError, match=r"datasets\.mine\.root: .*results"):
        raw.digest(raw.root_of({"root": root}, None), "mine")
