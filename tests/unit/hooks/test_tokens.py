"""Bearer tokens: who may call the hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hooks.app import create_app
from hooks.tokens import TokenFileError, Tokens
from tests.hushed import OTHER_TOKEN as OTHER
from tests.hushed import TOKEN
from tests.unit.hooks.test_validation import HOOKS, ONE_OF_EACH, PATHS, request_about
from tests.unit.hooks.world import answer, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from tests.unit.hooks.world import World

WRONG = {
    "nothing": None,
    "no scheme": TOKEN,
    "no token": "Bearer",
    "an empty token": "Bearer ",
    "another token": f"Bearer {OTHER}",
    "the beginning of the token": f"Bearer {TOKEN[:-1]}",
    "more than the token": f"Bearer {TOKEN}0",
    "another scheme": f"Basic {TOKEN}",
    "no ASCII": "Bearer \u00fc",
}


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with running() as world:
        yield world


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def client(shared: World, file: Path) -> FlaskClient:
    return create_app(shared.service, tokens=Tokens(file)).test_client()


def header(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": token}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shown", WRONG.values(), ids=WRONG)
def test_hook_refuses_who_does_not_show_the_token(client: FlaskClient, path: str, shown: str | None) -> None:
    response = client.post(path, data=b"{", headers=header(shown))
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.text.startswith("no valid bearer token: ")


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_hook_answers_who_shows_the_token(shared: World, client: FlaskClient, name: str, scheme: str) -> None:
    shown, body = header(f"{scheme} {TOKEN}"), request_about(shared, name)
    assert answer(lambda: client.post(HOOKS[name], json=body, headers=shown))


def test_each_line_of_the_file_is_a_token(shared: World, file: Path) -> None:
    file.write_text(f"\n{TOKEN}\n  {OTHER}  \n")
    client = create_app(shared.service, tokens=Tokens(file)).test_client()
    answers = [client.post("/pod/sync", data=b"{", headers=header(f"Bearer {token}")) for token in (TOKEN, OTHER)]
    assert [response.status_code for response in answers] == [400, 400]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_and_metrics_want_no_token(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_refusal_is_logged_without_what_was_shown(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    client.post("/pod/sync", headers=header(f"Bearer {OTHER}"))
    assert "refused a call of /pod/sync from 127.0.0.1" in caplog.text
    assert OTHER not in caplog.text


def test_token_is_replaced_without_a_restart(file: Path) -> None:
    tokens = Tokens(file)
    file.write_text(f"{TOKEN}\n{OTHER}\n")
    assert (tokens.accept(f"Bearer {TOKEN}"), tokens.accept(f"Bearer {OTHER}")) == (True, True)
    file.write_text(f"{OTHER}\n")
    assert (tokens.accept(f"Bearer {TOKEN}"), tokens.accept(f"Bearer {OTHER}")) == (False, True)


def test_token_is_replaced_as_kubelets_do_it(tmp_path: Path) -> None:
    # A Secret's files are links into a folder that is itself a link, and that one is swapped.
    for number, token in enumerate((TOKEN, OTHER)):
        (tmp_path / f"data-{number}").mkdir()
        (tmp_path / f"data-{number}" / "token").write_text(token)
    (tmp_path / "data").symlink_to("data-0")
    tokens = Tokens(tmp_path / "data" / "token")
    (tmp_path / "next").symlink_to("data-1")
    (tmp_path / "next").rename(tmp_path / "data")
    assert (tokens.accept(f"Bearer {TOKEN}"), tokens.accept(f"Bearer {OTHER}")) == (False, True)


@pytest.mark.parametrize("content", ["", "short", None])
def test_file_that_can_not_be_used_leaves_the_old_tokens_valid(
    file: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Tokens(file)
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert [tokens.accept(f"Bearer {TOKEN}") for _ in range(3)] == [True, True, True]
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == ["ERROR"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has no token in it"),
        (b"\n \n", "has no token in it"),
        (b"hunter2\n", "line 1: a token needs 16 characters or more, such as openssl rand -hex 32 makes"),
        (b"%s\nsome words in one line\n" % TOKEN.encode(), "line 2: a token has letters, digits and -._~+/ only"),
        ("\u5bc6\u7801".encode() * 8, "has a character at byte 0 that no token can have"),
    ],
)
def test_file_that_can_not_be_used_is_refused_without_telling_its_content(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(TokenFileError) as caught:
        Tokens(path)
    assert complaint in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match=f"{tmp_path}/token can't be read: No such file or directory"):
        Tokens(tmp_path / "token")
