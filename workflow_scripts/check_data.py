"""Print what is known of the data of every dataset, each time it is asked for; end with an error where something must be mended."""

import sys
from pathlib import Path

from satsynth.reporting.data_summary import summary
from satsynth.runtime.files import read_json


def tell(reports: list[Path], pages: list[str]) -> int:
    """Print the summaries and return how many datasets have errors."""
    bad = 0
    for path, page in zip(reports, pages, strict=True):
        report = read_json(path)
        bad += bool(report["errors"])
        print(summary(report["name"], report, page), flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(1 if tell([Path(path) for path in snakemake.input.reports], list(snakemake.input.pages)) else 0)
