"""What the counts of a look at a dataset say: its errors, warnings and hints."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from satsynth.datasets.astray import astray
from satsynth.datasets.duplicates import near_duplicates
from satsynth.datasets.labels import Labels, unknown_values
from satsynth.datasets.rasters import fitted
from satsynth.datasets.scenes import Collecting, Scene
from satsynth.datasets.shapes import unknown_categories
from satsynth.datasets.tallies import Tally
from satsynth.datasets.tiling import Decoder, no_patch, overlapping, small_windows
from satsynth.datasets.unknown import Unknown
from satsynth.datasets.wording import some
from satsynth.pairs import IGNORE
from satsynth.runtime.errors import DataError

FEW_SCENES = 2  # of val: below this no interval over scenes can be given
WHOLE_MAP = 6  # entries of a label_map that an advice writes out
REMEDY_RARE = "If it is rare, choose the split so that both parts have it."
REMEDY_NOWHERE = "The other part has none, either: do the labels hold it as the stanza says?"
REMEDY_NO_DATA = (
    "The images say of most that they have no data: if they do have, as where a near-infrared band is marked as alpha, mark them anew "
    "(gdal_edit.py -colorinterp_4 undefined FILE, or -unsetnodata)."
)
REMEDY_LEAK = "Keep one of the two, or both in one split (split by a wildcard or lists): val must be ground that train has not seen."


class Judge:
    """Tells what was found to `findings`.

    Args:
        decoder: of the labels.
        cfg: see `inspection.inspect`.
        names: of the classes.
        findings: takes errors and warnings.
        tallies: of train and val.
    """

    def __init__(self, decoder: Decoder, cfg: dict, names: Sequence[str], findings: Collecting, tallies: Mapping[str, Tally]):
        self.decoder, self.cfg, self.names, self.findings, self.tallies = decoder, cfg, names, findings, tallies
        self.strict = cfg["unknown"] == "error"

    def values(self, unknown: Unknown) -> None:
        """One error about all unknown values, at the file with most of them."""
        if not unknown:
            return
        labels, image = unknown.worst()
        if isinstance(self.decoder, Labels):
            found = unknown_values(labels, unknown.pixels, len(unknown))
        else:
            found = unknown_categories(labels, unknown.pixels, self.decoder.targets, image)
        if self.strict:
            self.findings.error(found)
        else:
            self.findings.warning(f"{found.subject}: {found.cause} They are unlabelled, since unknown: ignore is set.")

    def counts(self, root: Path, scenes: Sequence[Scene], unknown: Unknown) -> None:
        """What the numbers of scenes, patches and pixels say.

        Args:
            root: of the dataset.
            scenes: one an image, all that were looked at.
            unknown: what no class has.
        """
        bare = self._bare(scenes, unknown)
        if bare:
            self.findings.error(bare)
        for split, tally in self.tallies.items():
            if tally.scenes:
                if not bare:
                    self._labels(split, tally, unknown)
                self._patches(root, split, tally)
        if 0 < self.tallies["val"].scenes < FEW_SCENES:
            self.findings.warning("split.val: 1 scene only, so no interval over scenes can be given; raise split.val or add scenes.")
        if self.cfg["stride"] < self.cfg["size"]:
            self.findings.warning(overlapping(self.cfg["stride"], self.cfg["size"]))

    def _bare(self, scenes: Sequence[Scene], unknown: Unknown) -> DataError | None:
        """The error of shapes of which none lies on any image. Files are asked only where all that is labelled is background."""
        if isinstance(self.decoder, Labels) or unknown or not any(tally.scenes for tally in self.tallies.values()):
            return None
        if any(np.delete(tally.pixels, [self.decoder.background, IGNORE]).any() for tally in self.tallies.values()):
            return None
        return astray(self.decoder, scenes, self.cfg["max_pixels"])

    def _labels(self, split: str, tally: Tally, unknown: Unknown) -> None:
        """Classes without a pixel, and unlabelled ones. What the error about unknown values or categories explains is not told again."""
        labelled = tally.pixels[: len(self.names)]
        explained = self.strict and bool(tally.unknown)
        share = 100 * (tally.pixels[IGNORE] - (tally.unknown if self.strict else 0)) / max(1, tally.pixels.sum())
        # What train has not is told once.
        learned = self.tallies["train"].pixels > 0
        missing = [place for place in range(len(self.names)) if not labelled[place] and (split == "train" or learned[place])]
        absent = [self.names[place] for place in missing]
        if not labelled.any() and not explained:
            cause = f"every pixel of its {tally.scenes} scenes is unlabelled, so nothing can be learned or measured."
            remedy = self._without_data(tally) or self._hidden(tally) or self._unlabelled()
            self.findings.error(DataError(f"split.{split}", cause, remedy))
        elif split == "train" and np.count_nonzero(labelled) == 1 and not explained:
            (only,) = (self.names[place] for place in np.flatnonzero(labelled))
            cause = f"every labelled pixel is {only}, none is {' or '.join(absent)}, so there is nothing to segment."
            remedy = self._hidden(tally) or "Mend the labels or label_map, or add scenes that show more."
            self.findings.error(DataError(f"split.{split}", cause, remedy))
        elif missing and not (explained and len(missing) <= len(unknown.pixels)):
            what = "cannot be learned" if split == "train" else "has no IoU"
            elsewhere = any(other.pixels[place] for other in self.tallies.values() for place in missing)
            remedy = self._hidden(tally) if split == "train" else ""
            if not remedy and "labels" in self.cfg:
                remedy = REMEDY_RARE if elsewhere else REMEDY_NOWHERE
            self.findings.warning(f"split.{split}: no pixel of {', '.join(absent)}, which {what}. {remedy}".rstrip())
        if labelled.any() and share > 50:
            text = f"split.{split}: {share:.1f} % of all pixels are unlabelled. {self._without_data(tally)}"
            self.findings.warning(text.rstrip())

    def _hidden(self, tally: Tally) -> str:
        """The advice for masks of which the raw value of `ignore` may be that of a class, as of 0 and 255; "" where it cannot be."""
        raw, table = self.cfg.get("ignore"), self.cfg.get("label_map") or {}
        if not isinstance(self.decoder, Labels) or self.decoder.values.get(raw) != IGNORE or IGNORE in table.values():
            return ""
        number = int(tally.pixels[IGNORE] - tally.unknown - tally.without_data)
        # A class of which the other split has pixels has a value of its own.
        there = [place for place in range(len(self.names)) if any(tally.pixels[place] for tally in self.tallies.values())]
        absent = [place for place in range(len(self.names)) if place not in (there or [0])]
        if not number or not absent:
            return ""
        there, lost = there or [0], absent[-1]
        which = self.names[lost] if len(absent) == 1 else "one of these classes"
        known = {target: value for value, target in reversed(self.decoder.values.items())}
        entries = [f"{known[place]}: {self.names[place]}" for place in there if place in known]
        if len(entries) >= WHOLE_MAP:
            entries[2:] = ["..."]
        entries.append(f"{raw}: {self.names[lost]}")
        return (
            f"{number} pixels are unlabelled, as {raw} is where nothing else is said: if {raw} is {which}, give label_map: "
            f"{{{', '.join(entries)}}}."
        )

    def _without_data(self, tally: Tally) -> str:
        """The advice where the images say of most pixels that they have no data; "" where they do not."""
        return REMEDY_NO_DATA if 2 * tally.without_data > tally.pixels.sum() else ""

    def _unlabelled(self) -> str:
        """What to do about a split without a label."""
        if not isinstance(self.decoder, Labels):
            return "Mend label_map, or set background to the id of what no annotation covers."
        return "Mend label_map or the masks." if "labels" in self.cfg else "Replace the masks by those of the dataset."

    def _patches(self, root: Path, split: str, tally: Tally) -> None:
        """No patch at all, or scenes smaller than one."""
        size, remainder = self.cfg["size"], self.cfg["remainder"][split]
        if not tally.patches:
            self.findings.error(no_patch(root, split, tally.scenes, {**self.cfg, "remainder": remainder}))
        elif tally.small:
            fate = "left out" if remainder == "drop" else "padded"
            self.findings.warning(
                f"split.{split}: {len(tally.small)} of {tally.scenes} scenes are smaller than a patch of {size} px and are {fate}: "
                f"{some(tally.small, 3)}. Choose a smaller patches.size."
            )

    def hints(self, sides: Sequence[tuple[int, int]]) -> list[str]:
        """What could be done better, though nothing is wrong; `sides` are width and height of all images."""
        fit = [fitted(height, width, self.cfg["resize"]) for width, height in sides]
        hint = small_windows(self.tallies["train"].patches, self.cfg["size"], self.cfg["reduced"], fit)
        return [hint] if hint else []

    def leaks(self) -> list[dict]:
        """Near-duplicate windows of train and val, the most alike first; any is an error."""
        train, val = (self.tallies[split].details for split in ("train", "val"))
        found = [
            {"alike": round(alike, 3), "val": vars(val.windows[number]), "train": vars(train.windows[other])}
            for alike, number, other in near_duplicates(train, val)
        ]
        if found:
            worst = found[0]
            cause = (
                f"{len(found)} of {len(val.windows)} windows are near duplicates of a window of train, such as row {worst['val']['row']}, "
                f"column {worst['val']['column']}: it is row {worst['train']['row']}, column {worst['train']['column']} of "
                f"{worst['train']['file']} (correlation {worst['alike']})."
            )
            self.findings.error(DataError(worst["val"]["file"], cause, REMEDY_LEAK))
        return found
