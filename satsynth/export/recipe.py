"""How the synthetic pairs of an export were made, so that any of them can be made again: `recipe.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from satsynth.export.rows import Part
from satsynth.pairs import Store
from satsynth.runtime import files
from satsynth.runtime.errors import CardError, StoreError

FORMAT = 1
AGAIN = "Export the set again."


@dataclass(frozen=True)
class Recipe:
    """What is read of `recipe.json`.

    Args:
        source: what the files of its pairs are called after.
        classes: K.
        seed, block: of all noise; pairs are sampled in blocks of absolute indices.
        compile: whether they were sampled by compiled graphs, where there was an accelerator.
        stages: dicts of generator (its name), card (what its card says, `weights_sha256` with it) and sampler: G, or G and G_SR.
        augment: the augmentation that made them, or None.
    """

    source: str
    classes: int
    seed: int
    block: int
    compile: bool
    stages: list[dict]
    augment: str | None

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """Read what `write` wrote.

        Raises:
            CardError: it cannot be read, or lacks something.
        """
        try:
            value = files.read_json(path)
            made = value["made"]
            stages = [{key: stage[key] for key in ("generator", "card", "sampler")} for stage in value["stages"]]
            facts = {key: value[key] for key in ("source", "classes", "compile")}
            found = cls(**facts, seed=made["seed"], block=made.get("block", 1), stages=stages, augment=made.get("augment"))
        except (KeyError, TypeError, AttributeError) as error:
            raise CardError(path, f"it lacks {error}.", AGAIN) from error
        except OSError as error:
            raise CardError(path, f"it cannot be read ({error.strerror}).", "Name the folder of an export.") from error
        if value.get("format") != FORMAT:
            raise CardError(path, f"format {value.get('format')} is not {FORMAT}.", AGAIN)
        return found


def write(path: Path, cfg: Mapping, parts: Sequence[Part], generators: Sequence[Path]) -> dict:
    """Write the recipe of a source and return it.

    Args:
        path: JSON file to write: format, dataset, size, source, classes, compile, made (what the cards of the shards say of their making:
            weights, samplers, nfe, seed, block; of an augmentation its options), stages (a generator, the content of its card and its
            sampler each).
        cfg: dataset, size, source, generators (names), compile.
        parts: the shards.
        generators: cards of the generators that the source chains, in order; none for an augmentation.

    Raises:
        StoreError: a shard was made by other weights than the cards say.
    """
    card = Store.open(parts[0].folder).card
    made = {name: value for name, value in card.get("source", {}).items() if name not in ("first", "parents")}
    cards = [files.read_json(generator) for generator in generators]
    if made.get("weights", []) != [known["weights_sha256"] for known in cards]:
        cause = "it was made by other weights than the cards of its generators name."
        raise StoreError(parts[0].folder, cause, "Run the workflow again.")
    stages = zip(cfg["generators"], cards, made.get("samplers", []))
    value = {
        "format": FORMAT,
        **{key: cfg[key] for key in ("dataset", "size", "source", "compile")},
        "classes": card["classes"],
        "made": made,
        "stages": [{"generator": name, "card": known, "sampler": sampler} for name, known, sampler in stages],
    }
    files.write_json(path, value)
    return value
