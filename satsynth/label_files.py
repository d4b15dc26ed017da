"""What labels are, by the end of their path, and one spelling of the names in them. Standard library only: the plan asks too."""

import unicodedata

COCO = ".json"
VECTORS = (".geojson", ".gpkg", ".shp")


def label_kind(labels: str) -> str:
    """`masks` (a folder or pattern of rasters), `coco` (one .json file) or `vectors` (.geojson, .gpkg, .shp), by the end of the path."""
    end = labels.lower()
    return "coco" if end.endswith(COCO) else "vectors" if end.endswith(VECTORS) else "masks"


def plain(text: str) -> str:
    """Text in Unicode's composed form: a letter with an accent may be written as one character or as two, and looks the same."""
    return unicodedata.normalize("NFC", text)
