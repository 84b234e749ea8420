"""The command line: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml
from typer.testing import CliRunner, Result

from metacontroller_standin.kubeconfig import kubeconfig as in_memory
from poddnat.cli.audit import Finding, Kind
from poddnat.cli.commands import app
from poddnat.cli.terminal import show
from poddnat.cli.views import findings
from poddnat.files import MANIFESTS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = MANIFESTS / "examples"
VALUES = EXAMPLES / "values.yaml"
NOT_YAML = ["a: [", "\x00"]
POD_WITHOUT_API = "{kind: Pod, metadata: {name: web}, spec: {}}"


def run(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def wrong_values(tmp_path: Path) -> Path:
    """A values file with two mistakes."""
    content = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    content["vpcID"] = 7
    content["networkController"]["natGwPool"][0]["portRangeEnd"] = 70000
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("serve", "emulator", "simulate", "check-config"):
        assert command in result.output


def test_version_is_that_of_the_package_and_of_the_image() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (image,) = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8"))["images"]
    assert run("--version").output == f"poddnat {package}\n"
    assert image["newTag"] == package


@pytest.mark.parametrize("width", [40, 80, 200])
def test_table_keeps_to_the_width_of_the_terminal_with_ids_and_addresses_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr("poddnat.cli.terminal._WIDE", width)
    named = (
        "ngw-bp1uewa15k4iy5e8dn3jr",
        "fwd-emue41jrqx2db4p1aqzi",
        "203.0.113.10:512 to 172.16.1.7:80 (tcp)",
        "ns/web",
    )
    show(findings([Finding(Kind.MISSING, *named, uid="uid", detail="it is not there any more, whoever took it away")]))
    printed = capsys.readouterr().out
    assert set(" ".join(("FINDING", *named)).split()) <= set(printed.split())
    lines = printed.splitlines()
    assert max(map(len, lines)) <= width
    assert [line for line in lines if line != line.rstrip()] == []


# Completion


def completed(*words: str, folder: Path) -> set[str]:
    """Let bash complete the last of these words."""
    program = folder / "poddnat"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m poddnat "$@"\n')
    program.chmod(0o755)
    script = f"""
        eval "$(_PODDNAT_COMPLETE=source_bash poddnat)"
        COMP_WORDS=({" ".join(shlex.quote(word) for word in words)}) COMP_CWORD={len(words) - 1}
        _poddnat_completion poddnat
        echo "${{COMPREPLY[@]}}"
    """
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands(tmp_path: Path) -> None:
    assert completed("poddnat", "a", folder=tmp_path) == {"audit", "adopt"}


def test_kubectl_is_told_how_the_plugins_commands_may_go_on() -> None:
    command = [sys.executable, "-c", "from poddnat.cli import complete_plugin as c; c()", "ports", "-o", ""]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["table", "json", "yaml", ":0"]


def test_plugin_leaves_completion_to_kubectl() -> None:
    command = [sys.executable, "-c", "from poddnat.cli import plugin; plugin()", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "kubectl poddnat" in done.stdout
    assert "check-config" in done.stdout
    assert "completion" not in done.stdout


# simulate


def test_simulate_shows_pods_and_tables_of_the_examples_and_that_nothing_is_left() -> None:
    files = [f"--filename={EXAMPLES / name}.yaml" for name in ("deployment", "statefulset", "game-servers")]
    result = run("simulate", *files, "--values", VALUES)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert len([line for line in lines if line.endswith("Ready")]) == 5
    assert len([line for line in lines if line.endswith("Available")]) == 11
    assert "Workloads deleted: no PodDNAT and no forward entry is left." in lines


def test_simulate_ends_with_1_when_a_pod_is_refused_and_says_why(tmp_path: Path) -> None:
    deployment = (EXAMPLES / "deployment.yaml").read_text(encoding="utf-8")
    path = tmp_path / "typo.yaml"
    path.write_text(deployment.replace('expose-port: "80"', 'expose-port: "http"'))
    result = run("simulate", "-f", path, "--values", VALUES)
    assert result.exit_code == 1
    assert "InvalidAnnotation" in result.output


def test_simulate_names_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    result = run("simulate", "-f", tmp_path / "nothing.yaml", "--values", VALUES)
    assert result.exit_code == 2
    assert str(tmp_path / "nothing.yaml") in result.output
    assert "No such file" in result.output


@pytest.mark.parametrize(
    "content", ["a: [", "\x00", "kind: Service", "- a list", "kind: Pod", POD_WITHOUT_API], ids=repr
)
def test_simulate_refuses_manifests_that_it_can_not_run_in_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifests.yaml"
    path.write_text(content)
    result = run("simulate", "-f", path, "--values", VALUES)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["check-config", "serve", "simulate"])
def test_wrong_values_are_all_told(wrong_values: Path, command: str) -> None:
    manifests: list[str | Path] = ["-f", EXAMPLES / "deployment.yaml"] if command == "simulate" else []
    result = run(command, *manifests, "--values", wrong_values)
    assert result.exit_code == 2
    assert "vpcID" in result.output
    assert "natGwPool[0].portRangeEnd" in result.output


# check-config


def test_check_config_shows_the_pool() -> None:
    result = run("check-config", "--offline", "--values", VALUES)
    assert result.exit_code == 0
    for shown in ("ngw-bp1uewa15k4iy5e8dn3jr", "cn-hangzhou-j", "512-1024", "203.0.113.10, 203.0.113.11"):
        assert shown in result.output


def test_check_config_refuses_the_file_that_is_still_to_be_filled_in() -> None:
    result = run("check-config", "--values", EXAMPLES / "ack-values.yaml")
    assert result.exit_code == 2
    for key in ("clusterID", "regionID", "vpcID", "natGwPool[0].natgwId", "natGwPool[0].zoneId"):
        assert key in result.output


def test_check_config_names_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    result = run("check-config", "--values", tmp_path)
    assert result.exit_code == 2
    assert "can't be read" in result.output


# emulator


def test_emulator_refuses_a_wrong_world_and_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text("regions: [cn-hangzhou]\nnat_gatways: []\n")
    result = run("emulator", "--world", path)
    assert result.exit_code == 2
    assert "nat_gatways" in result.output


def test_emulator_names_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    result = run("emulator", "--world", tmp_path / "nothing.yaml")
    assert result.exit_code == 2
    assert "nothing.yaml" in result.output


def test_emulator_serves_until_interrupted() -> None:
    command = [sys.executable, "-m", "poddnat", "emulator", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        url = program.stdout.readline().split()[5].rstrip(";")
        with urllib.request.urlopen(f"{url}/_emulator/state", timeout=10) as response:
            assert response.status == 200
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0


# serve


@pytest.mark.parametrize("command", ["serve", "emulator"])
@pytest.mark.parametrize("address", ["8080", ":8080", "localhost:http", "127.0.0.1:99999"])
def test_address_that_is_none_is_refused(command: str, address: str) -> None:
    options: list[str | Path] = ["--values", VALUES] if command == "serve" else []
    result = run(command, *options, "--listen", address)
    assert result.exit_code == 2
    assert f"--listen {address}" in result.output


@pytest.mark.parametrize("command", ["serve", "emulator"])
def test_address_that_somebody_has_is_told_in_a_sentence(command: str, kubeconfig: Path) -> None:
    options = ["--values", str(VALUES), "--kubeconfig", str(kubeconfig)] if command == "serve" else []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        program = [sys.executable, "-m", "poddnat", command, *options, "--listen", address]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith(f"--listen {address}: ")
    assert "Address already in use" in done.stderr


@pytest.mark.parametrize("content", [None, "", "a: [", "- a list", "kind: Config"], ids=repr)
def test_kubeconfig_that_can_not_be_used_is_told_in_a_sentence(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    result = run("serve", "--values", VALUES, "--kubeconfig", path, "--listen", "127.0.0.1:0")
    assert result.exit_code == 2
    assert str(path) in result.output


def test_serve_without_kubeconfig_outside_a_cluster_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    result = run("serve", "--values", VALUES, "--listen", "127.0.0.1:0")
    assert result.exit_code == 2
    assert "--kubeconfig" in result.output


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """A kubeconfig of a cluster that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        server = f"http://127.0.0.1:{free.getsockname()[1]}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(in_memory(server)))
    return path


def test_serve_is_alive_but_not_ready_while_the_cluster_does_not_answer(kubeconfig: Path) -> None:
    command = [sys.executable, "-m", "poddnat", "serve", "--values", str(VALUES), "--kubeconfig", str(kubeconfig)]
    with subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        url = next(json.loads(line)["message"].split()[-1] for line in program.stderr if "answering on" in line)
        with urllib.request.urlopen(f"{url}/healthz", timeout=10) as response:
            assert response.status == 200
        with pytest.raises(OSError, match="503"):
            urllib.request.urlopen(f"{url}/readyz", timeout=10)
        program.terminate()
        said = [json.loads(line)["message"] for line in program.stderr]
        assert program.wait(20) == 0
    assert "stopping, by SIGTERM: what is under way is finished first" in said
    assert said[-1] == "stopped"


# serve


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
def test_serve_wants_certificate_and_key_together(tmp_path: Path, option: str) -> None:
    result = run("serve", "--values", VALUES, option, tmp_path / "file")
    assert result.exit_code == 2
    assert result.output == "--tls-cert and --tls-key: give both, or neither\n"


def test_serve_refuses_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    result = run("serve", "--values", VALUES, "--tls-cert", tmp_path / "tls.crt", "--tls-key", tmp_path / "tls.key")
    assert result.exit_code == 2
    assert result.output == f"{tmp_path}/tls.crt can't be read: No such file or directory\n"


def test_serve_refuses_a_token_file_without_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    result = run("serve", "--values", VALUES, "--token-file", tmp_path / "token")
    assert result.exit_code == 2
    assert "has no token in it; put one in, such as openssl rand -hex 32 makes" in result.output
