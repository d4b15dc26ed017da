"""Schema errors in words that help: the dotted key, what is wrong with it, and the nearest valid key."""

import math
import re
from collections.abc import Iterator
from datetime import date
from difflib import SequenceMatcher
from functools import reduce
from operator import getitem

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from satsynth.plan.stanzas import nearest
from satsynth.runtime.errors import ConfigError

LONGEST, DEEPEST, LARGEST = 1000, 12, 2**63
MOST = 5  # faults told beside the first
# Neither may stand in a path, a title or a table: what controls a terminal, and what cannot be written as UTF-8.
UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# JSON schema takes 2.0 for an integer; what counts with it would not.
_CHECKER = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool))
_Validator = extend(Draft202012Validator, type_checker=_CHECKER)


def validate(config: dict, schema: dict, what: str = "config") -> None:
    """Check a config (or a preset) against its JSON schema.

    Raises:
        ConfigError: the first error, outermost keys first, with the others named after its remedy.
    """
    _check_values(config, "", what, 0)
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda error: (len(error.absolute_path), str(error.path)))
    # A missing key is an error for each that is missing, told the same way every time.
    faults = list({str(fault): fault for error in errors for fault in _in_words(_deepest(error), what, schema)}.values())
    if faults:
        first, others = faults[0], [f"{fault.subject} ({fault.cause.rstrip('.')})" for fault in faults[1:]]
        more = f", and {len(others) - MOST} more" if len(others) > MOST else ""
        also = f" Also wrong: {', '.join(others[:MOST])}{more}." if others else ""
        raise ConfigError(first.subject, first.cause, first.remedy + also)


def _check_values(value: object, where: str, what: str, depth: int) -> None:
    """Refuse what YAML can write and no key can mean, before anything compares or prints it: no schema says these things."""
    here = where or what
    if depth > DEEPEST:
        raise ConfigError(here, f"it is nested more than {DEEPEST} levels deep.", "Write it flat; no key needs so many levels.")
    if isinstance(value, dict):
        for key, entry in value.items():
            # Keys of a label_map are raw values; classes as a map are told to be a list.
            if not isinstance(key, str) and not where.endswith((".label_map", ".classes")):
                raise ConfigError(here, f"its key {key!r:.60} is no text.", "Put it in quotes, or mend the indentation.")
            if isinstance(key, str):
                _check_text(key, here, "a key in it", 100)
            _check_values(entry, f"{where}.{key}".lstrip("."), what, depth + 1)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            _check_values(entry, f"{where}[{number}]", what, depth + 1)
    elif isinstance(value, str):
        _check_text(value, here, "it", LONGEST)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(here, f"{value} is no number to count with.", "Write a finite number, or null where the key takes it.")
    elif isinstance(value, int) and abs(value) >= LARGEST:
        raise ConfigError(here, "the number has more than 63 bits.", "Write a smaller one.")


def _check_text(text: str, where: str, what: str, longest: int) -> None:
    if len(text) > longest:
        raise ConfigError(where, f"{what} has {len(text)} characters; {longest} are the most.", "Shorten it.")
    if found := UNWRITABLE.search(text):
        raise ConfigError(where, f"{what} holds the character {found[0]!r}, which cannot be written or printed.", "Take it out.")


def _short(text: str, longest: int = 240) -> str:
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-longest // 3 :]}"


def _deepest(error):
    while error.context:
        # Of two at one depth the one whose form is of the right type: a map with a wrong key was not meant to be text.
        error = max(error.context, key=lambda child: (len(child.absolute_path), child.validator != "type"))
    return error


def _in_words(error, what: str, schema: dict) -> Iterator[ConfigError]:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for extra in sorted((key for key in error.instance if key not in known), key=str):
            shown = extra if str(extra).strip(" .") else f"'{extra}'"  # dots alone would not be seen as a key
            deeper = _below(extra, error.schema, schema)
            remedy = f"It stands deeper: {' or '.join(deeper)}." if deeper else _likest(extra, error.schema, schema)
            yield ConfigError(f"{where}.{shown}" if where else shown, "this key is not known.", remedy)
    elif error.validator == "required":
        for missing in sorted(key for key in error.validator_value if key not in error.instance):
            remedy = error.schema["properties"][missing]["description"]
            yield ConfigError(f"{where}.{missing}".lstrip("."), "this key is missing.", remedy)
    else:
        yield _wrong_value(error, where, what)


def _wrong_value(error, where: str, what: str) -> ConfigError:
    if error.validator == "enum" and isinstance(error.instance, str):
        return ConfigError(where, f"'{_short(error.instance)}' is not known.", nearest(error.instance, error.validator_value))
    if error.validator == "type" and "number" in error.validator_value and isinstance(error.instance, str) and _is_number(error.instance):
        if "e" not in error.instance.lower():
            return ConfigError(where, f"'{error.instance}' is text.", f"Write {error.instance} without quotes.")
        cause = f"'{error.instance}' is text: YAML reads a number with an exponent only with a point and a sign."
        return ConfigError(where, cause, f"Write {float(error.instance):.1e}.")
    first = ""
    types = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    if error.validator == "type" and "string" in types and "number" not in types and isinstance(error.instance, bool | float | date):
        cause, first = f"YAML reads it as {error.instance}, not as text.", "Put it in quotes. "
    elif error.validator == "type" and "array" in types and isinstance(error.instance, dict):
        cause = "it is a map (key: value), and a list is needed ([a, b])."
    elif error.validator in ("minimum", "maximum"):
        cause = f"{error.instance} is {'below' if error.validator == 'minimum' else 'above'} {error.validator_value}."
    else:
        cause = _short(error.message.rstrip(".")) + "."
    return ConfigError(where or what, cause, first + error.schema.get("description", "See rules/schemas/config.schema.yaml."))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _levels(node: dict, schema: dict) -> Iterator[list[tuple[str, ...]]]:
    """Paths of the keys below this part of the schema, level by level."""
    level = [((), node)]
    for _ in range(4):
        children = []
        for path, part in level:
            if "$ref" in part:
                part = reduce(getitem, part["$ref"].removeprefix("#/").split("/"), schema)
            named = part.get("additionalProperties")
            children += [((*path, name), child) for name, child in part.get("properties", {}).items()]
            children += [((*path, "NAME"), named)] if isinstance(named, dict) else []
        yield [path for path, _ in children]
        level = children


def _below(key: str, node: dict, schema: dict) -> list[str]:
    """Where a key is known below this part of the schema, as dotted paths: those of the least depth, three at most."""
    for paths in _levels(node, schema):
        found = [".".join(path) for path in paths if len(path) > 1 and path[-1] == key]
        if found:
            return found[:3]
    return []


def _likest(key: str, node: dict, schema: dict) -> str:
    """The nearest key of this level, or one that stands deeper and is much more like it."""
    beside = nearest(key, node.get("properties", {}))
    own = max((SequenceMatcher(None, key, name).ratio() for name in node.get("properties", {})), default=0.0)
    deeper = [
        (SequenceMatcher(None, key, path[-1]).ratio(), -len(path), path)
        for paths in _levels(node, schema)
        for path in paths
        if len(path) > 1
    ]
    ratio, _, path = max(deeper, default=(0.0, 0, ()))
    return f"Did you mean '{'.'.join(path)}'?" if ratio > max(own + 0.1, 0.8) else beside
