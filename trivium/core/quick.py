"""Frozen dataclasses that are built quickly.

A frozen dataclass sets every field by looking `object.__setattr__` up and calling it with a name. A decision builds a dozen
of them with a hundred fields, and that was half of its time. `quick` puts an `__init__` in the place of the generated one that
calls the slots' own setters; nothing else changes (benchmarks/decision.py has the figures).
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """For a class made by `dataclass(frozen=True, slots=True)` without __post_init__ and without keyword-only fields."""
    known: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]
    if hasattr(cls, "__post_init__") or any(field.kw_only or not field.init for field in known):
        raise TypeError(f"{cls.__name__} does more in __init__ than setting its fields")
    names: dict[str, Any] = {"MISSING": MISSING}
    parameters, body = ["self"], []
    for field in known:
        name = field.name
        names[f"set_{name}"] = cls.__dict__[name].__set__
        if field.default_factory is not MISSING:
            names[f"make_{name}"] = field.default_factory
            parameters.append(f"{name}=MISSING")
            body.append(f" set_{name}(self, make_{name}() if {name} is MISSING else {name})")
            continue
        if field.default is not MISSING:
            names[f"default_{name}"] = field.default
        parameters.append(name if field.default is MISSING else f"{name}=default_{name}")
        body.append(f" set_{name}(self, {name})")
    exec("\n".join([f"def __init__({', '.join(parameters)}):", *body, *_replacing(known)]), names)
    names["NAMES"], names["new"], names["cls"] = frozenset(field.name for field in known), object.__new__, cls
    for name in ("__init__", "__replace__"):
        made: Callable[..., Any] = names[name]
        made.__qualname__ = f"{cls.__qualname__}.{name}"
        type.__setattr__(cls, name, made)
    return cls


def _replacing(known: tuple[Field[Any], ...]) -> list[str]:
    """`__replace__`, as Python 3.13 has it: a field is copied slot by slot unless it is among the changes."""
    return [
        "def __replace__(self, /, **changes):",
        " if not changes.keys() <= NAMES: raise TypeError(f'{cls.__name__} has no {sorted(changes.keys() - NAMES)}')",
        " made = new(cls)",
        *(f" set_{f.name}(made, changes['{f.name}'] if '{f.name}' in changes else self.{f.name})" for f in known),
        " return made",
    ]


def replace(value: T, /, **changes: Any) -> T:
    """As `dataclasses.replace`, for a `quick` class, at a fifth of its time."""
    made: T = value.__replace__(**changes)  # type: ignore[attr-defined]
    return made
