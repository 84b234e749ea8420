"""What people and programs expect of any command line: help, the standard input, JSON, pipes, logs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner, Result

from poddnat.cli.commands import app
from poddnat.files import MANIFESTS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

VALUES = MANIFESTS / "examples" / "values.yaml"
DEPLOYMENT = MANIFESTS / "examples" / "deployment.yaml"
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]
OUTPUT = ["adopt", "audit", "check-config", "explain", "ports", "simulate"]
NO_OUTPUT = ["emulator", "serve", "try"]


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_h_helps(command: str) -> None:
    short, long = (run(*filter(None, [command]), option) for option in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.output == long.output


def test_every_command_that_ends_by_itself_writes_for_programs() -> None:
    assert sorted([*OUTPUT, "drain", *NO_OUTPUT]) == COMMANDS
    for command in [*OUTPUT, "drain"]:
        assert "--output" in run(command, "--help").output


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["prots"], "No such command 'prots'. Did you mean 'ports'?"),
        (["ports", "--valeus", "x"], "No such option: --valeus (Possible options: --values)"),
        (["explain"], "Missing argument 'POD'."),
        (["drain", "--timeout", "soon"], "Invalid value for '--timeout'"),
        (["drain", "surplus"], "unexpected extra argument"),
    ],
)
@pytest.mark.parametrize("output", [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"]])
def test_misuse_is_told_as_json_where_that_was_asked_for(command: list[str], says: str, output: list[str]) -> None:
    result = run(*command, *output)
    assert result.exit_code == 2
    assert result.stderr == ""
    assert says in json.loads(result.stdout)["error"]


def test_misuse_is_told_as_text_where_nothing_or_a_table_was_asked_for() -> None:
    for output in ([], ["-o", "table"], ["-o", "json", "-o", "table"], ["-o", "xml"]):
        result = run("ports", *output, "--valeus", "x")
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "Usage: " in result.stderr


@pytest.mark.parametrize("command", OUTPUT)
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_failure_is_written_in_the_form_that_was_asked_for(command: str, output: str) -> None:
    needed = {"explain": ["default/web"], "simulate": ["-f", str(DEPLOYMENT)]}.get(command, [])
    result = run(command, *needed, "--values", "nowhere.yaml", "-o", output)
    assert result.exit_code == 2
    assert result.stderr == ""
    assert "nowhere.yaml can't be used" in yaml.safe_load(result.stdout)["error"]  # JSON is YAML.


def test_failure_is_a_sentence_where_nothing_was_asked_for() -> None:
    run("check-config", "--values", "nowhere.yaml", "-o", "json")
    result = run("check-config", "--values", "nowhere.yaml")
    assert result.stdout == ""
    assert result.stderr.startswith("nowhere.yaml can't be used")


def test_values_are_read_from_the_standard_input() -> None:
    result = run("check-config", "--offline", "--values", "-", stdin=VALUES.read_text(encoding="utf-8"))
    assert result.exit_code == 0
    assert "ngw-bp1uewa15k4iy5e8dn3jr" in result.stdout
    wrong = run("check-config", "--offline", "--values", "-", stdin="a: [")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("the standard input can't be used")


def test_world_is_read_from_the_standard_input() -> None:
    result = run("emulator", "--world", "-", stdin="nonsense: 1")
    assert result.exit_code == 2
    assert "nonsense" in result.output


def test_server_refuses_values_that_can_not_be_followed() -> None:
    result = run("serve", "--values", "-", stdin=VALUES.read_text(encoding="utf-8"))
    assert result.exit_code == 2
    assert "--values -" in result.output


def test_nothing_that_is_piped_ends_in_blanks() -> None:
    for options in (["check-config", "--offline"], ["simulate", "-f", str(DEPLOYMENT)]):
        result = run(*options, "--values", VALUES)
        assert [line for line in result.stdout.splitlines() if line != line.rstrip()] == []


def test_librarys_warning_is_no_line_of_the_log_and_an_error_of_theirs_is_json() -> None:
    script = """
import logging, warnings
from poddnat.logs import LogFormat, log_to_stderr
log_to_stderr(LogFormat.JSON)
warnings.warn("printed by a library")
logging.getLogger("urllib3.connectionpool").warning("Connection pool is full")
logging.getLogger("urllib3.connectionpool").error("broken")
logging.getLogger("poddnat.x").warning("ours")
logging.getLogger("hooks.x").info("ours too")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["broken", "ours", "ours too"]


def make(folder: Path, *targets: str) -> str:
    """Run make in a folder."""
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *targets]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_virtual_environment_notices_that_its_folder_was_moved(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    shutil.copy(ROOT / "Makefile", before)
    make(before, ".venv/created")
    assert "up to date" in make(before, ".venv/created")
    before.rename(after)
    told = subprocess.run([after / ".venv/bin/poddnat"], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "this folder was moved" in told.stderr
    make(after, ".venv/created")
    assert str(after) in (after / ".venv/bin/poddnat").read_text(encoding="utf-8")
    assert "up to date" in make(after, ".venv/created")
