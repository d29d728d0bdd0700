"""The keys file (or the same text in the environment): read as a whole, followed, never replaced by a worse one.

    keys:
      - name: shop-2026
        sha256: 2f0c...                     # `trivium key new` prints this entry
        tenant: acme
        team: support                       # optional, as all below
        doors: [gateway]                    # gateway, tier, retrieval, ledger
        endpoints: [/classify, /auto]       # endpoints and task types
        targets: [finetuned/tickets]        # targets that a request may pin
        rate: {per_second: 50, burst: 100}
        expires: 2027-06-30                 # or 2027-06-30T12:00:00Z
        signing: 91ab...                    # requests of this tenant on Kafka must then be signed
    require_signatures: false               # true: of every tenant
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from yaml import ScalarNode

from trivium.core.errors import BadPolicy, BadSetting
from trivium.core.near import hint
from trivium.keys.key import ANY, Key, Keys
from trivium.policy.load import root_of
from trivium.policy.section import Report, Section, as_section

DOORS: Final = ("gateway", "tier", "retrieval", "ledger")
INLINE: Final = "TRIVIUM_KEYS"
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}\Z")
_FASTEST: Final = 1_000_000.0


class KeyFile:
    """`current` is one whole set of keys at any moment."""

    def __init__(self, setting: str) -> None:
        """`setting`: a file's name, or the YAML itself. Raises BadSetting with all problems."""
        self._inline = "\n" in setting or setting.lstrip().startswith(("{", "keys:"))
        self._path = Path(INLINE if self._inline else setting)
        self._stamp = self._stat()
        try:
            self.current = parse(setting.encode() if self._inline else self._path.read_bytes(), self._path.name)
        except OSError as error:
            raise BadSetting(f"TRIVIUM_KEYS: {setting} cannot be read: {error.strerror}") from None
        except BadPolicy as error:
            raise BadSetting("TRIVIUM_KEYS: " + "; ".join(error.problems)) from None

    def refresh(self) -> str | None:
        """Looks whether the file has changed; what happened, in words."""
        stamp = self._stat()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            self.current = parse(self._path.read_bytes(), self._path.name)
        except OSError as error:
            return f"the old keys stay in force: {self._path} cannot be read: {error.strerror}"
        except BadPolicy as error:
            return f"the old keys stay in force: {'; '.join(error.problems)}"
        return f"{len(self.current.all)} keys are in force, from {self._path}"

    def _stat(self) -> tuple[int, int, int]:
        if self._inline:
            return 0, 0, 0
        try:
            stat = self._path.stat()
        except OSError:
            return 0, 0, 0
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def parse(content: bytes, name: str) -> Keys:
    """Raises BadPolicy with every problem, each with its line and field."""
    report = Report(name)
    root = root_of(content, report)
    root.required("keys")
    found: list[Key] = []
    for node, path in root.items("keys"):
        section = as_section(node, path, report)
        if section is not None:
            found.append(_key(section))
            _unlike(section, found)
            section.close()
    required = root.flag("require_signatures")
    root.close()
    if report.problems:
        raise BadPolicy(report.problems)
    return Keys(found, required)


def _key(section: Section) -> Key:
    for needed in ("name", "sha256", "tenant"):
        section.required(needed)
    rate = section.section("rate")
    per_second, burst = _rate(rate) if rate is not None else (0.0, 0)
    tenant, signing = section.text("tenant"), _hex(section, "signing")
    if tenant == ANY and signing:
        section.problem("signing", "a key for all tenants cannot sign; give each tenant a key of its own")
    return Key(
        name=section.text("name"),
        digest=_hex(section, "sha256"),
        tenant=tenant,
        team=section.text("team"),
        doors=_doors(section),
        endpoints=frozenset(section.texts("endpoints")) if section.has("endpoints") else None,
        targets=frozenset(section.texts("targets")) if section.has("targets") else None,
        per_second=per_second,
        burst=burst,
        expires_ms=_moment(section, "expires"),
        signing=signing,
    )


def _unlike(section: Section, found: list[Key]) -> None:
    *others, key = found
    if key.name and any(other.name == key.name for other in others):
        section.problem("name", f"{key.name} is the name of another key")
    if key.digest and any(other.digest == key.digest for other in others):
        section.problem("sha256", "is another key's; make a new one: trivium key new")


def _rate(section: Section) -> tuple[float, int]:
    section.required("per_second")
    per_second = section.number("per_second", 0.001, _FASTEST) or 0.0
    burst = section.whole("burst", max(1, round(per_second)), least=1)
    section.close()
    return per_second, burst


def _doors(section: Section) -> frozenset[str]:
    if not section.has("doors"):
        return frozenset({"gateway"})
    doors = section.texts("doors")
    for door in doors:
        if door not in DOORS:
            section.problem("doors", f"{door!r} is not a door; {hint(door, DOORS)}")
    return frozenset(doors)


def _hex(section: Section, field: str) -> bytes:
    node = section.take(field)
    if node is None:
        return b""
    # All digits is a number to YAML, and still right.
    text = str(node.value).removeprefix("sha256:") if isinstance(node, ScalarNode) else ""
    if _HEX.match(text) is None:
        section.problem(field, "must be 64 hexadecimal digits, as trivium key new prints them; never the key itself")
        return b""
    return bytes.fromhex(text)


def _moment(section: Section, field: str) -> int | None:
    node = section.take(field)
    if node is None:
        return None
    try:
        moment = datetime.fromisoformat(str(node.value))
    except ValueError:
        section.problem(field, "must be a day or a moment: 2027-06-30 or 2027-06-30T12:00:00Z")
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
