"""Lists of the scenes of train and val, as they come: with folders, with suffixes, or with neither."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from satsynth.datasets.rasters import SUFFIXES
from satsynth.datasets.scenes import Scene, Stopping, lines_of
from satsynth.label_files import plain
from satsynth.runtime.errors import ConfigError, DataError, SatsynthError

PARTS = ("train", "val")


class Lists(Stopping):
    """The lists that a split names. As findings it passes on what it is told, but asks no mask of an image that no list names.

    Args:
        root: what lists and images lie below.
        rule: the key `split`, whose `val` is a list; `train` is one too, or None or absent: then it is the rest.
        findings: what is done about what is not as it should be.

    Raises:
        ConfigError: `train` is no list.
    """

    def __init__(self, root: Path, rule: dict, findings: Stopping):
        given = {part: rule[part] for part in PARTS if rule.get(part) is not None}
        if not all(isinstance(file, str) for file in given.values()):
            raise ConfigError("split.train", "it is no list, but val is one.", "Name a list file, or leave it out: then train is the rest.")
        self._paths = {part: root / file for part, file in given.items()}
        self._lines = {part: lines_of(path) for part, path in self._paths.items() if path.is_file()}
        self._root, self._findings = root, findings
        self._named: dict[str, dict[str, list[str]]] = {}  # part -> line -> the names that it fits
        self._images: Collection[str] = ()

    def needed(self, images: dict[str, Path]) -> Collection[str]:
        """The images that lists name; all of them where train is the rest. The first time decides what a line fits."""
        if not self._images:
            index = _Index(images, self._root)
            self._images = images
            self._named = {part: {line: index.names(line) for line in lines} for part, lines in self._lines.items()}
        return set().union(*map(self._of, self._named)) if "train" in self._paths else images

    def _of(self, part: str) -> set[str]:
        return {names[0] for names in self._named.get(part, {}).values() if len(names) == 1}

    def divide(self, everything: list[Scene], split: str) -> dict[str, set[str]]:
        """The names of the scenes of train and of val.

        Args:
            everything: all scenes; those of images without a mask may be absent.
            split: the one that is asked for, whose list is checked; that of val where train is the rest.

        Raises:
            DataError: a list does not exist, or a line of it fits no scene or several; a scene is in both.
        """
        asked = split if split in self._paths else "val"
        if asked not in self._lines:
            raise DataError(self._paths[asked], "this list of scenes does not exist.", "Write it: the path of an image a line.")
        names = {part: self._of(part) for part in PARTS}
        if both := names["train"] & names["val"]:
            cause = f"{len(both)} scenes are in train too, such as {min(both)}."
            self.error(DataError(self._paths["val"], cause, "Keep each scene in one list."))
        self._check(self._paths[asked], self._named[asked], everything[0])
        listed = names["train"] | names["val"]
        if "train" not in self._paths:
            names["train"] = {scene.name for scene in everything} - names["val"]
        elif len(self._lines) == len(PARTS) and (left := [name for name in self._images if name not in listed]):
            self.hint(f"split: no list names {len(left)} of the {len(self._images)} images, such as {left[0]}; they are left out.")
        return names

    def _check(self, path: Path, named: dict[str, list[str]], known: Scene) -> None:
        strange = [line for line, names in named.items() if not names]
        if strange:
            cause = f"{len(strange)} of its {len(named)} names fit no scene, such as {strange[0]!r}; a scene is {known.name!r}."
            self.error(DataError(path, cause, "Write the path of one image a line, below the root or below images."))
        for line, names in named.items():
            if len(names) > 1:
                cause = f"its line {line!r} fits {len(names)} scenes, such as {names[0]} and {names[1]}."
                self.error(DataError(path, cause, "Write as many folders before it as tell them apart."))

    def error(self, error: SatsynthError) -> None:
        """Pass it on."""
        self._findings.error(error)

    def warning(self, text: str) -> None:
        """Pass it on."""
        self._findings.warning(text)

    def hint(self, text: str) -> None:
        """Pass it on."""
        self._findings.hint(text)

    def unpaired(self, images: list[Path], masks: list[Path]) -> None:
        """Pass them on."""
        self._findings.unpaired(images, masks)


class _Index:
    """Finds scenes by what a list calls them.

    Args:
        images: name of the scene -> its file below `root`.
    """

    def __init__(self, images: dict[str, Path], root: Path):
        self._names = {plain(name): name for name in images}
        self._tails = defaultdict(list)  # the last folders of a path and its stem -> names
        for name, path in images.items():
            parts = PurePosixPath(plain(path.relative_to(root).with_suffix("").as_posix())).parts
            for start in range(len(parts)):
                self._tails["/".join(parts[start:])].append(name)

    def names(self, line: str) -> list[str]:
        """The scenes that a line fits: by their name, else by the end of their path, each with the line's suffix or without it."""
        forms = list(_forms(plain(line)))
        exact = next((self._names[form] for form in forms if form in self._names), None)
        return [exact] if exact is not None else next((self._tails[form] for form in forms if form in self._tails), [])


def _forms(line: str) -> Iterable[str]:
    path = line.removeprefix("./")
    yield path
    if path.lower().endswith(SUFFIXES):
        yield path[: path.rindex(".")]
