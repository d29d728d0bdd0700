"""Writes tasks.jsonl: labelled texts for `trivium train-classifier`, none of them in requests.txt.

    python examples/support/make_tasks.py

Tickets come from tickets.jsonl; kinds of work that are asked for in words are wordings around a text; the rest is written
by hand in tasks.txt (`## label`, one text a line). The label `novel` is work that the policy has no task type for: it is
never trained on, it measures how much of such work the classifier lets pass."""

import json
import random
from pathlib import Path

HERE = Path(__file__).parent
WORDINGS = {
    "sentiment": ("What is the sentiment of this message: {}", "Positive or negative: {}", "Tell me the sentiment: {}",
                  "What mood is the customer in: {}", "Is this feedback positive, negative or neutral? {}",
                  "Judge the tone of the following: {}"),
    "urgency": ("How urgent is this ticket: {}", "Rate the urgency: {}", "How urgent is this: {}",
                "What priority does this need: {}", "Does this need an answer today? {}"),
    "language": ("Which language is this: {}", "Detect the language: {}", "In which language is this written: {}",
                 "Tell me the language of: {}"),
    "extract_order": ("Extract the order details from: {}", "Pull the order number, amount and email from: {}",
                      "Get order number, amount and email out of: {}", "Read the order data in this mail: {}"),
    "draft_reply": ("Draft a reply to this customer: {}", "Write an answer to: {}", "Compose a response to this ticket: {}",
                    "Please write a friendly reply to: {}", "Suggest what to answer to: {}"),
    "summarise_thread": ("Summarise this thread: {}", "Give me a summary of: {}", "Sum up the conversation: {}",
                         "What happened in this thread, in short: {}"),
    "translate": ("Translate into German: {}", "Translate into French: {}", "Translate into Spanish: {}",
                  "Translate into Italian: {}", "Please translate to Dutch: {}", "How do you say in Polish: {}"),
}  # fmt: skip
EACH = 60
"""Texts a label, so that no label is favoured by its number."""


def by_hand() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for block in (HERE / "tasks.txt").read_text(encoding="utf-8").split("\n## ")[1:]:
        label, *lines = block.splitlines()
        found[label.strip()] = [line.strip() for line in lines if line.strip()]
    return found


def tasks() -> list[dict[str, str]]:
    """All labelled texts, in an order that is the same each time."""
    draw = random.Random(11)
    tickets = [json.loads(line)["text"] for line in (HERE / "tickets.jsonl").read_text(encoding="utf-8").splitlines()]
    written = by_hand()
    made = {label: texts for label, texts in written.items() if not label.startswith("text of ")}
    made["classify_ticket"] = draw.sample(tickets, EACH * 2)
    for label, wordings in WORDINGS.items():
        texts = written.get(f"text of {label}", tickets)
        made[label] = [draw.choice(wordings).format(text) for text in draw.choices(texts, k=EACH)]
    rows = [{"text": text, "label": label} for label, texts in sorted(made.items()) for text in dict.fromkeys(texts)]
    draw.shuffle(rows)
    return rows


def main() -> None:
    rows = tasks()
    (HERE / "tasks.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    print(f"{len(rows)} texts, {len({r['label'] for r in rows})} labels")


if __name__ == "__main__":
    main()
