"""A sound set of six images, ways in which people's sets are broken, and what must be told about each."""

import json
import shutil

import numpy as np
import pyogrio
import rasterio
import shapely
from annotation_fixtures import box
from dataset_fixtures import ids, picture, save
from PIL import Image
from rasterio.transform import from_origin
from test_vector_labels import layer, ring, scene

NAMES = "abcdef"
STANZA = {
    "root": "town",
    "images": "images",
    "labels": "masks",
    "classes": ["field", "road", "house"],
    "patches": {"size": 32, "reduced": [16]},
    "split": {"by": "scene", "val": 0.34, "seed": 0},
}
COLOURS = {"#00FF00": "field", "#FF0000": "road", "#0000FF": "house"}
PALETTE = np.array([[0, 255, 0], [255, 0, 0], [0, 0, 255]], np.uint8)


def sound(root):
    for number, name in enumerate(NAMES):
        save(root / "images" / f"{name}.png", picture(64, 64, seed=number))
        save(root / "masks" / f"{name}.png", ids(3, 64, 64, seed=number))


def coco(root, annotations=(), extra=(), categories=("field", "road", "house")):
    shutil.rmtree(root / "masks")
    listed = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate(NAMES)] + list(extra)
    drawn = [{"image_id": number, "category_id": number % 3, "segmentation": [box(0, 0, 64, 40)]} for number in range(6)]
    names = [{"id": number, "name": name} for number, name in enumerate(categories)]
    (root / "labels.json").write_text(json.dumps({"images": listed, "annotations": drawn + list(annotations), "categories": names}))
    return {"labels": "labels.json"}


def vectors(root, crs="EPSG:25832", georeferenced=True, field="kind", value="road"):
    for part in ("images", "masks"):
        shutil.rmtree(root / part)
    for number, name in enumerate(NAMES):
        place = from_origin(500_000 + 64 * number, 5_500_000, 1, 1)
        scene(root, name, "EPSG:25832" if georeferenced else None, place, 64, 64)
    layer(root / "town.gpkg", [(ring(0, 0, 500, 30), value), (ring(0, 30, 500, 50), "house")], crs, field)
    return {"labels": "town.gpkg", "label_field": "kind", "background": 0}


# Each: breaks the sound set at `root` and returns changes of the stanza.


def no_images(root):
    shutil.rmtree(root / "images")
    (root / "images").mkdir()


def wrong_pattern(root):
    return {"images": "images/{id}.jpg", "labels": "masks/{id}.png"}


def suffix_in_capitals(root):
    for path in list((root / "images").iterdir()):
        path.rename(path.with_suffix(".PNG"))
    return {"images": "images/{id}.png", "labels": "masks/{id}.png"}


def other_format(root):
    for path in list((root / "images").iterdir()):
        path.rename(path.with_suffix(".jp2"))


def backslashes(root):
    return {"images": "images\\{id}.png", "labels": "masks\\{id}.png"}


def missing_file(root):
    return {"images": "images/g.png", "labels": "masks/g.png"}


def file_and_folder(root):
    return {"images": "images/a.png"}


def wildcard_of_folders(root):
    for number, name in enumerate(NAMES):
        for part in ("images", "masks"):
            (root / f"{part}/{name}.png").rename(root / f"{part}/area{number}_7_cm.png")
    return {"split": {"val": {"area": [1]}}}


def number_for_text(root):
    for number, name in enumerate(NAMES):
        for part in ("images", "masks"):
            (root / f"{part}/{name}.png").rename(root / f"{part}/top_2_{number:02}.png")
    return {"images": "images/top_{tile}.png", "labels": "masks/top_{tile}.png", "split": {"val": {"tile": [200, 201]}}}


def other_folder(root):
    (root / "masks").rename(root / "annotations")


def other_names(root):
    for path in (root / "masks").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))


def missing_mask(root):
    (root / "masks/b.png").unlink()


def other_size(root):
    save(root / "masks/c.png", ids(3, 64, 60))


def unknown_value(root):
    mask = ids(3, 64, 64)
    mask[:5, :8] = 9
    save(root / "masks/d.png", mask)


def coloured(root):
    for number, name in enumerate(NAMES):
        save(root / "masks" / f"{name}.png", PALETTE[ids(3, 64, 64, seed=number)])


def unknown_colour(root):
    coloured(root)
    mask = PALETTE[ids(3, 64, 64)]
    mask[:4, :4] = (1, 2, 3)
    save(root / "masks/d.png", mask)
    return {"label_map": COLOURS}


def lossy_masks(root):
    coloured(root)
    for path in list((root / "masks").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"), quality=60)
        path.unlink()
    return {"label_map": COLOURS}


def value_map_of_colours(root):
    coloured(root)


def truncated(root):
    path = root / "images/e.png"
    path.write_bytes(path.read_bytes()[:3000])


def no_image_at_all(root):
    (root / "images/e.png").write_text("<html>404 Not Found</html>")


def sixteen_bits(root):
    for number, name in enumerate(NAMES):
        (root / f"images/{name}.png").unlink()
        pixels = picture(64, 64, seed=number).astype(np.uint16) * 40
        with rasterio.open(root / f"images/{name}.tif", "w", driver="GTiff", width=64, height=64, count=3, dtype="uint16") as out:
            out.write(np.moveaxis(pixels, 2, 0))


def few_bands(root):
    return {"bands": [4, 3, 2]}


def float_mask(root):
    (root / "masks/a.png").unlink()
    with rasterio.open(root / "masks/a.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="float32") as out:
        out.write(ids(3, 64, 64).astype(np.float32), 1)


def palettes_that_differ(root):
    for number, name in enumerate(NAMES):
        image = Image.fromarray(ids(3, 64, 64, seed=number))
        image.putpalette((PALETTE if number < 5 else PALETTE[::-1]).ravel().tolist())
        image.save(root / "masks" / f"{name}.png")


def dead_link(root):
    (root / "images/f.png").unlink()
    (root / "images/f.png").symlink_to("/nowhere/f.png")


def two_suffixes(root):
    save(root / "images/a.tif", picture(64, 64))


def masks_of_0_and_255(root):
    for name in NAMES:
        save(root / "masks" / f"{name}.png", np.full((64, 64), 255, np.uint8))


def empty_val(root):
    (root / "train.txt").write_text("\n".join(NAMES))
    (root / "val.txt").write_text("\n")
    return {"split": {"train": "train.txt", "val": "val.txt"}}


def in_both_lists(root):
    (root / "train.txt").write_text("a\nb\nc\nd\n")
    (root / "val.txt").write_text("d\ne\n")
    return {"split": {"train": "train.txt", "val": "val.txt"}}


def unknown_in_list(root):
    (root / "train.txt").write_text("a\nb\nz.png\nd\n")
    (root / "val.txt").write_text("e\n")
    return {"split": {"train": "train.txt", "val": "val.txt"}}


def missing_list(root):
    (root / "train.txt").write_text("a\nb\n")
    return {"split": {"train": "train.txt", "val": "val.txt"}}


def one_scene(root):
    for part in ("images", "masks"):
        for name in NAMES[1:]:
            (root / part / f"{name}.png").unlink()


def large_patches(root):
    return {"patches": {"size": 128, "reduced": [], "remainder": {"train": "drop", "val": "drop"}}}


def empty_patches(root):
    for name in NAMES:
        mask = ids(3, 64, 64)
        mask[:, ::2] = 255
        save(root / "masks" / f"{name}.png", mask)
    return {"patches": {"size": 32, "reduced": [16], "max_ignore": 0.4}}


def masks_without_a_building(root):
    for name in NAMES:
        save(root / "masks" / f"{name}.png", np.zeros((64, 64), np.uint8))


def of_two_values(root, other):
    for number, name in enumerate(NAMES):
        save(root / "masks" / f"{name}.png", ids(2, 64, 64, seed=number) * np.uint8(other))


def building_of_255(root):
    of_two_values(root, 255)
    return {"classes": ["land", "building"]}


def ignore_of_7(root):
    of_two_values(root, 7)
    return {"classes": ["land", "building"], "ignore": 7}


def near_infrared_as_alpha(root):
    """Of open water, which is dark there."""
    for number, name in enumerate(NAMES):
        (root / f"images/{name}.png").unlink()
        facts = {"driver": "GTiff", "width": 64, "height": 64, "count": 4, "dtype": "uint8", "photometric": "RGB", "ALPHA": "YES"}
        with rasterio.open(root / f"images/{name}.tif", "w", **facts) as out:
            out.write(np.concatenate([np.moveaxis(picture(64, 64, seed=number), 2, 0), np.zeros((1, 64, 64), np.uint8)]))


def swapped(root):
    return {"images": "masks", "labels": "images"}


def swapped_by_colour(root):
    return swapped(root) | {"label_map": COLOURS}


def vectors_elsewhere(root):
    changes = vectors(root)
    layer(root / "town.gpkg", [(ring(9000, 0, 9500, 30), "road")], "EPSG:25832", "kind")
    return changes


def vectors_elsewhere_beside_a_layer(root):
    changes = vectors_elsewhere(root)
    zones = np.array(shapely.to_wkb([ring(0, 0, 500, 50)]), object)
    pyogrio.raw.write(root / "town.gpkg", zones, [], [], geometry_type="Polygon", crs="EPSG:25832", layer="zones", append=True)
    return changes | {"label_layer": "town"}


def vectors_elsewhere_and_collars(root):
    changes = vectors_elsewhere(root)
    for path in (root / "images").iterdir():
        with rasterio.open(path, "r+") as image:
            bands = image.read()
            bands[:, :5] = 0
            image.write(bands)
            image.nodata = 0
    return changes


def vectors_without_any_shape(root):
    vectors(root, georeferenced=False)
    (root / "town.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    return {"labels": "town.geojson", "label_class": "road", "background": 0}


def coco_in_shares(root):
    changes = coco(root)
    content = json.loads((root / "labels.json").read_text())
    for annotation in content["annotations"]:
        annotation["segmentation"] = [box(0, 0, 0.4, 0.4)]
    (root / "labels.json").write_text(json.dumps(content))
    return changes | {"background": 0}


def copied(root):
    found = [save(root / "images" / f"{name}.png", blobs(number)) for number, name in enumerate(NAMES)]
    for number, path in enumerate(found):  # each again in other clothes: turned, compressed, brighter
        other = Image.fromarray(np.clip(np.rot90(blobs(number), 1 + number % 3) * 0.8 + 30, 0, 255).astype(np.uint8))
        other.save(root / "images" / f"copy_{path.stem}.jpg", quality=70)
        shutil.copy(root / "masks" / path.name, root / "masks" / f"copy_{path.name}")
    (root / "train.txt").write_text("\n".join(NAMES))
    (root / "val.txt").write_text("\n".join(f"copy_{name}" for name in NAMES))
    return {"split": {"train": "train.txt", "val": "val.txt"}}


def blobs(seed):
    from scipy import ndimage

    fine = ndimage.gaussian_filter(picture(64, 64, seed=seed).astype(np.float32), (2, 2, 0))
    return np.clip((fine - fine.mean()) * 6 + 128, 0, 255).astype(np.uint8)


def coco_without_the_file(root):
    return coco(root, extra=[{"id": 9, "file_name": "z.png"}])


def coco_of_other_categories(root):
    return coco(root, categories=("field", "path", "house"))


def coco_of_boxes(root):
    return coco(root, [{"id": 7, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]}])


def coco_cut_off(root):
    (root / "labels.json").write_text('{"images": [')
    return {"labels": "labels.json"}


def vectors_without_the_attribute(root):
    return vectors(root, field="type")


def vectors_of_another_class(root):
    return vectors(root, value="motorway")


def vectors_without_a_place(root):
    return vectors(root, crs=None)


def images_without_a_place(root):
    return vectors(root, georeferenced=False)


SIZES = ("the image is 64 x 64 pixels, but its mask", "masks/c.png is 60 x 64", "Give both the same size")
# For each: the end of the subject (a file or a key), then words of the cause and of the remedy.
CASES = {
    no_images: ("images", "no pair was found: 0 images and 6 masks. images: no file lies in ", "Mend root, images or labels"),
    wrong_pattern: ("images/{id}.jpg", "0 images and 6 masks. images: 6 files lie in ", "none fits the pattern", "Mend root, images or"),
    suffix_in_capitals: ("images/{id}.png", "images: 6 files fit but for upper and lower case, such as ", "images/a.PNG."),
    other_format: ("images", "lie 6 files .jp2; png, jpg, jpeg, tif, tiff are read.", "Mend root, images or labels"),
    backslashes: ("masks", "0 images and 0 masks. images: a backslash parts no folders; write /. labels: a backslash"),
    missing_file: ("images/g.png", "this file does not exist. Beside it lie a.png, b.png, c.png, ...", "Mend the path"),
    file_and_folder: ("labels", "images is one file, and this is a folder", "Name one file in both"),
    wildcard_of_folders: (
        *("split.val.area", "images is no pattern, so it has no wildcard {area}"),
        'such as images: "images/area0_{area}_cm.png", labels: "masks/area0_{area}_cm.png"',
    ),
    number_for_text: ("split.val.tile", "no scene has '200'; there are 2_00, 2_01, ", 'Write values in quotes, as in "2_00"'),
    other_folder: ("masks", "this folder does not exist. In ", "there are: annotations, images.", "mend root or the paths"),
    other_names: ("masks", "none of the same name. Unmatched are, for example, image ", "a_mask.png", "go by one name"),
    missing_mask: ("images/b.png", "there is no mask b for it (1 of 6 images have none", "Add the mask, or take the image out"),
    other_size: ("images/c.png", *SIZES),
    unknown_value: (
        "masks/d.png",
        "40 pixels of the mask",
        "9 (40 pixels)",
        "Add it to classes or label_map, as 9: CLASS or, where it means unlabelled, 9: ignore; or",
    ),
    unknown_colour: ("masks/d.png", "#010203 (16 pixels)", 'Add it to label_map, as "#010203": CLASS or'),
    lossy_masks: (".jpg", "pixels of 6 masks hold a value or colour that no class has", "JPEG changes colours: save masks as PNG"),
    value_map_of_colours: ("masks/a.png", "the mask is a colour image, but label_map has no colours", "Give label_map by colour"),
    truncated: ("images/e.png", "the pixels cannot be read", "Replace the file by a sound copy"),
    no_image_at_all: ("images/e.png", "as no PNG, JPEG or TIFF does", "Replace the file by a sound copy"),
    sixteen_bits: ("images/a.tif", "the image holds uint16 values, not 8 bits", "Set the key scale to [low, high]"),
    few_bands: ("images/a.png", "bands [4, 3, 2] are asked for, but the file has 3", "Mend the key bands"),
    float_mask: ("masks/a.tif", "the labels are float32 values, not whole numbers", "Save the mask with 8-bit class values"),
    palettes_that_differ: ("masks/", "differs from file to file, so an index does not name a class", "Give label_map by colour"),
    dead_link: ("images/f.png", "it is a link to /nowhere/f.png, which is missing", "Fetch that file, or remove the link"),
    two_suffixes: ("images/a.tif", "it goes by the same name as", "Keep one of the two"),
    masks_of_0_and_255: (
        "split.train",
        "every pixel of its 4 scenes is unlabelled",
        "if 255 is one of these classes, give label_map: {0: field, 255: house}",
    ),
    empty_val: ("split.val", "it is empty: none of the 6 scenes is in it", "Mend the key split"),
    in_both_lists: ("val.txt", "1 scenes are in train too, such as d", "Keep each scene in one list"),
    unknown_in_list: ("train.txt", "1 of its 4 names fit no scene, such as 'z.png'; a scene is 'a'", "Write the path of one image a line"),
    missing_list: ("val.txt", "this list of scenes does not exist", "Write it: the path of an image a line"),
    one_scene: ("split", "there is one scene only, which cannot be divided in two", "split: {by: block"),
    large_patches: ("town", "the 4 scenes of train gave no patch of 128 px (remainder drop", "Choose a smaller size"),
    empty_patches: ("town", "the 2 scenes of val gave no patch of 32 px (remainder pad, max_ignore 0.4)", "a larger max_ignore"),
    masks_without_a_building: ("split.train", "every labelled pixel is field, none is road or house", "add scenes that show more"),
    building_of_255: ("split.train", "every labelled pixel is land, none is building", "give label_map: {0: land, 255: building}"),
    ignore_of_7: ("split.train", "every labelled pixel is land", "if 7 is building, give label_map: {0: land, 7: building}"),
    near_infrared_as_alpha: ("split.train", "is unlabelled", "The images say of most that they have no data", "-colorinterp_4 undefined"),
    swapped: ("images/", "the mask is a colour image", "those of a photograph: are images and labels swapped?"),
    swapped_by_colour: ("images/", "colour that no class has", "are images and labels swapped?"),
    copied: ("images/copy_", "6 of 6 windows are near duplicates of a window of train", "images/", "both in one split"),
    coco_without_the_file: ("labels.json", "1 of the 7 images that it lists are not there, such as 'z.png'", "mend root, images or the"),
    coco_of_other_categories: ("labels.json", "no class has: 'path' (2)", "known are field, road, house", "label_map (category: class"),
    coco_of_boxes: ("labels.json", "annotation 7 on 'a.png' cannot be drawn: it has no segmentation, only a box", "as polygons [[x, y"),
    coco_cut_off: ("labels.json", "the annotations are no JSON", "the file may be cut off"),
    vectors_without_the_attribute: ("town.gpkg", "it has no attribute 'kind'; it has type", "Set label_field"),
    vectors_of_another_class: ("town.gpkg", "a category that no class has: 'motorway' (", "Add it to classes or"),
    vectors_without_a_place: ("town.gpkg", "the labels have no coordinate system", "ogr2ogr -a_srs"),
    images_without_a_place: ("images/a.tif", "the image has no coordinate system", "Use a GeoTIFF that has one"),
    vectors_elsewhere: (
        "town.gpkg",
        "no shape of it lies on any of the 6 images",
        "In EPSG:25832 they lie in x ",
        "Assign the coordinate system",
    ),
    vectors_elsewhere_beside_a_layer: ("town.gpkg", "no shape of it lies on any of the 6 images. In EPSG:25832 they lie in x "),
    vectors_elsewhere_and_collars: ("town.gpkg", "no shape of it lies on any of the 6 images. In EPSG:25832 they lie in x "),
    vectors_without_any_shape: ("town.geojson", "no shape of it lies on any of the 6 images. There is no shape in the labels"),
    coco_in_shares: ("labels.json", "no shape of it lies on any of the 6 images", "rows 0 to 0.4 of 64", "in pixels of the image"),
}
