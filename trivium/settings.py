"""Every setting of every process: frozen dataclasses, read once at process entry from TRIVIUM_ variables."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_type_hints

from trivium.core.errors import BadSetting

S = TypeVar("S")


def setting(name: str, default: Any, doc: str, secret: bool = False) -> Any:
    """A field that is read from TRIVIUM_<name>; the doc stands in the README's table. A secret is not in the repr."""
    return field(default=default, repr=not secret, metadata={"env": f"TRIVIUM_{name}", "doc": doc})


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Where the log is, and how patient we are with it."""

    bootstrap: str = setting("KAFKA", "localhost:9092", "Kafka bootstrap servers, comma-separated")
    partitions: int = setting("PARTITIONS", 12, "partitions of every topic; never changed in place")
    replication: int = setting("REPLICATION", 1, "replication factor when `trivium topics` creates")
    fetch_max_wait_ms: int = setting("FETCH_MAX_WAIT_MS", 100, "longest wait of a fetch that finds nothing; the embedded broker answers only then and has 10")
    session_timeout_ms: int = setting("SESSION_TIMEOUT_MS", 10_000, "consumer-group session timeout, and how long a pulse counts")
    heartbeat_ms: int = setting("HEARTBEAT_MS", 1_000, "consumer-group heartbeat; a member that was frozen for the session timeout less this leaves")
    static_member: bool = setting("STATIC_MEMBER", False, "static group membership under TRIVIUM_INSTANCE: for names that stay, as a StatefulSet's")
    max_message_bytes: int = setting("MAX_MESSAGE_BYTES", 4_000_000, "largest record that is produced")
    connect_timeout_ms: int = setting("CONNECT_TIMEOUT_MS", 8_000, "how long one try to reach a broker takes; a command then says so and leaves")
    wait_ms: int = setting("KAFKA_WAIT_MS", 0, "how long a starting process waits for its broker before it leaves; 0: for ever, saying so")
    protocol: str = setting("KAFKA_PROTOCOL", "PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    mechanism: str = setting("KAFKA_MECHANISM", "SCRAM-SHA-512", "SCRAM-SHA-512 or SCRAM-SHA-256")
    user: str = setting("KAFKA_USER", "", "SASL: the principal of this process")
    password: str = setting("KAFKA_PASSWORD", "", "SASL: its password", secret=True)
    password_file: str = setting("KAFKA_PASSWORD_FILE", "", "SASL: a file that holds the password instead")
    ca: str = setting("KAFKA_CA", "", "TLS: PEM file of the CA that signed the brokers; empty: the system's")
    cert: str = setting("KAFKA_CERT", "", "mutual TLS: PEM file of this client's certificate")
    key: str = setting("KAFKA_KEY", "", "mutual TLS: PEM file of its key")


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What every process has."""

    instance: str = setting("INSTANCE", "", "name of this instance; default service-host-pid")
    policy: str = setting("POLICY", "examples/support/policy.yaml", "the policy file; reloaded when it changes")
    otlp: str = setting("OTLP", "", "OTLP/gRPC endpoint for traces (http://host:4317); empty: no traces")
    otlp_headers: str = setting("OTLP_HEADERS", "", "sent to it with every batch of spans: name=value,name=value", secret=True)
    trace_ratio: float = setting("TRACE_RATIO", 1.0, "share of the traces that begin here which are sent, 0 to 1; a caller's `sampled` flag goes first")
    ops_port: int = setting("OPS_PORT", 0, "HTTP port of /metrics, /ready and /live; 0: any free port")
    log_level: str = setting("LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")
    capture_prompts: bool = setting("CAPTURE_PROMPTS", False, "put prompts and answers into spans")
    drain_ms: int = setting("DRAIN_MS", 25_000, "how long a stopping process finishes what it has begun")
    host: str = setting("HOST", "127.0.0.1", "interface that ports are opened on")
    crash_at: str = setting("CRASH_AT", "", "for tests of failure: kill -9 itself at a place (trivium/crash.py), as after_started:3; empty: nowhere")


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """gRPC over TLS: as a server when there is a certificate, as a client when there is a CA."""

    cert: str = setting("TLS_CERT", "", "PEM file of this process's certificate: its gRPC port speaks TLS; re-read when it changes")
    key: str = setting("TLS_KEY", "", "PEM file of its key")
    ca: str = setting("TLS_CA", "", "PEM file of the CA of the other parts: gRPC calls go over TLS; the word system: the machine's CAs")
    clients: bool = setting("TLS_CLIENTS", False, "mutual TLS: take calls only with a certificate that TRIVIUM_TLS_CA signed")


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Who may call, and as whom this process calls."""

    keys: str = setting("KEYS", "", "file of API keys (hashed), or its YAML: calls need a key, signed tenants a signature; re-read", secret=True)
    key: str = setting("KEY", "", "API key that this process calls others with", secret=True)
    key_file: str = setting("KEY_FILE", "", "a file that holds this key instead")


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """streams/"""

    cache_semantic: bool = setting("CACHE_SEMANTIC", True, "look up similar questions, not only equal ones")
    cache_entries: int = setting("CACHE_ENTRIES", 100_000, "cached answers held in a router or gateway; the oldest go first")
    verifier: str = setting("VERIFIER", "", "verifier model of `trivium train-cache`; empty: the shipped one")
    datadir: str = setting("DATADIR", "", "Faust's working folder; empty: a temporary one")
    watchdog_ms: int = setting("WATCHDOG_MS", 60_000, "lag without progress for so long: the process leaves")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """services/gateway"""

    port: int = setting("GATEWAY_PORT", 7300, "gRPC port of the gateway; 0: any free port")
    processes: int = setting("GATEWAY_PROCESSES", 1, "worker processes that share the port (SO_REUSEPORT)")
    finetuned: str = setting("FINETUNED", "localhost:7301", "address of the fine-tuned tier")
    retrieval: str = setting("RETRIEVAL", "localhost:7302", "address of the retrieval tier")
    cloud: str = setting("CLOUD", "localhost:7303", "address of the cloud tier")


@dataclass(frozen=True, slots=True)
class TierSettings:
    """What the three tiers have in common."""

    slots: int = setting("SLOTS", 64, "calls at once in one instance of a tier")
    processes: int = setting("TIER_PROCESSES", 1, "worker processes of a tier: they share its gRPC port (SO_REUSEPORT), each is a member of its Kafka group and has its own slots")
    kafka_worker: bool = setting("KAFKA_WORKER", True, "consume the work topics; false: serve gRPC only")
    budget_valid_ms: int = setting("BUDGET_VALID_MS", 60_000, "how long a tier pays from its part of a budget after its last record in the log; so long, and a quarter, what a dead one had stays reserved")


@dataclass(frozen=True, slots=True)
class FinetunedSettings:
    """services/finetuned"""

    port: int = setting("FINETUNED_PORT", 7301, "gRPC port of the fine-tuned tier; 0: any free port")
    wire: str = setting("FINETUNED_WIRE", "tgi", "tgi (huggingface_hub) or openai (vLLM, SGLang, llama.cpp, TGI's chat route)")
    url: str = setting("FINETUNED_URL", "http://localhost:8080", "base URL of the model server")
    key: str = setting("FINETUNED_KEY", "", "bearer token of the model server", secret=True)
    search: str = setting("SEARCH", "localhost:7302", "retrieval service behind the tool search_documents")


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """services/retrieval"""

    port: int = setting("RETRIEVAL_PORT", 7302, "gRPC port of the retrieval tier; 0: any free port")
    milvus: str = setting("MILVUS", "./milvus.db", "Milvus URI, or a file name for Milvus Lite")
    milvus_token: str = setting("MILVUS_TOKEN", "", "user:password or API key of Milvus", secret=True)
    generator: str = setting("GENERATOR", "localhost:7301", "address of the fine-tuned tier, the default generator")
    generator_cloud: str = setting("GENERATOR_CLOUD", "localhost:7303", "address of the cloud tier, for targets that generate there")
    embedder: str = setting("EMBEDDER", "", "URL of a text-embeddings-inference server; empty: the bundled static vectors")


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """services/cloud"""

    port: int = setting("CLOUD_PORT", 7303, "gRPC port of the cloud tier; 0: any free port")
    key: str = setting("CLOUD_KEY", "", "Anthropic API key", secret=True)
    url: str = setting("CLOUD_URL", "https://api.anthropic.com", "base URL of the Anthropic API, without /v1")


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """services/batch"""

    tier: str = setting("BATCH_TIER", "cloud", "whose patient work: cloud (Anthropic Message Batches) or finetuned (kept until off-peak hours)")
    window_ms: int = setting("BATCH_WINDOW_MS", 30_000, "how long the first request of a batch waits for others")
    requests: int = setting("BATCH_REQUESTS", 10_000, "requests in one batch at most; the vendor takes 100,000")
    bytes: int = setting("BATCH_BYTES", 64_000_000, "bytes in one batch at most; the vendor takes 256 MB")
    poll_ms: int = setting("BATCH_POLL_MS", 5_000, "first pause between two looks at a batch; doubled each time")
    poll_most_ms: int = setting("BATCH_POLL_MOST_MS", 120_000, "longest pause between two looks at a batch")
    unsure_ms: int = setting("BATCH_UNSURE_MS", 60_000, "after a crash: how long a batch that may have been submitted is looked for before it is submitted again")
    held_bytes: int = setting("BATCH_HELD_BYTES", 512_000_000, "patient work that one process holds; what is more is called normally")


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """services/ledger"""

    port: int = setting("LEDGER_PORT", 7304, "gRPC port of the ledger; 0: any free port")
    database: str = setting("LEDGER_DB", "./ledger.db", "database of the ledger: a file name (SQLite), or postgresql://user@host/name", secret=True)
    password_file: str = setting("LEDGER_DB_PASSWORD_FILE", "", "a file that holds the password of this database")
    batch: int = setting("LEDGER_BATCH", 5_000, "records in one transaction at most")


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is told of budgets, by services/budget."""

    webhook: str = setting("ALERT_WEBHOOK", "", "URL that alerts of budgets are posted to as JSON; empty: the log and trivium.alerts alone", secret=True)
    webhook_header: str = setting("ALERT_WEBHOOK_HEADER", "", "a header that goes with them: Authorization: Bearer abc", secret=True)


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """The command line."""

    endpoint: str = setting("GATEWAY", "localhost:7300", "gateway that `trivium ask` and `trivium ingest` speak to")
    traces: str = setting("TRACES", "", "Jaeger query API that `trivium trace` asks (http://host:16686)")
    tenant: str = setting("TENANT", "acme", "tenant of the command line")
    ledger: str = setting("LEDGER", "localhost:7304", "ledger that `trivium report` asks")


ALL: tuple[type, ...] = (
    KafkaSettings, ProcessSettings, TlsSettings, KeySettings, RouterSettings, GatewaySettings, TierSettings,
    FinetunedSettings, RetrievalSettings, CloudSettings, BatchSettings, LedgerSettings, AlertSettings, ToolSettings,
)  # fmt: skip


def read(cls: type[S], environ: Mapping[str, str]) -> S:
    """One settings class from the environment. BadSetting when a value is of the wrong kind or a name is unknown."""
    refuse_unknown(environ)
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for f in fields(cls):  # type: ignore[arg-type]
        name = f.metadata["env"]
        if name in environ:
            values[f.name] = _convert(name, environ[name], hints[f.name])
    return cls(**values)


def refuse_unknown(environ: Mapping[str, str]) -> None:
    """A TRIVIUM_ variable that nothing reads is a typo: say which, and what may have been meant."""
    known = sorted({f.metadata["env"] for cls in ALL for f in fields(cls)})
    for name in sorted(environ):
        if name.startswith("TRIVIUM_") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise BadSetting(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "; see the README's table"))


def _convert(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        return _flag(name, text)
    if kind is float:
        return _share(name, text)
    if kind is not int:
        return text
    try:
        number = int(text)
    except ValueError:
        raise BadSetting(f"{name} must be a whole number, not {text!r}") from None
    if number < 0:
        raise BadSetting(f"{name} must not be negative, but is {number}")
    return number


def _share(name: str, text: str) -> float:
    """The floats among the settings are shares."""
    try:
        number = float(text)
    except ValueError:
        raise BadSetting(f"{name} must be a number between 0 and 1, not {text!r}") from None
    if not 0 <= number <= 1:
        raise BadSetting(f"{name} must be between 0 and 1, not {text}")
    return number


def _flag(name: str, text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise BadSetting(f"{name} must be true or false, not {text!r}")
    return words[text.lower()]
