"""The chart as Kubernetes gets it: valid objects, nobody with rights, and only what calls the cloud with a way out."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from infra.kafka.security import PRINCIPALS
from tests.deploy.shipped import (
    BATCHES,
    CHART,
    COMPONENTS,
    KNOWN,
    PORTS,
    PROCESSES,
    ROOT,
    SECRETS,
    image,
    image_environment,
    own,
)
from tests.real.helm.conftest import KUBERNETES, Render, Rendered
from trivium.settings import ALL, read

EXAMPLE = ROOT / "examples/support"
PLAIN: tuple[str, ...] = ()
OUT = {"cloud", "batch-cloud"}
"""Who may reach the world."""
PATIENT = ("--set", "batch.cloud.enabled=true,batch.finetuned.enabled=true")
FULL = (
    "--set", "scaling.enabled=true,scaling.authentication=kafka-login,retrieval.embedder=http://tei:80,tls.secret=mesh-tls,keys.secret=mesh-keys",
    "--set", "ledger.replicas=2,ledger.database.secret=ledger-database",
    *PATIENT,
    "--set", "kafka.protocol=SASL_SSL,kafka.passwordSecret=kafka-passwords,kafka.caSecret=kafka-ca,image.registry=registry.example/team",
    "--set-file", f"policy.text={EXAMPLE / 'policy.yaml'}", "--set-file", f"policy.classifier={EXAMPLE / 'classifier.json'}",
)  # fmt: skip
WAYS = pytest.mark.parametrize("arguments", [PLAIN, FULL], ids=["defaults", "everything"])


def components(arguments: tuple[str, ...]) -> set[str]:
    """What runs for long."""
    return {*COMPONENTS, *(BATCHES if arguments else ())}


def of(objects: Rendered, kind: str) -> dict[str, dict[str, Any]]:
    """Objects of a kind by component."""
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in objects if one["kind"] == kind}


def pods(objects: Rendered) -> Iterator[tuple[str, dict[str, Any]]]:
    """(component, specification) of every pod."""
    for kind in ("StatefulSet", "Deployment", "Job"):
        for name, one in of(objects, kind).items():
            yield name, one["spec"]["template"]["spec"]


def test_helm_has_nothing_to_say(helm: Path) -> None:
    done = subprocess.run([helm, "lint", "--strict", "--kube-version", f"{KUBERNETES}.0", CHART],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("wrong", "said"), [
    ("kafka.protcol=SSL", "protcol is not allowed"),
    ("image.tag=latest", "image.tag"),
    ("environment.TRIVIUM_KAFKA_PASSWORD=x", "TRIVIUM_KAFKA_PASSWORD"),
    ("kafka.protocol=SASL_SSL", "kafka.passwordSecret is needed with SASL"),
    ("cloud.url=api.anthropic.com", "cloud.url"),
    ("ledger.replicas=2", "only one may use the file of a volume"),
    ("batch.enabled=true", "enabled is not allowed"),
    ("batch.finetuned.secrets[0].name=TRIVIUM_CLOUD_KEY", "batch.finetuned.secrets.0"),
    ("environment.TRIVIUM_BATCH_TIER=cloud", "TRIVIUM_BATCH_TIER"),
])  # fmt: skip
def test_wrong_values_are_refused_with_their_name(helm: Path, wrong: str, said: str) -> None:
    done = subprocess.run([helm, "template", "shop", CHART, "--kube-version", f"{KUBERNETES}.0", "--set", wrong],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode != 0
    assert said in done.stderr


@WAYS
def test_every_object_is_one_that_kubernetes_takes(render: Render, arguments: tuple[str, ...]) -> None:
    for one in render(*arguments):
        if one["apiVersion"].startswith("keda.sh/"):
            continue
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


@WAYS
def test_what_there_is(render: Render, arguments: tuple[str, ...]) -> None:
    objects = render(*arguments)
    assert set(of(objects, "StatefulSet")) == {"router"}
    assert set(of(objects, "Deployment")) == components(arguments) - {"router"}
    assert set(of(objects, "Service")) == components(arguments)
    # One replica has nobody to stay up for it.
    assert set(of(objects, "PodDisruptionBudget")) == {*PROCESSES, *(["ledger", *BATCHES] if arguments else [])}
    assert set(of(objects, "NetworkPolicy")) == {*components(arguments), "topics"}
    assert set(of(objects, "Job")) == {"topics"}


@WAYS
def test_nobody_has_rights(render: Render, arguments: tuple[str, ...]) -> None:
    seen = 0
    for _, pod in pods(render(*arguments)):
        seen += 1
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
    assert seen == len(components(arguments)) + 1


@WAYS
def test_every_container_is_watched_and_bounded(render: Render, arguments: tuple[str, ...]) -> None:
    for name, pod in pods(render(*arguments)):
        for container in pod["containers"]:
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            assert container["image"].rpartition(":")[2] == "0.1.0"
            if name == "topics":
                continue
            assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "ops"}
            assert container["livenessProbe"]["httpGet"] == {"path": "/live", "port": "ops"}
            assert container["startupProbe"]["httpGet"]["port"] == "ops"
            assert {"name": "ops", "containerPort": 7390} in container["ports"]
            assert pod["terminationGracePeriodSeconds"] == 30


@WAYS
def test_the_environment_is_such_that_every_process_starts(render: Render, arguments: tuple[str, ...]) -> None:
    for name, pod in pods(render(*arguments)):
        # Kubernetes would add TRIVIUM_GATEWAY_PORT=tcp://... of its own.
        assert pod["enableServiceLinks"] is False
        listed = [variable["name"] for variable in pod["containers"][0]["env"]]
        assert len(listed) == len(set(listed)), name
        given = {variable["name"]: variable.get("value", "by-reference") for variable in pod["containers"][0]["env"]}
        assert set(given) <= KNOWN
        ours = image_environment(image(name)) | given
        for cls in ALL:
            read(cls, {key: value for key, value in ours.items() if key.startswith("TRIVIUM_")})
        for variable in pod["containers"][0]["env"]:
            if variable["name"] in SECRETS:
                # By reference, or the name of a file that a secret fills.
                assert "valueFrom" in variable or variable["value"].startswith("/etc/trivium-keys/"), variable["name"]


def test_every_process_is_a_principal_of_its_own(render: Render) -> None:
    for name, pod in pods(render(*FULL)):
        found = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
        principal = "operator" if name == "topics" else name
        assert found["TRIVIUM_KAFKA_USER"]["value"] == principal
        assert found["TRIVIUM_KAFKA_PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "kafka-passwords", "key": principal}
        assert principal in PRINCIPALS


def test_a_pod_gets_its_own_key_and_nobody_elses(render: Render) -> None:
    for name, pod in pods(render(*FULL)):
        mounted = [item["key"] for volume in pod["volumes"] if volume["name"] == "keys" for item in volume["secret"]["items"]]
        own = [name] if name in ("gateway", "finetuned", "retrieval") else []
        assert mounted == ([] if name == "topics" else ["keys.yaml", *own])


def test_addresses_lead_to_services_and_their_ports(render: Render) -> None:
    objects = render()
    services = {one["metadata"]["name"]: component for component, one in of(objects, "Service").items()}
    found = 0
    for _, pod in pods(objects):
        for variable in pod["containers"][0]["env"]:
            host, _, port = str(variable.get("value", "")).partition(":")
            if host in services:
                found += 1
                assert int(port) == PORTS[services[host]]
    assert found == 6


def test_callers_see_every_instance_of_a_tier(render: Render) -> None:
    services = of(render(), "Service")
    assert [name for name, one in services.items() if one["spec"].get("clusterIP") == "None"] == [n for n in services if n != "gateway"]
    selected = {name: one["spec"]["selector"] for name, one in services.items()}
    for name, one in {**of(render(), "Deployment"), **of(render(), "StatefulSet")}.items():
        assert selected[name].items() <= one["spec"]["template"]["metadata"]["labels"].items()


def test_the_ledger_has_a_volume_or_a_server_of_its_own(render: Render) -> None:
    objects = render()
    (volume,) = (one for one in objects if one["kind"] == "PersistentVolumeClaim")
    spec = of(objects, "Deployment")["ledger"]["spec"]
    assert spec["strategy"] == {"type": "Recreate"}, "two at once would need the same volume"
    assert {"name": "data", "persistentVolumeClaim": {"claimName": volume["metadata"]["name"]}} in spec["template"]["spec"]["volumes"]
    (mount,) = (one for one in spec["template"]["spec"]["containers"][0]["volumeMounts"] if one["name"] == "data")
    assert image_environment("ledger")["TRIVIUM_LEDGER_DB"].startswith(mount["mountPath"])
    objects = render(*FULL)
    assert not [one for one in objects if one["kind"] == "PersistentVolumeClaim"]
    spec = of(objects, "Deployment")["ledger"]["spec"]
    (url,) = (one for one in spec["template"]["spec"]["containers"][0]["env"] if one["name"] == "TRIVIUM_LEDGER_DB")
    assert url["valueFrom"]["secretKeyRef"] == {"name": "ledger-database", "key": "url"}
    assert (spec["replicas"], ("postgresql", 5432) in set(reached(of(objects, "NetworkPolicy")["ledger"]))) == (2, True)


@pytest.mark.parametrize("name", ["ledger", "budget"])
def test_a_mesh_without_it(render: Render, name: str) -> None:
    objects = render("--set", f"{name}.enabled=false")
    assert name not in {component for kind in ("Deployment", "Service", "NetworkPolicy") for component in of(objects, kind)}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_process_runs_in_the_image_of_its_tier(render: Render, name: str) -> None:
    spec = of(render(*FULL), "Deployment")[name]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert container["image"] == f"registry.example/team/trivium-{image(name)}:0.1.0"
    assert container["command"] == ["python", "-m", "services.batch"]
    assert container["resources"] == own(name)["resources"]
    assert given["TRIVIUM_BATCH_TIER"] == image(name)
    # One that works and one that stands by; a new one is there before an old one goes.
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]) == (2, {"maxUnavailable": 0, "maxSurge": 1})


@pytest.mark.parametrize("tier", ["cloud", "finetuned"])
def test_a_mesh_with_one_batch_process_alone(render: Render, tier: str) -> None:
    objects = render("--set", f"batch.{tier}.enabled=true,batch.{tier}.replicas=1")
    for kind in ("Deployment", "Service", "NetworkPolicy"):
        assert set(of(objects, kind)) & set(BATCHES) == {f"batch-{tier}"}
    assert not set(of(objects, "PodDisruptionBudget")) & set(BATCHES)


def test_only_what_calls_the_vendor_has_its_key(render: Render) -> None:
    secret = {"secretKeyRef": {"name": "trivium-cloud", "key": "anthropic-key"}}
    having, calling = set(), {}
    for name, pod in pods(render(*FULL, "--set", "cloud.url=https://proxy.example")):
        given = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
        having |= {name for variable in given.values() if variable.get("valueFrom") == secret}
        if "TRIVIUM_CLOUD_URL" in given:
            calling[name] = given["TRIVIUM_CLOUD_URL"]["value"]
    assert having == {"cloud", "batch-cloud"}
    assert calling == dict.fromkeys(having, "https://proxy.example")


@pytest.mark.parametrize(("arguments", "told"), [
    ((), ["batch.cloud.enabled", "batch.finetuned.enabled"]),
    (("--set", "batch.cloud.enabled=true"), ["batch.finetuned.enabled", "cloud's batch process comes from the secret trivium-cloud"]),
    (("--set-file", f"policy.text={EXAMPLE / 'policy.yaml'}"), []),
], ids=["neither", "the cloud's", "a policy without patience"])  # fmt: skip
def test_who_installs_is_told_of_work_that_nobody_would_do(helm: Path, tmp_path: Path, arguments: tuple[str, ...], told: list[str]) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("targets: {cloud/small: {tier: cloud, batch: true}, finetuned/tickets: {tier: finetuned, off_peak: '22:00-06:00'}}")
    notes = installed(helm, tmp_path, "--set-file", f"policy.text={policy}", *arguments)
    assert "Trivium 0.1.0 is installed as shop" in notes
    every = ("batch.cloud.enabled", "batch.finetuned.enabled", "cloud's batch process comes from the secret trivium-cloud")
    assert [word for word in every if word in notes] == told


def installed(helm: Path, folder: Path, *arguments: str) -> str:
    """NOTES.txt, which helm shows to who has a cluster alone: in a copy of the chart it is the text of a ConfigMap."""
    chart = shutil.copytree(CHART, folder / "chart")
    notes = chart / "templates/NOTES.txt"
    (chart / "templates/_notes.tpl").write_text('{{ define "notes" }}' + notes.read_text() + "{{ end }}")
    notes.unlink()
    (chart / "templates/notes.yaml").write_text('kind: ConfigMap\ndata: {notes: {{ include "notes" . | quote }}}\n')
    command = [helm, "template", "shop", chart, "--kube-version", f"{KUBERNETES}.0", "--show-only", "templates/notes.yaml", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["data"]["notes"])


def test_alerts_reach_their_webhook_and_nothing_else(render: Render) -> None:
    policy = of(render("--set-json", 'network.webhook.peers=[{"ipBlock":{"cidr":"203.0.113.9/32"}}]'), "NetworkPolicy")["budget"]
    assert ("world 203.0.113.9/32", 443) in set(reached(policy))


def test_a_router_keeps_its_name(render: Render) -> None:
    router = of(render(), "StatefulSet")["router"]["spec"]
    named = [v for v in router["template"]["spec"]["containers"][0]["env"] if v["name"] == "TRIVIUM_INSTANCE"]
    assert named[0]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert router["podManagementPolicy"] == "Parallel"


# --- the network ---------------------------------------------------------------------------------------------------


def reached(policy: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """(who or what, port) of every way out."""
    for rule in policy["spec"]["egress"]:
        assert rule["to"], "an empty peer is everybody"
        for peer in rule["to"]:
            for port in rule["ports"]:
                yield _peer(peer), port["port"]


def _peer(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return f"world {peer['ipBlock']['cidr']}"
    if "namespaceSelector" in peer:
        return "namespace " + peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    labels = peer["podSelector"]["matchLabels"]
    return str(labels.get("app.kubernetes.io/component") or labels["app.kubernetes.io/name"])


@WAYS
def test_only_what_calls_the_cloud_reaches_the_world(render: Render, arguments: tuple[str, ...]) -> None:
    policies = of(render(*arguments), "NetworkPolicy")
    ways = {name: sorted(set(reached(policy))) for name, policy in policies.items()}
    assert {name for name, found in ways.items() if any(to.startswith("world") for to, _ in found)} == components(arguments) & OUT
    for name in components(arguments) & OUT:
        assert [to for to in ways[name] if to[0].startswith("world")] == [("world 0.0.0.0/0", 443)]
        private = next(r["to"][0]["ipBlock"]["except"] for r in policies[name]["spec"]["egress"] if "ipBlock" in r["to"][0])
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(private)


def test_everybody_reaches_what_it_needs_and_nothing_else(render: Render) -> None:
    ways = {name: set(reached(policy)) for name, policy in of(render(*PATIENT), "NetworkPolicy").items()}
    dns, kafka, spans = ("namespace kube-system", 53), ("kafka", 9092), ("jaeger", 4317)
    assert ways == {
        "router": {dns, kafka, spans},
        "gateway": {dns, kafka, spans, ("finetuned", 7301), ("retrieval", 7302), ("cloud", 7303)},
        "finetuned": {dns, kafka, spans, ("retrieval", 7302), ("vllm", 8000)},
        "retrieval": {dns, kafka, spans, ("finetuned", 7301), ("cloud", 7303), ("milvus", 19530)},
        "cloud": {dns, kafka, spans, ("world 0.0.0.0/0", 443)},
        "ledger": {dns, kafka, spans},
        "budget": {dns, kafka, spans},
        "batch-cloud": {dns, kafka, spans, ("world 0.0.0.0/0", 443)},
        "batch-finetuned": {dns, kafka, spans},
        "topics": {dns, kafka},
    }


def test_a_policy_holds_for_every_pod_in_both_directions(render: Render) -> None:
    policies = of(render(*PATIENT), "NetworkPolicy")
    for kind in ("StatefulSet", "Deployment", "Job"):
        for name, one in of(render(*PATIENT), kind).items():
            spec = policies[name]["spec"]
            assert spec["podSelector"]["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
            assert spec["policyTypes"] == ["Ingress", "Egress"]


def test_what_one_may_send_the_other_may_take(render: Render) -> None:
    policies = of(render(), "NetworkPolicy")
    for name, policy in policies.items():
        for to, port in reached(policy):
            if to in PROCESSES:
                taken = {(_peer(p), port["port"]) for r in policies[to]["spec"]["ingress"] for p in r["from"]
                         if p.get("podSelector") != {} for port in r["ports"]}  # fmt: skip
                assert (name, port) in taken, f"{name} to {to}"


# --- scaling -------------------------------------------------------------------------------------------------------


def test_replicas_follow_the_lag(render: Render) -> None:
    objects = render(*FULL)
    scaled = of(objects, "ScaledObject")
    assert set(scaled) == set(PROCESSES)
    for name, one in scaled.items():
        spec = one["spec"]
        owner = of(objects, spec["scaleTargetRef"]["kind"])[name]
        assert owner["metadata"]["name"] == spec["scaleTargetRef"]["name"]
        assert "replicas" not in owner["spec"], "two would decide about it"
        assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
        lags = [t for t in spec["triggers"] if t["type"] == "kafka"]
        assert bool(lags) is (name != "gateway")
        for trigger in lags:
            assert trigger["metadata"]["consumerGroup"] == ("trivium.router" if name == "router" else f"trivium-{name}")
            assert trigger["metadata"]["allowIdleConsumers"] == "false"
            assert trigger["authenticationRef"] == {"name": "kafka-login"}
    assert "trivium.work.cloud.restricted" not in str(scaled["cloud"])
    assert of(render(), "ScaledObject") == {}


def test_the_topics_are_made_first_from_the_same_policy(render: Render) -> None:
    objects = render(*FULL)
    job = of(objects, "Job")["topics"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["trivium", "topics", "--create"]
    texts = [one["data"] for one in objects if one["kind"] == "ConfigMap"]
    assert len(texts) == 2
    assert texts[0] == texts[1]
    assert texts[0]["policy.yaml"].rstrip("\n") == (EXAMPLE / "policy.yaml").read_text().rstrip("\n")
    assert texts[0]["classifier.json"].rstrip("\n") == (EXAMPLE / "classifier.json").read_text().rstrip("\n")
