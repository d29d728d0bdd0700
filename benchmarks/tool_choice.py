"""Does the model ask for documents when, and only when, it needs them? Asked over TGI's chat wire with the openai SDK."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import openai

from benchmarks.shared_data import progress
from services.finetuned.search import SPEC

LABELLED: Final = Path(__file__).parent.parent / "examples/support/needs_documents.jsonl"
TIMEOUT_S: Final = 10.0


def tool_choice() -> dict[str, float]:
    """Precision and recall of calling `search_documents` on the questions that the model was not trained on."""
    rows = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    asked = [row for row in rows if row["held_out"]]
    progress(f"tools: {len(asked)} held-out questions ...")
    command = [sys.executable, "-m", "infra.standins.tgi", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = str(json.loads(process.stdout.readline())["url"])
            with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=TIMEOUT_S) as client:
                called = [_calls(client, str(row["text"])) for row in asked]
        finally:
            process.terminate()
    needed = [bool(row["needs"]) for row in asked]
    both = sum(called_one and needs for called_one, needs in zip(called, needed, strict=True))
    return {
        "tool_precision": round(both / max(sum(called), 1), 4),
        "tool_recall": round(both / max(sum(needed), 1), 4),
        "tool_questions": float(len(asked)),
    }


def _calls(client: openai.OpenAI, question: str) -> bool:
    tool: Any = {
        "type": "function",
        "function": {
            "name": SPEC.name,
            "description": SPEC.description,
            "parameters": json.loads(SPEC.parameters_json),
        },
    }
    answer = client.chat.completions.create(
        model="support",
        messages=[{"role": "user", "content": question}],
        tools=[tool],
        tool_choice="auto",
        max_tokens=200,
    )
    return bool(answer.choices[0].message.tool_calls)
