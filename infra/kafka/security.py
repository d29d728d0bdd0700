"""The security of a test cluster: an own certificate authority, SCRAM users with passwords of their own, SASL over TLS.

Made once beside the cluster's data, readable by its owner alone. Nothing here is meant for production: there, certificates
and users come from whoever runs Kafka, and only `acls.yaml` is the same.

Clients come in by SASL_SSL with SCRAM-SHA-512. Brokers and controllers speak TLS with one another, both sides by
certificate, so that nobody but a node can be one."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infra.kafka.fetch import KafkaFailed
from infra.kafka.nodes import HOST, Node

MECHANISM: Final = "SCRAM-SHA-512"
OPERATOR: Final = "operator"
"""May everything: whoever creates topics, applies ACLs and reads the ledger."""
PRINCIPALS: Final = (
    OPERATOR, "router", "gateway", "finetuned", "retrieval", "cloud", "batch-cloud", "batch-finetuned", "ledger",
    "budget", "producers",
)  # fmt: skip
_NODE: Final = "trivium-kafka-node"
_DAYS: Final = "365"
_OPENSSL_S: Final = 60
_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Vault:
    """Certificates and passwords of one cluster, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def ca(self) -> Path:
        """What clients trust."""
        return self.folder / "ca.pem"

    @property
    def users(self) -> Path:
        """Passwords by principal, JSON."""
        return self.folder / "users.json"

    def password(self, principal: str) -> str:
        """A principal's password. KafkaFailed when there is no such principal."""
        known: Mapping[str, str] = json.loads(self.users.read_text())
        if principal not in known:
            raise KafkaFailed(f"there is no principal {principal!r}; there are {', '.join(known)}")
        return known[principal]

    def environ(self, principal: str) -> dict[str, str]:
        """The settings with which a process of Trivium comes in as `principal`."""
        return {
            "TRIVIUM_KAFKA_PROTOCOL": "SASL_SSL",
            "TRIVIUM_KAFKA_USER": principal,
            "TRIVIUM_KAFKA_PASSWORD": self.password(principal),
            "TRIVIUM_KAFKA_CA": str(self.ca.resolve()),
        }

    def fill(self) -> None:
        """Make what is not there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self.users.exists():
            _write(self.users, json.dumps({name: secrets.token_urlsafe(18) for name in PRINCIPALS}, indent=2) + "\n")
        if not self._node.exists():
            self._certify()
        for name in PRINCIPALS:
            lines = [f"export {key}={value}" for key, value in self.environ(name).items()]
            _write(self.folder / f"{name}.env", "\n".join(lines) + "\n")

    def scram_arguments(self) -> list[str]:
        """For the formatting of a node: the users that exist from its first moment."""
        return [
            word for name in PRINCIPALS
            for word in ("--add-scram", f"{MECHANISM}=[name={name},password={self.password(name)}]")
        ]  # fmt: skip

    def listeners(self, node: Node) -> Sequence[str]:
        """What stands in a node's properties instead of plain listeners."""
        return (
            f"listeners=SASL_SSL://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port},INTERNAL://{HOST}:{node.internal_port}",
            f"advertised.listeners=SASL_SSL://{node.address},INTERNAL://{HOST}:{node.internal_port}",
            "listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:SSL,INTERNAL:SSL",
            "inter.broker.listener.name=INTERNAL",
            f"sasl.enabled.mechanisms={MECHANISM}",
            f"listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config="
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={self._node.resolve()}",
            "ssl.truststore.type=PEM",
            f"ssl.truststore.location={self.ca.resolve()}",
            "listener.name.controller.ssl.client.auth=required",
            "listener.name.internal.ssl.client.auth=required",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found=false",
            f"super.users=User:CN={_NODE};User:{OPERATOR}",
        )

    @property
    def _node(self) -> Path:
        return self.folder / "node.pem"

    def _certify(self) -> None:
        folder = self.folder
        ca_key, key, request, names = (folder / name for name in ("ca.key", "node.key", "node.csr", "node.ext"))
        _write(names, f"subjectAltName=DNS:localhost,IP:{HOST}\n")
        _openssl("req", "-x509", *_KEY, "-days", _DAYS, "-subj", "/CN=Trivium test CA", "-keyout", ca_key, "-out", self.ca)
        _openssl("req", *_KEY, "-subj", f"/CN={_NODE}", "-keyout", key, "-out", request)
        certificate = folder / "node.crt"
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", _DAYS,
                 "-extfile", names, "-out", certificate)  # fmt: skip
        for secret in (ca_key, key):
            secret.chmod(0o600)
        _write(self._node, key.read_text() + certificate.read_text() + self.ca.read_text())


def _write(path: Path, text: str) -> None:
    """Readable by the owner alone from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as sink:
        sink.write(text)


def _openssl(*order: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise KafkaFailed("certificates for --secure are made by openssl, and there is no program `openssl` on the path")
    done = subprocess.run([program, *map(str, order)], capture_output=True, text=True, timeout=_OPENSSL_S, check=False)
    if done.returncode:
        raise KafkaFailed(f"openssl {order[0]} failed: {done.stderr.strip()[-300:]}")
