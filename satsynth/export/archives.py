"""The pairs of a split in a few large files: tars as WebDataset reads them, and Parquet as Hugging Face `datasets` writes it."""

import importlib.util
import io
import json
import tarfile
from pathlib import Path

from satsynth.export.tree import Pair
from satsynth.runtime.errors import ConfigError

ROWS = 100  # of a row group: readers fetch one at a time, and pixels are large
PARQUET = "pyarrow"


class Tars:
    """Tars of `KEY.image.png`, `KEY.mask.png` and `KEY.json` (the row without the names of files), so many pairs a file.

    Equal pairs give equal bytes: no time, owner or mode of this machine is written.

    Args:
        folder: gets `SPLIT-00000.tar` and so on.
        split: name of the split.
        size: pairs a file.
    """

    def __init__(self, folder: Path, split: str, size: int):
        self.folder, self.split, self.size = folder, split, size
        self.folder.mkdir(parents=True, exist_ok=True)
        self._count, self._tar = 0, None

    def add(self, pair: Pair) -> None:
        """Write one pair."""
        if self._count % self.size == 0:
            self.close()
            path = self.folder / f"{self.split}-{self._count // self.size:05d}.tar"
            # Plain headers: names are short, and the extended ones of other formats may hold times.
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed in close)
        self._count += 1
        facts = {name: value for name, value in pair.row.items() if not name.endswith("file_name")}
        text = json.dumps(facts, allow_nan=False, ensure_ascii=False).encode()
        for suffix, content in (("image.png", pair.image), ("json", text), ("mask.png", pair.mask)):
            entry = tarfile.TarInfo(f"{pair.key}.{suffix}")  # time 0, owner 0, mode 644
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))

    def close(self) -> None:
        """End the last file."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None


class Parquet:
    """Parquet files of columns `image` and `mask` (PNG bytes and a name) and those of the row, so many pairs a file.

    Args:
        folder: gets `SPLIT-00000.parquet` and so on.
        split: name of the split.
        size: pairs a file.
        columns: column -> type of a row, those of file names among them.

    Raises:
        ConfigError: pyarrow is not installed.
    """

    def __init__(self, folder: Path, split: str, size: int, columns: dict[str, type]):
        check_parquet()
        import pyarrow

        self.folder, self.split, self.size = folder, split, size
        self.folder.mkdir(parents=True, exist_ok=True)
        self._kinds = {name: kind for name, kind in columns.items() if not name.endswith("file_name")}
        arrow = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
        picture = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
        fields = {"image": picture, "mask": picture} | {name: arrow[kind] for name, kind in self._kinds.items()}
        self._schema = pyarrow.schema(list(fields.items()), metadata={"huggingface": json.dumps({"info": {"features": self._features()}})})
        self._count, self._rows, self._writer = 0, [], None

    def _features(self) -> dict:
        """The columns as Hugging Face `datasets` describes them: it then decodes both pictures."""
        plain = {bool: "bool", int: "int64", float: "float64", str: "string"}
        values = {name: {"dtype": plain[kind], "_type": "Value"} for name, kind in self._kinds.items()}
        return {"image": {"_type": "Image"}, "mask": {"_type": "Image"}, **values}

    def add(self, pair: Pair) -> None:
        """Take one pair; a group of them is written at a time."""
        if self._count and self._count % self.size == 0:
            self.close()
        self._count += 1
        pictures = {name: {"bytes": content, "path": f"{pair.key}.png"} for name, content in (("image", pair.image), ("mask", pair.mask))}
        self._rows.append(pictures | {name: pair.row[name] for name in self._kinds})
        if len(self._rows) == ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow
        from pyarrow import parquet

        if self._writer is None:
            number = (self._count - 1) // self.size
            # PNG files do not shrink any more.
            self._writer = parquet.ParquetWriter(self.folder / f"{self.split}-{number:05d}.parquet", self._schema, compression="none")
        self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """End the last file."""
        if self._rows:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def check_parquet() -> None:
    """Refuse to begin what cannot be ended.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    if importlib.util.find_spec(PARQUET) is None:
        remedy = "Install it (.venv/bin/python -m pip install pyarrow), or leave parquet out."
        raise ConfigError("exports.*.parquet", f"{PARQUET} is not installed, which writes Parquet files.", remedy)
