"""Print what is known of the data of every dataset, each time it is asked for; end with an error where something must be mended."""

import sys
from pathlib import Path

from satsynth.reporting.data_summary import closing, summary
from satsynth.runtime.files import read_json


def tell(reports: list[Path], pages: list[str], log: Path) -> int:
    """Print the summaries, to the log too, and return how many datasets have errors."""
    found = [read_json(path) for path in reports]
    texts = [summary(report["name"], report, page) for report, page in zip(found, pages, strict=True)]
    text = "\n".join([*texts, closing(found)])
    log.write_text(text, encoding="utf-8")
    print(text, end="", flush=True)
    return sum(bool(report["errors"]) for report in found)


if __name__ == "__main__":
    paths = [Path(path) for path in snakemake.input.reports]
    sys.exit(1 if tell(paths, list(snakemake.input.pages), Path(snakemake.log[0])) else 0)
