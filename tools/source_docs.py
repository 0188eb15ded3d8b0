"""What the source says of a class or function: fields with their descriptions, signatures, docstrings.

A description of a field or enum member is the string below it. Read from the syntax tree, because nothing of that is
left at run time.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OURS = ("rustok_iggy", "rustok_iggy_connector")


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a class or a member of an enum, in the words of the source; `default` None: it has to be given."""

    name: str
    type: str
    default: str | None
    description: str


def is_ours(value: Any) -> bool:
    """Whether a class or function is defined in one of our packages."""
    return str(getattr(value, "__module__", "")).partition(".")[0] in OURS


def docstring(value: Any) -> str:
    """Return the docstring, a method's also when only its base has one; empty without one of ours."""
    return inspect.getdoc(value) or "" if is_ours(value) or isinstance(value, property) else ""


def fields_of(kind: type) -> Iterator[Field]:
    """Yield the public fields of a class, those of its bases first, each once."""
    found: dict[str, Field] = {}
    for each in reversed(kind.__mro__):
        if is_ours(each):
            found.update({field.name: field for field in _own_fields(each)})
    return iter(found.values())


def _own_fields(kind: type) -> Iterator[Field]:
    body = _tree(kind).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        field = _field(node, _text(below))
        if field is not None and not field.name.startswith("_") and not field.type.startswith("ClassVar"):
            yield field


def _field(node: ast.stmt, description: str) -> Field | None:
    match node:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            return Field(name=name, type=ast.unparse(annotation), default=_default(value), description=description)
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return Field(name=name, type="", default=ast.unparse(value), description=description)
    return None


def _default(value: ast.expr | None) -> str | None:
    """Return what a field is when it is left out; of `field(...)` only what it says of that."""
    match value:
        case None:
            return None
        case ast.Call(func=ast.Name(id="field"), keywords=keywords):
            given = [each.value for each in keywords if each.arg in {"default", "default_factory"}]
            return ast.unparse(given[0]) if given else None
    return ast.unparse(value)


def _text(node: ast.stmt | None) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
    return ""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """How something is called: `used` is `await` or `async with` where it has to be, `result` what comes of it."""

    name: str
    parameters: tuple[str, ...]
    result: str = ""
    used: str = ""

    def lines(self, *, width: int) -> Iterator[str]:
        """Yield it as source: on one line if that is short enough, else each parameter on a line of its own."""
        begin = f"{self.used} {self.name}(".lstrip()
        end = f") -> {self.result}" if self.result else ")"
        line = f"{begin}{', '.join(self.parameters)}{end}"
        if len(line) <= width:
            yield line
        else:
            yield from (begin, *(f"    {parameter}," for parameter in self.parameters), end)


def signature(value: Any, *, name: str) -> Signature:
    """Return how a function is called, as the source has it, without self and cls."""
    node = _tree(value)
    entered = any(ast.unparse(each) == "asynccontextmanager" for each in node.decorator_list)
    awaited = "await" if isinstance(node, ast.AsyncFunctionDef) else ""
    return Signature(
        name=name,
        parameters=tuple(_parameters(node.args)),
        result="" if node.returns is None else ast.unparse(node.returns),
        used="async with" if entered else awaited,
    )


def constructor(kind: type) -> Signature | None:
    """Return how a class is called whose source has a constructor, None when that is made from its fields."""
    for node in _tree(kind).body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return Signature(name=kind.__name__, parameters=tuple(_parameters(node.args)))
    return None


def _parameters(given: ast.arguments) -> Iterator[str]:
    ordered = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(ordered) - len(given.defaults)) + list(given.defaults)
    for each, default in zip(ordered, defaults, strict=True):
        if each.arg not in {"self", "cls"}:
            yield _parameter(each, default)
    if given.vararg:
        yield f"*{_parameter(given.vararg, None)}"
    elif given.kwonlyargs:
        yield "*"
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _parameter(each, default)
    if given.kwarg:
        yield f"**{_parameter(given.kwarg, None)}"


def _parameter(given: ast.arg, default: ast.expr | None) -> str:
    annotated = given.arg if given.annotation is None else f"{given.arg}: {ast.unparse(given.annotation)}"
    return annotated if default is None else f"{annotated} = {ast.unparse(default)}"


def _tree(value: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
