"""Writes requests.jsonl, the file that `trivium demo` publishes, from the texts in requests.txt.

    python examples/support/make_requests.py

requests.txt is written by hand: `## kind | task type | endpoint | fields` opens a section, each line below is one
prompt (`\\n` is a line break). Every second request of a section that has a task type asks `/auto` instead, so that
half of all requests come without one. Lines of a section `raw` are published byte for byte."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TEAMS = ("care", "logistics", "billing-desk", "growth")
APPLICATIONS = ("helpdesk", "shop", "mobile")
USER_TIERS = ("free", "pro", "enterprise")
LATE = ("repeat", "paraphrase", "near-miss", "reused-id")
"""Kinds that look back at earlier requests: they come at the end, when those have been answered."""


def sections(text: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Each section's head and its lines."""
    for block in text.split("\n## ")[1:]:
        head, *lines = block.splitlines()
        kind, task_type, endpoint, fields = (part.strip() for part in head.split("|"))
        yield {"kind": kind, "task_type": task_type, "endpoint": endpoint, "fields": fields}, [x for x in lines if x.strip()]


def requests(text: str) -> list[dict[str, Any]]:
    """Every line as a request, shuffled the same way each time; what looks back stays last."""
    made = [r for head, lines in sections(text) for i, line in enumerate(lines) for r in [_request(head, i, line)]]
    early = [r for r in made if r["kind"] not in LATE]
    random.Random(7).shuffle(early)
    late = [r for r in made if r["kind"] in LATE]
    random.Random(8).shuffle(late)
    return [_identified(number, r) for number, r in enumerate(early + late, 1)]


def _request(head: dict[str, str], index: int, line: str) -> dict[str, Any]:
    if head["task_type"] == "raw":
        return {"kind": head["kind"], **json.loads(line)}
    fields = json.loads(head["fields"] or "{}")
    subject, _, prompt = line.rpartition("@@")
    if subject:
        fields["subject"] = subject.strip()
    if "id" in fields:
        fields["id"] = f"{fields['id']}-{index}"
    alone = head["kind"] != "malformed" and index % 2 == 0
    return {"kind": head["kind"], "endpoint": "/auto" if alone else head["endpoint"], "prompt": prompt.strip().replace("\\n", "\n"),
            **fields}  # fmt: skip


def _identified(number: int, request: dict[str, Any]) -> dict[str, Any]:
    if "raw" in request or "raw_hex" in request:
        return request
    made = {
        "kind": request.pop("kind"), "tenant": "acme", "id": f"ticket-{number:04d}", **request,
        "team": TEAMS[number % 4], "application": APPLICATIONS[number % 3], "use_case": "support",
        "user_tier": USER_TIERS[number % 3], "end_user": f"u{number * 7919 % 97:02d}",
    }  # fmt: skip
    return made | {name: request[name] for name in ("tenant", "id", "user_tier") if name in request}


def main() -> None:
    made = requests((HERE / "requests.txt").read_text(encoding="utf-8"))
    lines = [json.dumps(r, ensure_ascii=False) for r in made]
    (HERE / "requests.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(made)} requests, {sum(r.get('endpoint') == '/auto' for r in made)} without a task type")


if __name__ == "__main__":
    main()
