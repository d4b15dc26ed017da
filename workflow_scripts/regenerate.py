"""Make pairs of an export again and compare them with its files. No rule's script, but a command:

make regenerate EXPORT=results/exports/trainset INDEX=17
make regenerate EXPORT=results/exports/trainset INDEX="17 400" WEIGHTS="g.safetensors upscaler.safetensors" OUT=again
"""

import argparse
import logging
import sys
from pathlib import Path

from satsynth.runtime import devices, files, logs
from satsynth.runtime.errors import SatsynthError

log = logging.getLogger(__name__)
WAIT = 600.0  # seconds for a device that a job of this machine holds


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module's docstring. 0: every pair came out as it was exported; 1: one did not; 2: it cannot be told."""
    parser = argparse.ArgumentParser(prog="make regenerate", description="Make pairs of an export again and compare them with its files.")
    parser.add_argument("export", type=Path, help="folder of the export, such as results/exports/trainset")
    parser.add_argument("indices", type=int, nargs="+", help="absolute indices of synthetic pairs, as their files are called")
    parser.add_argument(
        "--weights", type=Path, nargs="+", default=[], help="files of weights (default: found in results/ by their content)"
    )
    parser.add_argument("--out", type=Path, help="folder to write the pairs to, as they come out now")
    parser.add_argument("--cpu", action="store_true", help="leave accelerators alone")
    chosen = parser.parse_args(arguments)
    logs.setup()
    try:
        with devices.lease(0 if chosen.cpu else 1, wait_seconds=WAIT, log=log) as lease:
            return 0 if all([_again(chosen, index, lease.kind) for index in chosen.indices]) else 1
    except SatsynthError as error:
        print(error, file=sys.stderr)
        return 2


def _again(chosen: argparse.Namespace, index: int, device: str) -> bool:
    """Make one pair, say how it compares, and keep it where that is asked for."""
    from satsynth.export.regeneration import regenerate

    again = regenerate(chosen.export, index, weights=chosen.weights, device=device)
    labels = "equal" if again.labels_equal == 1 else f"{100 * again.labels_equal:.3f} % of the pixels are equal"
    colours = "equal" if again.largest == 0 else f"differs by {again.largest} of 255 at most"
    aside = f" ({again.masked} pixels that the export masked were left aside)" if again.masked else ""
    verdict = "the same pair" if again.equal else "the same but for rounding" if again.good else "ANOTHER PAIR"
    print(f"{again.key}: {verdict}. Labels: {labels}{aside}; image: {colours}.")
    on = device if again.threads is None else f"{device}, {again.threads} thread{'' if again.threads == 1 else 's'}"
    print(f"  On {on}; pairs {again.block[0]} to {again.block[-1]} were sampled with it.")
    if chosen.out:
        _keep(chosen.out, again)
    return again.good


def _keep(folder: Path, again) -> None:
    from satsynth.export.encoding import encode_image, encode_mask

    for part, content in (("images", encode_image(again.image)), ("masks", encode_mask(again.mask))):
        with files.replacing(folder / part / f"{again.key}.png") as partial:
            partial.write_bytes(content)


if __name__ == "__main__":
    raise SystemExit(main())
