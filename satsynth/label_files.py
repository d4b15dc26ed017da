"""What a path of labels says by its end: masks, COCO annotations, or vector files. Standard library only: the plan asks too."""

COCO = ".json"
VECTORS = (".geojson", ".gpkg", ".shp")


def label_kind(labels: str) -> str:
    """`masks` (a folder or pattern of rasters), `coco` (one .json file) or `vectors` (.geojson, .gpkg, .shp), by the end of the path."""
    end = labels.lower()
    return "coco" if end.endswith(COCO) else "vectors" if end.endswith(VECTORS) else "masks"
