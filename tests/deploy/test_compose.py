"""docker-compose.yml: the specification's schema, the settings that exist, and what a shipped mesh must have."""

import json
import re
from importlib import resources

import pytest
from jsonschema import Draft7Validator

from tests.deploy.shipped import (
    COMPONENTS,
    KNOWN,
    PORTS,
    ROOT,
    SECRETS,
    compose,
    dockerfile,
    env_file,
    environment,
    image_environment,
)
from trivium.core.policy import Tier
from trivium.policy import load
from trivium.settings import ALL, read

SERVICES = compose()["services"]
LONG_RUNNING = [name for name in SERVICES if name != "topics"]
BUILT = [name for name, service in SERVICES.items() if "build" in service]


def test_it_is_a_compose_file() -> None:
    # check-jsonschema comes with a copy of the specification's own schema.
    schema = json.loads((resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    assert [f"{list(error.path)}: {error.message}" for error in Draft7Validator(schema).iter_errors(compose())] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag), SERVICES[name]["image"]


@pytest.mark.parametrize("name", BUILT)
def test_what_is_built_is_a_stage_of_the_dockerfile(name: str) -> None:
    build = SERVICES[name]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).samefile(ROOT / "infra/docker/Dockerfile")
    assert build["target"] in dockerfile()
    assert SERVICES[name]["image"].startswith(f"trivium-{build['target']}:")


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("shell", [(), ("gpu", "anthropic"), ("tgi",)], ids=lambda files: "+".join(files) or "nothing set")
def test_the_settings_of_every_process_are_such_that_it_starts(name: str, shell: tuple[str, ...]) -> None:
    environ = {key: value for file in shell for key, value in env_file(file).items()}
    assert set(environ) <= KNOWN
    given = environment(name, environ)
    assert {key for key in given if key.startswith("TRIVIUM_")} <= KNOWN
    ours = {key: value for key, value in (image_environment(name if name != "topics" else "gateway") | given).items()
            if key.startswith("TRIVIUM_")}  # fmt: skip
    for cls in ALL:
        read(cls, ours)


def test_addresses_lead_to_services_and_to_their_ports() -> None:
    for name in COMPONENTS:
        for value in environment(name).values():
            host, _, port = re.sub(r"^https?://", "", value).partition(":")
            if port.isdigit() and host in PORTS:
                assert int(port) == PORTS[host], value
            if port.isdigit():
                assert host in SERVICES, value


def test_without_gpu_and_key_the_stand_ins_answer() -> None:
    assert environment("finetuned")["TRIVIUM_FINETUNED_URL"] == "http://standins:8080"
    assert environment("cloud")["TRIVIUM_CLOUD_URL"] == "http://standins:8081"
    assert environment("cloud")["TRIVIUM_CLOUD_KEY"] == "stand-in"
    assert SERVICES["standins"]["profiles"] == ["standins"]
    assert '"8080"' in dockerfile()["standins"].all("CMD")[0]
    assert '"8081"' in dockerfile()["standins"].all("CMD")[0]


def test_a_gpu_and_the_real_cloud_are_a_matter_of_profiles_and_files() -> None:
    shell = env_file("gpu") | env_file("anthropic") | {"TRIVIUM_CLOUD_KEY": "from-the-shell"}
    assert environment("finetuned", shell)["TRIVIUM_FINETUNED_URL"] == "http://vllm:8000"
    assert environment("finetuned", shell)["TRIVIUM_FINETUNED_WIRE"] == "openai"
    assert environment("cloud", shell)["TRIVIUM_CLOUD_URL"] == "https://api.anthropic.com"
    assert environment("cloud", shell)["TRIVIUM_CLOUD_KEY"] == "from-the-shell"
    assert environment("finetuned", env_file("tgi"))["TRIVIUM_FINETUNED_URL"] == "http://tgi:8080"
    for name in ("vllm", "tgi"):
        assert SERVICES[name]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_vllm_answers_to_every_name_that_the_policy_uses() -> None:
    """On the OpenAI wire an adapter is the model's name."""
    command = SERVICES["vllm"]["command"]
    served = set(command[command.index("--served-model-name") + 1 : command.index("--port")])
    targets = [t for t in load(ROOT / "examples/support/policy.yaml").targets.values() if t.tier is Tier.FINETUNED]
    assert {t.adapter or t.model for t in targets} <= served


def test_no_secret_stands_in_it() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if key in SECRETS or re.search(r"(PASSWORD|TOKEN|SECRET|ACCESS_KEY|API_KEY)$", key):
                assert re.fullmatch(r"\$\{[A-Z_]+:-(stand-in)?\}", str(value)), f"{name}: {key}"


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_for_long_is_watched_restarted_and_bounded(name: str) -> None:
    service = SERVICES[name]
    ours = {SERVICES[built]["image"] for built in BUILT}
    healthy = "healthcheck" in service or service["image"] in ours
    assert healthy, "no health check, and none in an image of ours"
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"]["max-size"]


def test_topics_are_there_before_anybody_reads_them() -> None:
    assert SERVICES["topics"]["restart"] == "no"
    assert SERVICES["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    for name in COMPONENTS:
        assert SERVICES[name]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    for name in SERVICES:
        assert set(SERVICES[name].get("depends_on", {})) <= set(SERVICES)


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_process_may_drain_and_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["stop_grace_period"] == "30s"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_only_the_cloud_service_and_the_model_servers_have_a_way_out() -> None:
    networks = compose()["networks"]
    assert networks["inside"]["internal"] is True
    assert networks["door"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    out = {name for name, service in SERVICES.items() if not set(service["networks"]) <= {"inside", "door"}}
    assert out == {"cloud", "batch-cloud", "vllm", "tgi"}


def test_ports_are_opened_for_this_machine_alone() -> None:
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port
        if service.get("ports"):
            assert "door" in service["networks"]


def test_volumes_are_named_and_files_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), volume
                assert volume.endswith(":ro"), volume
            else:
                assert source in compose()["volumes"], volume


def test_every_variable_of_the_shell_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert all(":-" in found for found in re.findall(r"\$\{[^}]*\}", text))
