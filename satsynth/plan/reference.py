"""The configuration reference, written from the schema and the paper's preset: every key, what it takes, its default, its meaning."""

from collections.abc import Iterator

import yaml

# Sections of a config and the definition of their stanzas; a section without stanzas stands under its own name.
SECTIONS = {
    "datasets": "dataset",
    "generators": "generator",
    "sources": "source",
    "segmenters": "segmenter",
    "experiments": "experiment",
    "figures": "figure",
}
WORDS = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "true, false",
    "null": "null",
    "array": "list",
    "object": "map",
}
LIMITS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
LARGE = 10**6  # a bound of this size says only that there is one
MISSING = object()
INTRODUCTION = """# Configuration reference

*Written by `make reference` from [the schema](../rules/schemas/config.schema.yaml) and
[the paper's preset](../rules/presets/paper.yaml); do not edit it.*

A config names things; what a stanza leaves out comes from the preset that `preset` names (`demo`, if you lay nothing else over the config).
The defaults below are those of the preset `paper`, then, after **demo**, those of the demo where they differ; `dubai`, `fast` and `tiny` in
[rules/presets](../rules/presets) replace others. Where kinds of a stanza differ, the kind stands behind its default. A dot separates
nested keys: `patches.size` is `patches: {size: 256}`. A key without a default is left out, or has to be given.
"""


def reference(schema: dict, preset: dict, demo: dict) -> str:
    """The reference as Markdown.

    Args:
        schema: rules/schemas/config.schema.yaml, as read.
        preset: the preset `paper`, whole.
        demo: the preset `demo`, whole; told where it differs.

    Returns:
        A table of the top level, one a section, and one a part that several sections share, such as a sampler.
    """
    definitions = schema["$defs"]
    shared: dict[str, list[tuple[str, str]]] = {}
    parts = []
    for name, stanza in _sections(schema).items():
        title = f"`{name}.NAME`" if _keyed(schema["properties"][name]) else f"`{name}`"
        rows = [(key, node, _both(preset, demo, [(name, key)])) for key, node in _rows(name, "", stanza, definitions, shared)]
        parts.append(f"## {title}\n\n{schema['properties'][name]['description']}\n\n{_table(rows)}")
    for name, places in list(shared.items()):
        found = definitions[name]
        rows = [
            (key, node, _both(preset, demo, [(section, f"{prefix}.{key}") for section, prefix in places]))
            for key, node in _rows(name, "", found, definitions, shared)
        ]
        used = ", ".join(f"`{section}.NAME.{prefix}`" for section, prefix in places)
        parts.append(f'<a id="{name}"></a>\n\n## A {name}\n\n{found["description"]} Used by {used}.\n\n{_table(rows)}')
    plain = [(key, node, "") for key, node in schema["properties"].items() if key not in _sections(schema)]
    return "\n".join([INTRODUCTION, f"## Top level\n\n{_table(plain)}", *parts])


def _sections(schema: dict) -> dict[str, dict]:
    """Section -> the definition of its stanzas, or of itself."""
    found = {}
    for name, node in schema["properties"].items():
        reached = node.get("$ref") or (_keyed(node) or {}).get("$ref")
        if reached:
            found[name] = schema["$defs"][reached.rsplit("/", 1)[1]]
    return found


def _keyed(node: dict) -> dict | None:
    """The schema of a section's stanzas, where the section is a map of names."""
    inner = node.get("additionalProperties")
    return inner if isinstance(inner, dict) else None


def _rows(section: str, prefix: str, node: dict, definitions: dict, shared: dict) -> Iterator[tuple[str, dict]]:
    """The keys of a map with all nested ones, dotted; a map that several places share is noted in `shared` and not gone into."""
    for key, inner in node.get("properties", {}).items():
        dotted = f"{prefix}{key}"
        target = inner.get("$ref", "").rsplit("/", 1)[-1]
        if target in definitions and "properties" in definitions[target]:
            places = shared.setdefault(target, [])
            if (section, dotted) not in places and section in SECTIONS:
                places.append((section, dotted))
            yield dotted, {**inner, "part": target}
            continue
        if "$ref" in inner and target not in definitions:  # into another definition, as SegDiff's schedule is a generator's
            owner, _, field = inner["$ref"].removeprefix("#/$defs/").partition("/properties/")
            yield dotted, {"type": "object", "description": f"{inner['description']} Keys as those of `{_plural(owner)}.NAME.{field}`."}
            continue
        resolved = {**definitions[target], **inner} if target in definitions else inner
        yield dotted, resolved
        yield from _rows(section, f"{dotted}.", inner, definitions, shared)
        if inner.get("type") == "array" and "properties" in inner.get("items", {}):
            yield from _rows(section, f"{dotted}[].", inner["items"], definitions, shared)


def _plural(definition: str) -> str:
    return next((section for section, name in SECTIONS.items() if name == definition), definition)


def _table(rows: list[tuple[str, dict, str]]) -> str:
    lines = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for key, node, default in rows:
        takes = f"[a {node['part']}](#{node['part']})" if "part" in node else _takes(node)
        lines.append(f"| `{key}` | {takes} | {default} | {_cell(node.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _takes(node: dict) -> str:
    """What a key takes, in words."""
    if "anyOf" in node:
        return "; or ".join(dict.fromkeys(_takes(option) for option in node["anyOf"]))
    if "enum" in node or "const" in node:
        return ", ".join(f"`{_yaml(value)}`" for value in node.get("enum", [node.get("const")]))
    kinds = node.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "items" in node:
        kinds = [_list(node) if kind == "array" else kind for kind in kinds]
    words = " or ".join(WORDS.get(kind, kind) for kind in kinds)
    bounds = [f"{sign} {node[limit]:g}" for limit, sign in LIMITS if limit in node and abs(node[limit]) < LARGE]
    return words + (f", {', '.join(bounds)}" if bounds else "")


def _list(node: dict) -> str:
    """A list in words, with its length where only one will do, and what is in it where one word says that."""
    least, most, inner = node.get("minItems"), node.get("maxItems"), node["items"]
    length = f" of {least}" if least and least == most else ""
    entries = _takes(inner) if "type" in inner and "properties" not in inner else ""
    return f"list{length}" + (f" ({entries})" if entries else "")


def _both(preset: dict, demo: dict, places: list[tuple[str, str]]) -> str:
    """The default of the preset `paper`, and that of `demo` where it is another."""
    usual, small = _defaults(preset, places), _defaults(demo, places)
    return usual if small == usual else f"{usual}; **demo**: {small}".removeprefix("; ")


def _defaults(preset: dict, places: list[tuple[str, str]]) -> str:
    """The default of a key at all its places: one value, or each with the kinds that have it."""
    found: dict[str, dict[str, None]] = {}
    for section, key in places:
        stanza = preset.get(section, {})
        # The section itself holds the numbers where it has no kinds of stanzas.
        kinds = stanza if section in SECTIONS and section != "experiments" else {"": stanza}
        for kind, numbers in kinds.items():
            value = _lookup(numbers, key)
            if value is not MISSING and not isinstance(value, dict):
                # Several sections have kinds of one name, so where several are asked for the section stands before it.
                named = f"{section}.{kind}" if len({place[0] for place in places}) > 1 else "" if kind == "any" else kind
                found.setdefault(_yaml(value), {})[named] = None
    if len(found) == 1:
        return f"`{next(iter(found))}`"
    return "; ".join(f"`{value}`" + ("" if "" in kinds else f" ({', '.join(kinds)})") for value, kinds in found.items())


def _lookup(stanza: object, key: str) -> object:
    for part in key.split("."):
        if not isinstance(stanza, dict) or part not in stanza:
            return MISSING
        stanza = stanza[part]
    return stanza


def _yaml(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("\n...\n").strip().replace("|", "\\|")
