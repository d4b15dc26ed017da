"""Every benchmark, one after the other, and their rows as one table.

    .venv/bin/python -m benchmarks [--quick] [--out results/bench] [NAME ...]

Writes bench.json (rows, and the machine that they come from), bench.md and bench.png. A missed aim is no failure; a benchmark that does not
run is. Quick mode measures everything once at a small size: it shows that it works, and judges nothing.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from benchmarks.interleaved import Row
from benchmarks.table import draw, markdown

NAMES = (
    *("unet_training", "optimizer_step", "samplers", "input_pipeline", "tiling", "segmentation_training"),
    *("frechet", "neighbours", "export", "host_memory", "job_start", "dry_run", "gallery", "accelerator"),
)


def main() -> None:
    """Run, gather, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="everything once, small")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(NAMES)}.")
    rows, failed = [], []
    for name in chosen.names or NAMES:
        print(f"\n== {name}", flush=True)
        begun = time.monotonic()
        found = run(name, chosen.quick)
        print(f"== {name} took {time.monotonic() - begun:.0f} s", flush=True)
        if found is None:
            failed.append(name)
        else:
            rows += found
    chosen.out.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine(), "quick": chosen.quick, "rows": [vars(row) | {"reached": row.reached} for row in rows]}
    (chosen.out / "bench.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    (chosen.out / "bench.md").write_text(markdown(rows, facts["machine"]))
    if any(row.aim for row in rows):
        draw(rows).savefig(chosen.out / "bench.png", dpi=120)
    print("\n" + (chosen.out / "bench.md").read_text())
    if failed:
        raise SystemExit(f"These benchmarks did not run: {', '.join(failed)}; their messages stand above.")


def run(name: str, quick: bool) -> list[Row] | None:
    """The rows of one benchmark, run in a process of its own; None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(out), *(["--quick"] if quick else [])]
        if subprocess.run(command).returncode or not out.exists():
            return None
        return [Row(**row) for row in json.loads(out.read_text())]


def machine() -> dict[str, str]:
    """What was measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")), model)
    versions = {package: metadata.version(package) for package in ("torch", "numpy", "snakemake")}
    import torch  # here: a misspelt name is told without waiting for it

    card = {"accelerator": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {"processor": f"{model}, {os.cpu_count()} cores", **card, "python": platform.python_version(), **versions}


if __name__ == "__main__":
    main()
