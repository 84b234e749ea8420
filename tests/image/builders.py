"""docker, podman or buildah: how an image is built, looked into, and run with a root that can't be written to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "tests" / "image" / "build"
BUILDERS = ("docker", "podman", "buildah")
USER = "65532:65532"

# buildah needs no runtime and no user namespace then.
os.environ.setdefault("BUILDAH_ISOLATION", "chroot")


def working() -> str | None:
    """Name the builder that tests/image/build takes."""
    for name in filter(shutil.which, BUILDERS):
        if subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return name
    return None


@dataclass(frozen=True)
class Image:
    """An image that a builder has."""

    builder: str
    name: str

    def config(self) -> Json:
        """Return what it says about how it is run: User, Env, Entrypoint, Labels and so on."""
        if self.builder == "buildah":
            found: Json = json.loads(_output("buildah", "inspect", "--type=image", self.name))["OCIv1"]["config"]
            return found
        (image,) = json.loads(_output(self.builder, "image", "inspect", self.name))
        config: Json = image["Config"]
        return config

    def is_there(self) -> bool:
        """Tell whether the builder has it, without asking a registry."""
        asked = ["inspect", "--type=image"] if self.builder == "buildah" else ["image", "inspect"]
        return subprocess.run([self.builder, *asked, self.name], capture_output=True, check=False).returncode == 0

    @contextmanager
    def program(self, folder: Path, *, python: bool = False) -> Iterator[list[str]]:
        """Give the command that runs it on the host's network, as its user, with this folder and nothing to write to.

        Arguments for its entry point may follow, or for Python alone.
        """
        # Tests write as another user than the one that reads there.
        readable = ["sh", "-c", 'chmod -R a+rX "$0" && exec "$@"', str(folder)]
        if self.builder == "buildah":
            container = _output("buildah", "from", "--pull-never", self.name)
            mounted = _output("buildah", "mount", container)
            try:
                yield [
                    *readable,
                    *self._in_root(mounted, folder),
                    *self.config()["Entrypoint"][: 1 if python else None],
                ]
            finally:
                _output("buildah", "rm", container)
            return
        name = f"poddnat-test-{os.getpid()}"
        hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        options = ["--rm", f"--name={name}", "--network=host", f"--volume={folder}:{folder}:ro", *hardened]
        try:
            yield [*readable, self.builder, "run", *options, *(["--entrypoint=python"] if python else []), self.name]
        finally:
            subprocess.run([self.builder, "rm", "--force", name], capture_output=True, check=False)

    def _in_root(self, mounted: str, folder: Path) -> list[str]:
        """Do by hand what buildah has no option for: its own "run" leaves the root writable."""
        config = self.config()
        assert config["User"] == USER, config
        script = """
            set -e
            root=$1 folder=$2 workdir=$3
            shift 3
            mkdir -p "$root$folder"
            mount --bind "$root" "$root"
            mount -o remount,bind,ro "$root"
            mount -t proc proc "$root/proc"
            mount --bind /dev "$root/dev"
            mount --bind "$folder" "$root$folder"
            mount -o remount,bind,ro "$root$folder"
            exec chroot --userspec=65532:65532 "$root" env -C "$workdir" -i "$@"
        """
        unshared = ["unshare", "--mount", "sh", "-c", script, "sh", mounted, str(folder)]
        return [*unshared, config["WorkingDir"], *config["Env"]]


def build(builder: str, name: str, base: str) -> Image:
    """Build the project's image over a base."""
    options = [f"--build-arg=BASE_IMAGE={base}", "--label=org.opencontainers.image.version=of-the-test"]
    done = subprocess.run([str(BUILD), name, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return Image(builder, name)


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
