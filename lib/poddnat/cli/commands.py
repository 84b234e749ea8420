"""The command line: serve the hooks, and try things out."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poddnat import __version__
from poddnat.cli import operate
from poddnat.cli.explain_command import explain
from poddnat.cli.simulate_command import simulate
from poddnat.cli.terminal import Commands, ValuesOption, failure, read_stdin, read_values
from poddnat.cli.try_command import try_out
from poddnat.logs import LogFormat, log_to_stderr
from poddnat.model import HIGHEST_PORT

if TYPE_CHECKING:
    from hooks.certificate import Certificate
    from hooks.replica import Lease
    from hooks.tokens import Tokens

_TYPER: dict[str, Any] = {
    "cls": Commands,
    "no_args_is_help": True,
    "rich_markup_mode": "markdown",
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
app = typer.Typer(**_TYPER)

# Metacontroller calls from another node, so all addresses of the pod are listened on.
EVERYWHERE = "0.0.0.0:8080"

ListenOption = Annotated[str, typer.Option(help="Address and port to answer on.")]
LeaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMESPACE/NAME",
        help="One of several replicas: the one that holds this Lease is active. Always active when left out.",
    ),
]
LeaseSecondsOption = Annotated[
    int,
    typer.Option(
        min=3,
        help="So long after the active replica's last word, another one takes over. The same for all replicas.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(help="Bearer tokens, one a line: callers of the hooks have to show one. Read again on change."),
]
TlsCertOption = Annotated[
    Path | None, typer.Option(help="Speak TLS, with this certificate (PEM). Read again on change.")
]
TlsKeyOption = Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")]
LogFormatOption = Annotated[
    LogFormat | None, typer.Option(help="How to log; when left out: text on a terminal, JSON lines elsewhere.")
]


def main() -> None:
    """Run the command line."""
    app(prog_name="poddnat")


def plugin() -> None:
    """Run the same commands as ``kubectl poddnat``, but leave it to kubectl to set up completion."""
    commands = typer.Typer(add_completion=False, **_TYPER)
    commands.registered_commands, commands.registered_callback = app.registered_commands, app.registered_callback
    commands(prog_name="kubectl poddnat")


def complete_plugin() -> None:
    """Tell kubectl, as ``kubectl_complete-poddnat``, how what is typed after ``kubectl poddnat`` may go on.

    It hands over what stands there, the word under the cursor last. The line after all possibilities is for kubectl:
    0 lets the shell offer files where there is none.
    """
    words = ["poddnat", *sys.argv[1:]]
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_PODDNAT_COMPLETE": "complete_bash"}
    os.environ.update(asked)
    try:
        main()
    finally:
        typer.echo("\n:0")


def _version(asked: bool) -> None:  # noqa: FBT001  # as typer calls it
    if asked:
        typer.echo(f"poddnat {__version__}")
        raise typer.Exit


@app.callback()
def every_command(
    *,
    version: Annotated[  # its callback acts
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Public ports for annotated pods, on Alibaba Cloud NAT gateways."""


@app.command()
def serve(
    values: ValuesOption,
    listen: ListenOption = EVERYWHERE,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="A kubeconfig file; the pod's service account when left out.")
    ] = None,
    lease: LeaseOption = None,
    lease_seconds: LeaseSecondsOption = 15,
    token_file: TokenFileOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    log_format: LogFormatOption = None,
) -> None:
    """Serve the hooks."""
    from hooks.replica import Replica
    from poddnat.kube import KubeError, connect

    log_to_stderr(log_format)
    if str(values) == "-":
        raise failure("--values -: the server follows its values file, so it needs one that stays")
    read = read_values(values)
    host, port = _address(listen)
    held = _lease(lease, lease_seconds)
    tokens, certificate = _tokens(token_file), _certificate(tls_cert, tls_key)
    try:
        replica = Replica(read, values, connect(kubeconfig), host, port, held, tokens=tokens, certificate=certificate)
    except KubeError as error:
        raise failure(str(error)) from error
    except OSError as error:
        raise failure(f"--listen {listen}: {error.strerror or error}") from error
    if tokens is None:
        text = "no --token-file: whoever reaches this server may call its hooks; a NetworkPolicy is the only guard"
        logging.getLogger(__name__).warning(text)
    replica.stop_on_signals()
    if not replica.run():
        raise typer.Exit(code=1)


@app.command()
def emulator(
    listen: ListenOption = "127.0.0.1:9090",
    world: Annotated[
        Path | None, typer.Option(help="What there is in the cloud, or - for the standard input; else an example.")
    ] = None,
) -> None:
    """Run the cloud on loopback."""
    from vpc_emulator import Emulator, EmulatorServer, World, WorldError

    host, port = _address(listen)
    try:
        if str(world) == "-":
            loaded = World.parse(read_stdin(), "the standard input")
        else:
            loaded = World.load(world) if world else World.example()
        server = EmulatorServer(Emulator(loaded), host=host, port=port)
    except WorldError as error:
        raise failure(str(error)) from error
    except UnicodeDecodeError as error:
        raise failure(f"{world} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        what = f"{world} can't be read" if error.filename else f"--listen {listen}"
        raise failure(f"{what}: {error.strerror or error}") from error
    typer.echo(f"VPC and ECS API on {server.url}; stop with Ctrl-C")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.stop()


app.command()(simulate)
app.command("try")(try_out)
app.command("check-config")(operate.check_config)
app.command("ports")(operate.ports)
app.command("explain")(explain)
app.command("audit")(operate.audit)
app.command("adopt")(operate.adopt)
app.command("drain")(operate.drain)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise failure(f"--listen {listen}: give an address and a port, such as 0.0.0.0:8080")
    return host, int(port)


def _lease(text: str | None, seconds: int) -> "Lease | None":
    from hooks.replica import Lease

    if text is None:
        return None
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise failure(f"--lease {text}: give a namespace and a name, such as poddnat-system/poddnat")
    return Lease(namespace, name, seconds)


def _tokens(path: Path | None) -> "Tokens | None":
    from hooks.tokens import TokenFileError, Tokens

    try:
        return Tokens(path) if path is not None else None
    except TokenFileError as error:
        raise failure(str(error)) from error


def _certificate(cert: Path | None, key: Path | None) -> "Certificate | None":
    from hooks.certificate import Certificate, CertificateError

    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise failure("--tls-cert and --tls-key: give both, or neither")
    try:
        return Certificate(cert, key)
    except CertificateError as error:
        raise failure(str(error)) from error
