"""Schema errors in words that help: the dotted key, what is wrong with it, and the nearest valid key."""

from functools import reduce
from operator import getitem

from jsonschema import Draft202012Validator

from satsynth.plan.stanzas import nearest
from satsynth.runtime.errors import ConfigError


def validate(config: dict, schema: dict, what: str = "config") -> None:
    """Check a config (or a preset) against its JSON schema.

    Raises:
        ConfigError: the first error, outermost keys first.
    """
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: (len(error.absolute_path), str(error.path)))
    if errors:
        raise _in_words(_deepest(errors[0]), what, schema)


def _deepest(error):
    while error.context:
        error = max(error.context, key=lambda child: len(child.absolute_path))
    return error


def _in_words(error, what: str, schema: dict) -> ConfigError:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        extra = sorted(key for key in error.instance if key not in known)[0]
        key = f"{where}.{extra}" if where else extra
        deeper = _below(extra, error.schema, schema)
        return ConfigError(key, "this key is not known.", f"It stands deeper: {' or '.join(deeper)}." if deeper else nearest(extra, known))
    if error.validator == "required":
        missing = sorted(key for key in error.validator_value if key not in error.instance)[0]
        return ConfigError(f"{where}.{missing}".lstrip("."), "this key is missing.", error.schema["properties"][missing]["description"])
    if error.validator == "enum" and isinstance(error.instance, str):
        return ConfigError(where, f"'{error.instance}' is not known.", nearest(error.instance, error.validator_value))
    if error.validator == "type" and "number" in error.validator_value and isinstance(error.instance, str) and _is_number(error.instance):
        cause = f"'{error.instance}' is text: YAML reads a number with an exponent only with a point and a sign."
        return ConfigError(where, cause, f"Write {float(error.instance):.1e}.")
    if error.validator == "minimum":
        cause = f"{error.instance} is below {error.validator_value}."
    else:
        cause = error.message.rstrip(".") + "."
    return ConfigError(where or what, cause, error.schema.get("description", "See rules/schemas/config.schema.yaml."))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _below(key: str, node: dict, schema: dict) -> list[str]:
    """Where a key is known below this part of the schema, as dotted paths: those of the least depth, three at most."""
    level = [((), node)]
    for _ in range(4):
        children = []
        for path, part in level:
            if "$ref" in part:
                part = reduce(getitem, part["$ref"].removeprefix("#/").split("/"), schema)
            named = part.get("additionalProperties")
            children += [((*path, name), child) for name, child in part.get("properties", {}).items()]
            children += [((*path, "NAME"), named)] if isinstance(named, dict) else []
        found = [".".join(path) for path, _ in children if len(path) > 1 and path[-1] == key]
        if found:
            return found[:3]
        level = children
    return []
