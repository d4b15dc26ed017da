"""Keys that stand twice in a config file: YAML keeps the last of them without a word."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from satsynth.plan.presets import reading
from satsynth.runtime.errors import ConfigError


def check_written_once(paths: Iterable[str | Path]) -> None:
    """Check config files that have been read as YAML or JSON before.

    Raises:
        ConfigError: a map has a key twice; the message names it, the file and both lines.
    """
    for path in map(Path, paths):
        try:
            with reading(path) as loader:
                root = loader.get_single_node()
        except (OSError, ValueError, yaml.YAMLError):
            continue  # it is JSON that YAML does not know, or has changed meanwhile
        waiting, seen = [("", root)], set()
        while waiting:
            where, node = waiting.pop(0)  # as a reader meets them
            if id(node) in seen:  # an alias
                continue
            seen.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                waiting += [(f"{where}[{place}]", entry) for place, entry in enumerate(node.value)]
            elif isinstance(node, yaml.MappingNode):
                waiting += _entries(path, where, node)


def _entries(path: Path, where: str, node: yaml.MappingNode) -> list[tuple[str, yaml.Node]]:
    """The values of a map with their dotted keys."""
    lines: dict[tuple[str, str], int] = {}
    found = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # no config has such a key
        name, line = f"{where}.{key.value}".lstrip("."), key.start_mark.line + 1
        if (key.tag, key.value) in lines:
            cause = f"this key stands twice in {path}, in lines {lines[key.tag, key.value]} and {line}, and YAML keeps the last."
            raise ConfigError(name, cause, "Keep one of the two.")
        lines[key.tag, key.value] = line
        found.append((name, value))
    return found
