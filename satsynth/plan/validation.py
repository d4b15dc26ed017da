"""Schema errors in words that help: the dotted key, what is wrong with it, and the nearest valid key."""

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
        raise _in_words(_deepest(errors[0]), what)


def _deepest(error):
    while error.context:
        error = max(error.context, key=lambda child: len(child.absolute_path))
    return error


def _in_words(error, what: str) -> ConfigError:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        extra = sorted(key for key in error.instance if key not in known)[0]
        key = f"{where}.{extra}" if where else extra
        return ConfigError(key, "this key is not known.", nearest(extra, known))
    if error.validator == "required":
        missing = sorted(key for key in error.validator_value if key not in error.instance)[0]
        return ConfigError(f"{where}.{missing}".lstrip("."), "this key is missing.", error.schema["properties"][missing]["description"])
    if error.validator == "minimum":
        cause = f"{error.instance} is below {error.validator_value}."
    else:
        cause = error.message.rstrip(".") + "."
    return ConfigError(where or what, cause, error.schema.get("description", "See rules/schemas/config.schema.yaml."))
