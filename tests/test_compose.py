"""docker-compose.yml as it is: read, compared with the code, and run service by service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from typer.main import get_command

from chainwarden.cli import app
from chainwarden.server.tokens import TokenFile
from chainwarden.settings import load_settings
from tests.command import wait_for
from tests.conftest import ROOT
from tests.dashboards.boards import alike
from tests.fetch_anvil import VERSION as ANVIL
from tests.kafka_broker import free_ports
from tests.prometheus import asked, command
from tests.rigs.composed import COMPOSE, CONTAINER, Composed, interpolated, services

OURS = ("node", "simulator", "ingest", "detect")
DOCKERFILE = (CONTAINER / "Dockerfile").read_text(encoding="utf-8")
ENTRY = (CONTAINER / "entry").read_text(encoding="utf-8")
LOADED: Any = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


# --- read --------------------------------------------------------------------------------------


def test_the_compose_file_is_valid() -> None:
    """A strict parser of the Compose specification takes the file, its anchors resolved."""
    resolved = interpolated(LOADED, {})
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(resolved)).validate()
    resolved["services"]["kafka"]["mem_limits"] = "1g"
    with pytest.raises(ValueError, match="mem_limits"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(resolved))


@pytest.mark.parametrize("name", services())
def test_every_service_is_contained(name: str) -> None:
    """Pinned image, no root, no capability, memory and logs bounded, a check; loopback ports."""
    service = services()[name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), f"{service['image']} is not pinned"
    assert int(service["user"].split(":")[0]) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] in ("unless-stopped", "on-failure")
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert service["healthcheck"].get("test") or service["healthcheck"] == {"disable": True}
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source in LOADED["volumes"] or (ROOT / source).is_dir(), volume
    for other in service.get("depends_on", {}):
        assert other in services()


def test_nothing_needs_to_be_set() -> None:
    """Every variable has a default, or is empty on purpose: the file never asks for one."""
    assert ":?" not in COMPOSE.read_text(encoding="utf-8")
    assert services({}) != services({"RPC_URL": "https://node.example/key"})


# --- compared ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [{}, {"RPC_URL": "http://n", "CHAIN": "base", "CHAIN_ID": "8453"}]
)
@pytest.mark.parametrize("name", ["ingest", "detect"])
def test_its_variables_are_settings(name: str, given: dict[str, str]) -> None:
    """They load, a misspelt one would raise; Kafka is the service, the port the one published."""
    found = services(given)
    variables = {k: v for k, v in found[name]["environment"].items() if k.startswith("CHAINWARDEN")}
    settings = load_settings(None, variables)
    assert settings.bus.kind == "kafka"
    host, port = settings.bus.bootstrap_servers.split(":")
    listeners = found[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert listeners == f"PLAINTEXT://{host}:{port}"
    assert settings.server.host == "0.0.0.0"
    assert found["detect"]["ports"] == [f"127.0.0.1:{settings.server.port}:{settings.server.port}"]
    assert f":{settings.server.port}/healthz" in found[name]["healthcheck"]["test"][-1]
    assert settings.chain == given.get("CHAIN", "ethereum")
    exported = dict(re.findall(r"(CHAINWARDEN_\w+)=(\w+)", ENTRY))
    assert load_settings(None, {**variables, **exported}).chain == "simulated"


def test_data_that_is_thrown_away_takes_its_tokens_along(tmp_path: Path) -> None:
    """Grafana's token is kept across starts; with data anew it is made anew, and known to it."""
    composed = Composed(tmp_path, tmp_path)
    data, kept = tmp_path / "data", tmp_path / "grafana-token"
    composed.instead = {"": {"/data": str(data), "/tokens/grafana": str(kept)}}
    data.mkdir()

    def started() -> str:
        words = [*composed.words("detect"), "--no-such-flag"]  # it ends once there are tokens
        done = subprocess.run(words, env=composed.environment("detect"), capture_output=True)
        assert done.returncode == 2, done.stderr
        return kept.read_text(encoding="utf-8").strip()

    kept.write_text("of other data", encoding="utf-8")
    token = started()
    assert started() == token
    found = TokenFile(data / "tokens.json").find(token)
    assert found is not None
    assert found.role == "viewer"


def test_its_commands_are_commands() -> None:
    """What the entry runs is a command that chainwarden has, with flags that it knows."""
    known: Any = get_command(app)
    flags = {name: {f for p in c.params for f in p.opts} for name, c in known.commands.items()}
    for name, spoken in (("ingest", "ingest"), ("detect", "detect"), ("simulator", "simulate")):
        words = services()[name]["command"]
        assert words[0] == name
        assert {word for word in words if word.startswith("--")} <= flags[spoken]
    lines = re.findall(r"(?<=\bchainwarden )(\w+)((?: [\w\"$/-]+)*)", ENTRY)
    for command_, rest in lines:
        if command_ in flags:
            assert set(re.findall(r"--[\w-]+", rest)) <= flags[command_], command_
    assert {"simulate", "token"} <= {command_ for command_, _ in lines}


def test_the_image_is_what_is_tested() -> None:
    """The same anvil, broker and Python, every package, the file's user; secrets stay out."""
    assert f"@foundry-rs/anvil@{ANVIL} " in DOCKERFILE
    kafka = re.search(r"^version=(\S+)", (ROOT / "tests/fetch_kafka.sh").read_text(), re.MULTILINE)
    assert kafka is not None
    assert services()["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    bases = re.findall(r"^FROM (\w+):(\d+\.\d+)\.\d+-\S+", DOCKERFILE, re.MULTILINE)
    assert [name for name, _ in bases] == ["node", "python"]
    assert f'requires-python = ">={bases[1][1]}"' in (ROOT / "pyproject.toml").read_text()
    uid = re.search(r"--uid (\d+)", DOCKERFILE)
    assert uid is not None
    listed = (CONTAINER / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path
        assert f"!{path.split('/')[0]}\n" in listed
    builds = {name: one["build"] for name, one in services().items() if "build" in one}
    assert builds == {
        "detect": {"context": ".", "dockerfile": str((CONTAINER / "Dockerfile").relative_to(ROOT))}
    }
    for name in OURS:
        service = services()[name]
        assert service["user"].split(":")[0] == uid[1]
        assert service["image"] == services()["detect"]["image"]
        for volume in service.get("volumes", []):
            assert volume.split(":")[1] in re.findall(r"(?<=chown chainwarden )(.*)", DOCKERFILE)[0]


def test_prometheus_and_grafana_find_who_is_there() -> None:
    """Each scrape, alert and data source goes to a service on a port that it listens on."""
    found = services()
    prometheus = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text())
    configs = [*prometheus["scrape_configs"], *prometheus["alerting"]["alertmanagers"]]
    targets = [t for one in configs for s in one["static_configs"] for t in s["targets"]]
    folder = ROOT / "dashboards/grafana/provisioning/datasources"
    for path in folder.glob("*.yml"):
        for source in yaml.safe_load(path.read_text())["datasources"]:
            targets.append(source["url"].removeprefix("http://"))
            for value in source.get("secureJsonData", {}).values():
                assert value.removeprefix("$") in found["grafana"]["environment"]
    assert {"ingest:9464", "detect:9464", "alertmanager:9093", "prometheus:9090"} <= set(targets)
    ports = {"ingest": "9464", "detect": "9464", "alertmanager": "9093", "prometheus": "9090"}
    assert set(targets) == {f"{name}:{port}" for name, port in ports.items()}
    mounted = {v.split(":")[1]: v.split(":")[0] for v in found["grafana"]["volumes"]}
    boards = ROOT / "dashboards/grafana/provisioning/dashboards"
    for path in boards.glob("*.yml"):
        for provider in yaml.safe_load(path.read_text())["providers"]:
            inside = provider["options"]["path"]
            assert list((ROOT / mounted[inside]).glob("*.json")), inside
    home = Path(found["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / mounted[str(home.parent)] / home.name).is_file()


# --- run ---------------------------------------------------------------------------------------


@dataclass
class Stack:
    """All of ours and a broker, running, healthy by their own checks."""

    composed: Composed
    api: int
    ports: dict[str, int]

    def ask(self, path: str, token: str, body: Any = None) -> Any:
        """An answer of the API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api}/api/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    @property
    def analyst(self) -> str:
        """The token that the first start shows, once, in the log of detect."""
        log = (self.composed.folder / "detect.log").read_text(encoding="utf-8")
        found = re.search(r"this is your token .*\n(?:chainwarden: .*\n)?(\S+)\n", log)
        assert found is not None, log
        return found[1]


@pytest.fixture(scope="module")
def stack(
    kafka_bootstrap: str, anvil_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """``docker compose up`` with nothing set, on a node that mines ten times as fast."""
    folder = tmp_path_factory.mktemp("composed")
    node, ingest, detect = free_ports(3)
    composed = Composed(folder, anvil_binary)
    composed.instead = {
        "": {
            "http://node:8545": f"http://127.0.0.1:{node}",
            "kafka:9092": kafka_bootstrap,
            "127.0.0.1/9092": kafka_bootstrap.replace(":", "/"),
            "/tokens/grafana": str(folder / "tokens" / "grafana"),
            "/run.sh": "env",
        },
        "node": {"8545": str(node)},
        "ingest": {"9464": str(ingest)},
        "detect": {"9464": str(detect)},
    }
    (folder / "tokens").mkdir()
    for name in OURS:
        data = folder / f"data-{name}"
        data.mkdir()
        composed.instead.setdefault(name, {})["/data"] = str(data)
    composed.options = {"node": {"--block-time": "0.2"}, "simulator": {"--pace": "0"}}
    assert composed.healthy("kafka")
    with ExitStack() as running:
        for name in OURS:
            running.enter_context(composed.running(name))
        yield Stack(composed, detect, {"ingest": ingest, "detect": detect})


@pytest.mark.broker
@pytest.mark.anvil
@pytest.mark.timeout(600)
def test_it_runs_from_an_attack_on_the_node_to_an_alert(stack: Stack) -> None:
    """Every service healthy by its own check; what the simulator does is alerted on."""
    found = wait_for(
        "an alert", lambda: stack.ask("alerts?limit=5", stack.analyst)["alerts"], seconds=240
    )
    assert {one["chain"] for one in found} == {"simulated"}
    assert all(stack.composed.healthy(name) for name in ("kafka", "node", "ingest", "detect"))


@pytest.mark.anvil
def test_the_simulated_chain_outlives_its_container(anvil_binary: Path, tmp_path: Path) -> None:
    """The dev node, stopped as Docker stops it and started again, goes on where it was."""
    (port,) = free_ports(1)
    composed = Composed(tmp_path, anvil_binary)
    (tmp_path / "data").mkdir()
    composed.instead = {"node": {"8545": str(port), "/data": str(tmp_path / "data")}}
    composed.options = {"node": {"--block-time": "0.2"}}
    with composed.running("node"):
        first = wait_for("blocks", lambda: block(port, 2), seconds=60)
    with composed.running("node"):
        assert block(port, 2)["hash"] == first["hash"]


def block(port: int, number: int) -> Any:
    """A block of the node, None while there is none."""
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}",
        data=json.dumps({**question, "params": [hex(number), False]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["result"]


@pytest.mark.broker
@pytest.mark.anvil
@pytest.mark.timeout(600)
def test_grafana_asks_with_a_token_that_may_only_look(stack: Stack) -> None:
    """Its entry finds the viewer's token that detect made; without a password it has no admin."""
    shown = entered(stack, {})
    assert shown["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    token = shown["GRAFANA_API_TOKEN"]
    assert token != stack.analyst
    assert stack.ask("status", token)
    label = {"address": "0x" + "11" * 20, "label": "phishing", "author": "x"}
    with pytest.raises(urllib.error.HTTPError) as caught:
        stack.ask("labels", token, label)
    with caught.value as refused:
        assert refused.code == 403
    given = entered(stack, {"GRAFANA_PASSWORD": "secret", "GRAFANA_API_TOKEN": "another"})
    assert given["GF_SECURITY_ADMIN_PASSWORD"] == "secret"
    assert given["GRAFANA_API_TOKEN"] == "another"
    assert "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION" not in given


def entered(stack: Stack, variables: dict[str, str]) -> dict[str, str]:
    """The environment that Grafana itself would be started in."""
    stack.composed.variables = variables
    try:
        words, env = stack.composed.words("grafana"), stack.composed.environment("grafana")
    finally:
        stack.composed.variables = {}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())


@pytest.mark.broker
@pytest.mark.anvil
@pytest.mark.timeout(600)
def test_prometheus_scrapes_both_and_has_the_rules(stack: Stack, tmp_path: Path) -> None:
    """A real one, with the folder that is mounted, its addresses changed; healthy by its check.

    Of both, no two series of a board's panel are called the same.
    """
    (port,) = free_ports(1)
    for path in (ROOT / "dashboards/prometheus").iterdir():
        text = path.read_text(encoding="utf-8")
        for name, where in stack.ports.items():
            text = text.replace(f"{name}:9464", f"127.0.0.1:{where}")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    words = [
        command("prometheus"), f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    if shutil.which("wget") is None:
        pytest.skip("needs wget, which the image has")
    stack.composed.instead["prometheus"] = {"9090": str(port)}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("Prometheus", lambda: stack.composed.healthy("prometheus"), seconds=60)
        url = f"http://127.0.0.1:{port}"
        found = wait_for("both", lambda: both_up(url), seconds=60)
        assert {one["metric"]["job"] for one in found} == {"ingest", "detect"}
        with urllib.request.urlopen(f"{url}/api/v1/rules", timeout=30) as answer:
            groups = json.load(answer)["data"]["groups"]
        assert all(rule["health"] != "err" for group in groups for rule in group["rules"])
        assert groups
        assert alike(lambda expr: asked(url, expr), "simulated") == []
    finally:
        process.terminate()
        process.wait(60)


def both_up(url: str) -> list[dict[str, Any]]:
    """The scrapes that succeed, once both do."""
    found = asked(url, "up == 1")
    return found if len(found) == 2 else []


@pytest.mark.broker
@pytest.mark.anvil
@pytest.mark.parametrize("name", ["node", "simulator"])
def test_with_a_node_of_ones_own_nothing_is_simulated(stack: Stack, name: str) -> None:
    """RPC_URL given: the dev node and who plays on it end at once, and well."""
    stack.composed.variables = {"RPC_URL": "http://127.0.0.1:1"}
    try:
        words, env = stack.composed.words(name), stack.composed.environment(name)
    finally:
        stack.composed.variables = {}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "RPC_URL is given: nothing is simulated\n"
    assert done.stderr == ""
