"""Every span, attribute and metric name is declared once, in trivium/telemetry/names.py, and used from there."""

import ast
from collections.abc import Iterator
from pathlib import Path

from trivium.telemetry import names

ROOT = Path(__file__).resolve().parents[2]
DECLARED = {name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
SOURCES = [
    path for folder in ("trivium", "services", "streams") for path in sorted((ROOT / folder).rglob("*.py"))
    if "v1" not in path.relative_to(ROOT).parts
]  # fmt: skip

SPAN_NAME_AT = {"start_span": 0, "start_as_current_span": 0, "spanning": 1, "serving": 1, "call_unary": 1, "call_stream": 1}
METRIC_KINDS = {"Counter", "Gauge", "Histogram", "Summary"}


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def wrong_name(node: ast.expr) -> bool:
    """Whether this expression is a name of telemetry that was written down here instead of in names.py."""
    match node:
        case ast.Constant():
            return True
        case ast.JoinedStr(values=[ast.FormattedValue(value=first), *_]):
            return wrong_name(first)
        case ast.JoinedStr():
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name) if name.isupper():
            return name not in DECLARED
        case _:
            return False


def offending(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        suspects: list[ast.expr] = []
        if name in SPAN_NAME_AT and len(node.args) > SPAN_NAME_AT[name]:
            suspects.append(node.args[SPAN_NAME_AT[name]])
        if name == "set_attribute" and node.args:
            suspects.append(node.args[0])
        if name == "set_attributes":
            suspects += [key for arg in node.args if isinstance(arg, ast.Dict) for key in arg.keys if key is not None]
        suspects += [
            key for word in node.keywords if word.arg == "attributes" and isinstance(word.value, ast.Dict)
            for key in word.value.keys if key is not None
        ]  # fmt: skip
        if name in METRIC_KINDS and node.args and path.is_relative_to(ROOT / "trivium" / "telemetry"):
            suspects.append(node.args[0])
        for suspect in suspects:
            if wrong_name(suspect):
                yield f"{path.relative_to(ROOT)}:{suspect.lineno}: {ast.unparse(suspect)}"


def test_no_name_is_made_up_on_the_spot() -> None:
    assert [line for path in SOURCES for line in offending(path)] == []


def test_the_check_sees_what_it_looks_for(tmp_path: Path) -> None:
    bad = ["t.start_span('x')", "s.set_attribute('a.b', 1)", "s.set_attributes({'a': 1})", "spanning(t, f'x {y}')",
           "t.start_span(n, attributes={'k': 1})", "s.set_attribute(names.NOT_DECLARED, 1)"]  # fmt: skip
    good = ["t.start_span(SPAN_CHAT)", "t.start_span(f'{SPAN_CHAT} {model}')", "s.set_attribute(names.TENANT, 1)", "spanning(t, name)"]
    for number, line in enumerate(bad + good):
        path = ROOT / "trivium" / f"never_written_{number}.py"
        tree_says = list(_lines_of(path, line))
        assert bool(tree_says) is (line in bad), line


def _lines_of(path: Path, source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = called(node)
            if (name in SPAN_NAME_AT and wrong_name(node.args[SPAN_NAME_AT[name]])) or (name == "set_attribute" and wrong_name(node.args[0])):
                yield name
            for arg in [*node.args, *(word.value for word in node.keywords)]:
                if isinstance(arg, ast.Dict) and any(key is not None and wrong_name(key) for key in arg.keys):
                    yield name


def test_every_name_has_a_meaning_and_is_declared_once() -> None:
    body = ast.parse((ROOT / "trivium/telemetry/names.py").read_text(encoding="utf-8")).body[1:]
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            said = following.value if isinstance(following, ast.Expr) else None
            assert isinstance(said, ast.Constant), f"{ast.unparse(node.target)} has no line of meaning"
    assert len(set(DECLARED.values())) == len(DECLARED)


def test_there_is_one_injector() -> None:
    """Two would leave two traceparent headers: only tracing.py may turn a context into headers."""
    allowed = {ROOT / "trivium/telemetry/tracing.py"}
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        if path not in allowed:
            assert "opentelemetry.propagate" not in source, path
            assert "TraceContextTextMapPropagator" not in source, path
            assert "opentelemetry.instrumentation" not in source, path
