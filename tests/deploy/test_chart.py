"""The chart as far as it can be read without helm; tests/real/helm renders it."""

import copy
import importlib.util
import json
import re

import pytest
from jsonschema import Draft7Validator

from tests.deploy.shipped import (
    BATCHES,
    CHART,
    COMPONENTS,
    KNOWN,
    PORTS,
    PROCESSES,
    SECRETS,
    dockerfile,
    image,
    own,
    templates,
    values,
)
from trivium.core.errors import BadSetting
from trivium.core.policy import Tier
from trivium.kafka.topics import OUTCOMES, PATIENT, REQUESTS, lanes
from trivium.settings import BatchSettings, GatewaySettings, KafkaSettings, read

ALL = "\n".join(templates().values())
SCHEMA = Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))


def test_every_variable_of_the_chart_is_a_setting() -> None:
    written = set(re.findall(r"\bTRIVIUM_[A-Z_]+\b", ALL + (CHART / "values.yaml").read_text()))
    # TRIVIUM_{{ upper . }} of the gateway: the addresses of the tiers.
    written = {name for name in written if name not in ("TRIVIUM_", "TRIVIUM_GATEWAY_PORT=tcp")} | {"TRIVIUM_FINETUNED", "TRIVIUM_CLOUD"}
    assert written <= KNOWN


def test_the_values_fit_their_schema_and_a_typo_does_not() -> None:
    assert [error.message for error in SCHEMA.iter_errors(values())] == []
    wrong = copy.deepcopy(values())
    wrong["kafka"]["protcol"] = "SSL"
    wrong["image"]["tag"] = "latest"
    wrong["cloud"]["environment"] = {"TRIVIUM_CLOUD_KEY": "sk-in-a-values-file"}
    assert len({next(iter(error.path)) for error in SCHEMA.iter_errors(wrong)}) == 3


def test_no_secret_has_a_value() -> None:
    assert {"TRIVIUM_CLOUD_KEY", "TRIVIUM_KAFKA_PASSWORD"} <= SECRETS
    for name in SECRETS:
        for line in ALL.splitlines():
            if re.search(rf"\b{name}\b", line) and "value:" in line:
                assert "/etc/trivium-keys/" in line, line
    assert all({"secret", "key"} <= set(one) for part in (*COMPONENTS, *BATCHES) for one in own(part).get("secrets", []))


def test_ports_are_those_of_the_settings() -> None:
    for name, port in PORTS.items():
        assert f'"{name}" "{port}"' in ALL
    assert set(re.findall(r"containerPort: (\d+)", ALL)) == {"7390"}


def test_replicas_follow_the_lag_of_the_topics_that_are_really_read() -> None:
    listed = {name: re.findall(r'"([^"]+)"', line) for name, line in re.findall(r'"(\w+)" \(list ([^)]*)\)', templates()["scaling.yaml"])}
    assert listed == {"router": [REQUESTS, OUTCOMES], **{tier.value: list(lanes(tier)) for tier in Tier}}


def test_what_kubernetes_says_of_services_is_no_setting_of_ours() -> None:
    """Why pods have enableServiceLinks: false; these variables come from services of the chart's own names."""
    for name, value in (("TRIVIUM_GATEWAY_PORT", "tcp://10.0.0.1:7300"), ("TRIVIUM_CLOUD_SERVICE_HOST", "10.0.0.2")):
        with pytest.raises(BadSetting):
            read(GatewaySettings, {name: value})
    assert "enableServiceLinks: false" in ALL


def test_more_replicas_than_partitions_are_never_asked_for() -> None:
    partitions = values()["kafka"]["partitions"]
    assert partitions == KafkaSettings().partitions
    assert all(values()[name]["scaling"]["maxReplicas"] <= partitions for name in PROCESSES)


@pytest.mark.parametrize("name", [*COMPONENTS, *BATCHES])
def test_every_component_has_an_image_and_limits(name: str) -> None:
    assert image(name) in dockerfile()
    assert set(own(name)["resources"]) == {"requests", "limits"}


def test_every_tier_that_has_patient_work_has_its_batch_process() -> None:
    assert {f"batch-{tier.value}" for tier in PATIENT} == set(BATCHES)
    (started,) = re.findall(r"command: \[python, -m, (services\.\w+)\]", templates()["_pod.tpl"])
    assert importlib.util.find_spec(f"{started}.__main__") is not None
    assert not any(own(name)["enabled"] for name in BATCHES), "most policies let nothing wait"


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_process_has_room_for_what_it_may_hold(name: str) -> None:
    limit = own(name)["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert int(limit[:-2]) * 2**30 > BatchSettings().held_bytes + 3 * BatchSettings().bytes


def test_the_vendors_key_and_the_tier_are_refused_where_they_do_not_belong() -> None:
    key = {"name": "TRIVIUM_CLOUD_KEY", "secret": "trivium-cloud", "key": "anthropic-key"}
    assert own("batch-cloud")["secrets"] == [key]
    for change in ({"secrets": [key]}, {"environment": {"TRIVIUM_BATCH_TIER": "cloud"}}):
        wrong = copy.deepcopy(values())
        wrong["batch"]["finetuned"] |= change
        assert [list(error.path)[:3] for error in SCHEMA.iter_errors(wrong)] == [["batch", "finetuned", *change]]
