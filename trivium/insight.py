"""What both doors know of texts: the classifier behind `auto` and the answer cache, over one embedder.

insight = open_insight(policy, kafka, router, metrics)
async with insight.cache as cache:
    facts = FactSource(policies, pulses, cache, insight.classify)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trivium.cache.lookup import shipped_verifier
from trivium.cache.view import CacheOptions, CacheView
from trivium.classifier.head import LinearHead, TextClassifier
from trivium.core.decision import Classification
from trivium.core.detect import Look
from trivium.core.errors import BadSetting
from trivium.core.policy import Policy
from trivium.core.same_answer import BadVerifier, Verifier
from trivium.core.slip import unclassified
from trivium.detect.detector import open_detector
from trivium.embed.static import EmbedderMissing, StaticEmbedder
from trivium.facts import SharedEmbedder
from trivium.settings import KafkaSettings, RouterSettings
from trivium.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Insight:
    """A cache view that is not started yet, and the classifier (one that says nothing when the policy names none)."""

    cache: CacheView
    classify: Callable[[str], Classification | None]
    look: Look


def open_insight(policy: Policy, kafka: KafkaSettings, router: RouterSettings, metrics: Metrics) -> Insight:
    """Loads vectors, classifier and verifier, about 0.3 s.

    Always the bundled static vectors: a look-up inside a decision cannot wait for a server. Another classifier file
    counts from the next start on. Raises BadSetting and BadClassifier."""
    try:
        embedder = SharedEmbedder(StaticEmbedder.load())
    except EmbedderMissing as error:
        raise BadSetting(str(error)) from error
    head = LinearHead.load(Path(policy.classifier.path)) if policy.classifier.path else None
    options = CacheOptions(kafka.bootstrap, router.cache_semantic, router.cache_entries)
    view = CacheView(options, embedder, _verifier(router.verifier), head, metrics)
    return Insight(view, unclassified if head is None else TextClassifier(head, embedder), open_detector(policy))


def _verifier(path: str) -> Verifier:
    if not path:
        return shipped_verifier()
    try:
        return Verifier.from_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSetting(f"TRIVIUM_VERIFIER: cannot read {path}: {error.strerror}") from error
    except (BadVerifier, UnicodeDecodeError) as error:
        raise BadSetting(f"TRIVIUM_VERIFIER: {path}: {error}") from error
