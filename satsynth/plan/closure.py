"""What a job's code is: digests of the parsed source of every module that it imports inside this package.

Comments, docstrings and layout are no part of a digest; a statement is. `satsynth.runtime` (devices, files, logs) is left
out, since it may not affect results, and so is `satsynth.plan`, whose values reach a job through its params. A module that assigns `STATIC`
reads the folder `static` beside it: the bytes of its files count, too.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from satsynth.plan.kept import Kept

OWN = Path(__file__).read_bytes()
ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "satsynth"
LEFT_OUT = ("satsynth.runtime", "satsynth.plan")


def digests(script: str, modules: tuple[str, ...] = ()) -> dict[str, str]:
    """{file: digest} of a script, further modules by dotted name, and all that they import inside the package.

    Args:
        script: path relative to the repository, such as "workflow_scripts/train_generator.py".
        modules: modules that the job loads because its config names them.

    Returns:
        A dict sorted by file name, relative to the repository with forward slashes.
    """
    return dict(_digests(script, tuple(modules)))


@functools.cache
def _digests(script: str, modules: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    waiting = [ROOT / script]
    for name in modules:
        waiting.extend(_files_of(name))
    seen: dict[Path, str] = {}
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        digest, imported, static = _read(path)
        seen[path] = digest
        for name in imported:
            waiting.extend(_files_of(name))
        for file in static:
            seen[file] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return tuple(sorted((path.relative_to(ROOT).as_posix(), digest) for path, digest in seen.items()))


@functools.cache
def _read(path: Path) -> tuple[str, tuple[str, ...], tuple[Path, ...]]:
    content = path.read_bytes()
    # Parsing takes a quarter of a dry run, and most files are as they were.
    digest, imported, static = _kept().fact(path.relative_to(ROOT).as_posix(), content, functools.partial(_parsed, content, path))
    return digest, tuple(imported), _static(path) if static else ()


@functools.cache
def _kept() -> Kept:
    return Kept(OWN)


def _parsed(content: bytes, path: Path) -> tuple[str, list[str], bool]:
    """Digest of the statements, names that may be imported modules, and whether the module reads the files in `static`."""
    tree = ast.parse(content, filename=str(path))
    imported, static = sorted(set(_imports(tree, path))), _reads_static(tree)
    _strip_docstrings(tree)
    return hashlib.sha256(_spell(tree).encode()).hexdigest()[:16], imported, static


def _reads_static(tree: ast.Module) -> bool:
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return any(isinstance(target, ast.Name) and target.id == "STATIC" for target in targets)


def _static(path: Path) -> tuple[Path, ...]:
    """The files beside a module that are no Python; what editors and file managers leave there counts for nothing."""
    return tuple(sorted(file for file in path.with_name("static").glob("[!.]*") if file.is_file()))


def _spell(node: object) -> str:
    """The tree as text without positions and empty fields, which differ between versions of Python."""
    if isinstance(node, ast.AST):
        fields = [f"{name}={_spell(value)}" for name, value in ast.iter_fields(node) if value is not None and value != []]
        return f"{type(node).__name__}({','.join(fields)})"
    return f"[{','.join(map(_spell, node))}]" if isinstance(node, list) else repr(node)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A module and all statements in it: a tenth of its nodes, and no other can hold an import or a docstring."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            found = getattr(node, field, None)
            waiting.extend(found if isinstance(found, list) else ())  # the body of a lambda is an expression


def _strip_docstrings(tree: ast.AST) -> None:
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                node.body = body[1:]


def _imports(tree: ast.AST, path: Path):
    """Dotted names that may be modules of the package; `from p import m` gives both p and p.m."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts if path.name == "__init__.py" else parts[:-1]
    if path.name == "__init__.py":
        package = parts[:-1]
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = node.module or ""
            if node.level:
                above = package[: len(package) - node.level + 1]
                prefix = ".".join([*above, *([node.module] if node.module else [])])
            yield prefix
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


@functools.cache
def _files_of(name: str) -> tuple[Path, ...]:
    """The file of a dotted name and the `__init__` files above it; nothing for what is no module of the package."""
    if name.split(".")[0] != PACKAGE or any(name == left or name.startswith(left + ".") for left in LEFT_OUT):
        return ()
    found = []
    parts = name.split(".")
    for depth in range(1, len(parts)):
        found.append(ROOT.joinpath(*parts[:depth], "__init__.py"))
    folder = ROOT.joinpath(*parts)
    if (folder / "__init__.py").is_file():
        found.append(folder / "__init__.py")
    elif folder.with_suffix(".py").is_file():
        found.append(folder.with_suffix(".py"))
    return tuple(path for path in found if path.is_file())


# Package -> the functions that make a module of it one that a config may name (registry = folder).
CONTRACTS = {
    "satsynth.datasets": {"label_space"},
    "satsynth.diffusion": {"load", "train"},
    "satsynth.adversarial": {"load", "train"},
    "satsynth.augmentation": {"augment"},
    "satsynth.segmentation.networks": {"build"},
}


@functools.cache
def registered(folder: str) -> tuple[str, ...]:
    """Names of the modules of a package that define its fixed functions at top level, read without importing them."""
    return tuple(name for name, defined in _defined(folder).items() if CONTRACTS[folder] <= defined.keys())


def declares(folder: str, name: str, what: str) -> bool:
    """Whether a module of a package defines this function or value at top level, read without importing it."""
    return what in _defined(folder).get(name, ())


def declared(folder: str, name: str, what: str) -> tuple[str, ...]:
    """The words that a module of a package lists under this name at top level, read without importing it; () where it lists none."""
    value = _defined(folder).get(name, {}).get(what)
    return () if value is None else tuple(ast.literal_eval(value))


@functools.cache
def _defined(folder: str) -> dict[str, dict[str, str | None]]:
    """{module: {function or value at its top level: how the value is written, None for a function}}."""
    found = {}
    for path in sorted(ROOT.joinpath(*folder.split(".")).glob("*.py")):
        content = path.read_bytes()
        found[path.stem] = _kept().fact(f"{path.relative_to(ROOT).as_posix()} defines", content, functools.partial(_definitions, content))
    return found


def _definitions(content: bytes) -> dict[str, str | None]:
    body = ast.parse(content).body
    functions = {node.name: None for node in body if isinstance(node, ast.FunctionDef)}
    assigned = [(node.value, target) for node in body if isinstance(node, ast.Assign) for target in node.targets]
    return functions | {target.id: ast.unparse(value) for value, target in assigned if isinstance(target, ast.Name)}


def module_of(name: str, *folders: str) -> str:
    """The dotted name of the module `name` in the first of these packages that has it.

    Raises:
        KeyError: none has it.
    """
    for folder in folders:
        if name in registered(folder):
            return f"{folder}.{name}"
    raise KeyError(name)
