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
    exec("\n".join([f"def __init__({', '.join(parameters)}):", *body]), names)
    made: Callable[..., None] = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    type.__setattr__(cls, "__init__", made)
    return cls
