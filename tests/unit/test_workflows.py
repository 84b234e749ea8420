"""The workflows in `.github/workflows`, as far as it can be seen here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_tell_their_version(path: Path) -> None:
    used = re.findall(r"uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_released_chart_pulls_the_released_image(tmp_path: Path) -> None:
    lines = (ROOT / ".github" / "workflows" / "release.yaml").read_text(encoding="utf-8").splitlines()
    (name,) = {line.strip() for line in lines if line.strip().startswith("IMAGE=")}
    (command,) = (line.strip() for line in lines if line.strip().startswith("sed -i "))
    path = "metacontroller/chart/values.yaml"
    (tmp_path / path).parent.mkdir(parents=True)
    before = (ROOT / path).read_text(encoding="utf-8")
    (tmp_path / path).write_text(before, encoding="utf-8")
    environment = {"GITHUB_REPOSITORY_OWNER": "Some-Owner", "PATH": "/usr/bin:/bin"}
    subprocess.run(["bash", "-euc", f"{name}\n{command}"], cwd=tmp_path, env=environment, check=True)
    values = yaml.safe_load(before)
    values["image"]["repository"] = "ghcr.io/some-owner/poddnat"
    assert yaml.safe_load((tmp_path / path).read_text(encoding="utf-8")) == values
