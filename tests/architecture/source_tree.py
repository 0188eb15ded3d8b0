"""The project's source as values: which modules exist, what each imports, at which line.

Imports are found in the syntax tree, so those under TYPE_CHECKING and inside functions count as well.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("rustok_iggy_connector", "rustok_iggy")


@dataclass(frozen=True, kw_only=True)
class Import:
    """`module` is what the importer depends on; `name` what `from module import name` takes from it."""

    module: str
    name: str | None
    line: int


@dataclass(frozen=True, kw_only=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"

    def imports(self) -> Iterator[Import]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(module=alias.name, name=None, line=node.lineno)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                for alias in node.names:
                    yield Import(module=origin, name=alias.name, line=node.lineno)

    def _origin(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        parents = self.name.split(".")
        kept = parents[: len(parents) - node.level + (1 if self.is_package else 0)]
        return ".".join([*kept, *([node.module] if node.module else [])])


def module_at(path: Path) -> Module:
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    return Module(name=".".join(parts), path=path, tree=ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))


def words(text: str) -> frozenset[str]:
    """A set of names, written as people read them."""
    return frozenset(text.split())


@cache
def modules() -> tuple[Module, ...]:
    """Every module of all packages."""
    return tuple(module_at(path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


@cache
def module_names() -> frozenset[str]:
    return frozenset(module.name for module in modules())


def inside(name: str, *rooms: str) -> bool:
    """Is module `name` one of `rooms`, or below one of them?"""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def target(found: Import) -> str:
    """The module an import reaches: `from package import module` reaches the module, not only the package."""
    if found.name is not None and f"{found.module}.{found.name}" in module_names():
        return f"{found.module}.{found.name}"
    return found.module


# Where each package lists its public names.
EXPORTS = {
    "rustok_iggy_connector": ROOT / "rustok_iggy_connector" / "__init__.py",
    "rustok_iggy": ROOT / "rustok_iggy" / "exports.py",
}


def exported_names(package: str) -> tuple[str, ...]:
    """`__all__` of a package as written in its source."""
    for node in module_at(EXPORTS[package]).tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(at, ast.Name) and at.id == "__all__" for at in node.targets):
            return tuple(ast.literal_eval(node.value))
    raise AssertionError(f"{EXPORTS[package]} has no __all__")
