"""The EXIF orientation of images. Pixels are read as they are stored; a viewer or a labelling tool may show them turned, so it is told."""

from pathlib import Path

import pyvips

from satsynth.datasets.rasters import Raster, opened

SHOWN = {  # how a program that follows the tag shows the stored pixels; it turns clockwise
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored and turned by 180 degrees",
    5: "mirrored and turned by 270 degrees",
    6: "turned by 90 degrees",
    7: "mirrored and turned by 90 degrees",
    8: "turned by 270 degrees",
}
SIDEWAYS = (5, 6, 7, 8)  # height and width are exchanged
LOADERS = {"JPEG": pyvips.Image.jpegload, "GTiff": pyvips.Image.tiffload, "PNG": pyvips.Image.pngload}  # driver -> what reads the header
REMEDY = "rewrite the images upright (exiftran -ai, or ImageOps.exif_transpose of Pillow)"


def orientation(image: Raster) -> int:
    """The EXIF orientation of an open image, 1 to 8; 1 (as stored) where it has none."""
    try:
        found = LOADERS[image.source.driver](str(image.path.absolute())).get("orientation")
    except pyvips.Error:
        return 1
    return found if found in SHOWN else 1


def explained(image: Raster, width: int, height: int) -> str:
    """What an error about labels of another size than the image's says of its EXIF orientation: a sentence after a blank, or nothing.

    Args:
        image: the open image.
        width: of the labels.
        height: of the labels; the two are not those of the image.
    """
    found = orientation(image) if (width, height) == (image.height, image.width) else 1
    if found not in SIDEWAYS:
        return ""
    return f" The likely cause is its EXIF orientation ({SHOWN[found]}), since pixels are read as stored: {REMEDY}."


class Turned:
    """Images of a dataset that carry an EXIF orientation."""

    def __init__(self) -> None:
        self.count = 0
        self._first = ""

    def add(self, image: Raster) -> None:
        """Count an open image, if it carries one."""
        found = orientation(image)
        if found in SHOWN:
            self.count += 1
            self._first = self._first or f"{image.path}: {SHOWN[found]}"

    def look(self, path: Path, max_pixels: int) -> None:
        """Count an image file, if it carries one."""
        with opened(path, max_pixels) as image:
            self.add(image)

    def warning(self) -> str | None:
        """What is to be said of them; None where there are none."""
        if not self.count:
            return None
        images, some = ("1 image carries", "") if self.count == 1 else (f"{self.count} images carry", "such as ")
        return (
            f"{images} an EXIF orientation ({some}{self._first}). Pixels are read as stored, so labels must fit the stored pixels; if "
            f"they were drawn on what a viewer shows, {REMEDY}."
        )
