"""The policy file as a whole: text to Policy, or every problem with its line and field."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from trivium.core.errors import BadPolicy
from trivium.core.near import hint, quoted
from trivium.core.policy import Classifier, Policy, Target, TaskType, Tenant, Tier
from trivium.core.price import dearest
from trivium.policy.budgets import read_budgets
from trivium.policy.fragment import overlaid
from trivium.policy.metrics import read_shown
from trivium.policy.patience import read_patience
from trivium.policy.rules import Names, read_endpoints, read_experiments, read_rules, read_tenants
from trivium.policy.section import Report, Section, as_section
from trivium.policy.targets import read_targets
from trivium.policy.tasks import DAY_MS, read_default, read_novel, read_tasks

LARGEST_BYTES = 4_000_000


def load(path: str | Path, fragments: Sequence[Path] = ()) -> Policy:
    """Raises BadPolicy with all problems, also when a file cannot be read. `fragments`: see trivium/policy/fragment.py."""
    file = Path(path)
    return parse(_read(file), file, [(one.name, _read(one)) for one in fragments])


def parse(content: bytes, file: Path, fragments: Sequence[tuple[str, bytes]] = ()) -> Policy:
    """The policy in `content`; `file` names it in messages and is where relative paths in it start from."""
    report = Report(file.name)
    root = root_of(content, report)
    for name, part in fragments:
        root = overlaid(root, root_of(part, Report(name)))
    policy = _policy(root, b"".join((content, *(part for _, part in fragments))), file)
    root.close()
    if report.problems:
        raise BadPolicy(report.problems)
    return policy


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadPolicy((f"{file}: cannot be read: {error.strerror or error}",)) from None


def root_of(content: bytes, report: Report) -> Section:
    """The mapping that a YAML text is, with its places. Raises BadPolicy when it is none, or larger than 4 MB."""
    if len(content) > LARGEST_BYTES:
        raise BadPolicy((f"{report.name}: has {len(content)} bytes, at most {LARGEST_BYTES} are read",))
    try:
        node = _composed(content.decode("utf-8"), report.name)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadPolicy((f"{report.name}:{line}: not UTF-8",)) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        context = f" {error.context}" if error.context else ""
        if error.context and "alias" in error.context:
            context += '; a star is written in quotes: "*"'
        raise BadPolicy((f"{report.name}:{line}: not YAML: {error.problem}{context}",)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise BadPolicy((f"{report.name}: not YAML: {str(error).splitlines()[0]}",)) from None
    root = None if node is None else as_section(node, "", report)
    if root is None:
        raise BadPolicy(report.problems or (f"{report.name}:1: the file is empty",))
    return root


def _composed(text: str, name: str) -> yaml.Node | None:
    """The tree of a text. Its marks carry the file's name: a policy may be put together of several files."""
    loader = yaml.SafeLoader(text)
    loader.name = name
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _policy(root: Section, content: bytes, file: Path) -> Policy:
    root.required("revision")
    longest = root.whole("max_timeout_ms", 600_000, least=1, most=DAY_MS)
    targets = read_targets(root)
    tenants = read_tenants(root)
    tasks = read_tasks(root, targets, longest)
    names = Names(targets, list(tasks), list(tenants))
    novel_spec, novel_route = read_novel(root, targets)
    _corpora(root, {**tasks, novel_spec.name: TaskType(novel_spec, novel_route)}, tenants)
    rules = read_rules(root, names)
    return Policy(
        revision=root.whole("revision", least=1),
        fingerprint=hashlib.blake2b(content, digest_size=16).hexdigest(),
        targets=targets,
        endpoints=read_endpoints(root, names),
        tasks=tasks,
        tenants=tenants,
        default_route=read_default(root, targets, novel_route),
        novel_route=novel_route,
        novel_spec=novel_spec,
        rules=rules,
        experiments=read_experiments(root, names),
        classifier=_classifier(root, file),
        max_timeout_ms=longest,
        attempt_cap_ms=root.whole("attempt_cap_ms", 120_000, least=1, most=600_000),
        reference_target=_reference(root, targets),
        detects=any(task.detect for task in tasks.values()) or any(tenant.detect for tenant in tenants.values()),
        shown=read_shown(root, rules),
        patience=read_patience(root, targets, longest),
        budgets=read_budgets(root, tenants),
    )


def _classifier(root: Section, file: Path) -> Classifier:
    section = root.section("classifier")
    if section is None:
        return Classifier()
    section.required("path")
    path = section.text("path")
    bar = section.number("bar", 0, 1) or 0.0
    section.close()
    return Classifier(str(file.parent / path) if path else "", bar)


def _reference(root: Section, targets: dict[str, Target]) -> str:
    name = root.text("reference_target")
    if not name:
        dear = dearest(targets.values())
        return "" if dear is None else dear.name
    if name not in targets:
        root.problem("reference_target", f"no target {quoted(name)}; {hint(name, targets)}")
    elif targets[name].tier is not Tier.CLOUD:
        root.problem(
            "reference_target", f"{name} is not a cloud target, so it says nothing of what all-cloud would cost"
        )
    return name


def _corpora(root: Section, tasks: dict[str, TaskType], tenants: dict[str, Tenant]) -> None:
    """A corpus that no tenant has is a typo."""
    known = {corpus for tenant in tenants.values() for corpus in tenant.corpora}
    parent = root.section("tasks")
    for name, task in tasks.items():
        section = root.section(name) if name == task.spec.name == "novel" else parent.section(name) if parent else None
        if section is None:
            continue
        if task.spec.corpus and task.spec.corpus not in known:
            section.problem(
                "corpus", f"no tenant has a corpus {quoted(task.spec.corpus)}; {hint(task.spec.corpus, known)}"
            )
        cached = task.cache.corpus if task.cache else ""
        if cached and cached != task.spec.corpus and cached not in known:
            section.problem("cache", f"no tenant has a corpus {quoted(cached)}; {hint(cached, known)}")
