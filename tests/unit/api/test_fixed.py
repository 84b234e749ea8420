"""Whose a fixed pod's PodDNAT is."""

from __future__ import annotations

import pytest

from poddnat.api import Owner

OWNER = Owner("apps.kruise.io/v1beta1", "StatefulSet", "arena", "uid-1")


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (Owner("apps.kruise.io/v1beta1", "StatefulSet", "arena", "uid-2"), True),
        (Owner("apps.kruise.io/v1", "StatefulSet", "arena", "uid-1"), True),
        (Owner("apps/v1beta1", "StatefulSet", "arena", "uid-1"), False),
        (Owner("v1", "StatefulSet", "arena", "uid-1"), False),
        (Owner("apps.kruise.io/v1beta1", "CloneSet", "arena", "uid-1"), False),
        (Owner("apps.kruise.io/v1beta1", "StatefulSet", "arena-2", "uid-1"), False),
    ],
    ids=["made-anew", "newer-version", "other-group", "core-group", "other-kind", "other-name"],
)
def test_owner_is_the_same_by_group_kind_and_name(other: Owner, *, alike: bool) -> None:
    assert OWNER.is_like(other) is alike
