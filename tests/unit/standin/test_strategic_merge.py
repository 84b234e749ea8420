"""Strategic merge patches, as kubectl sends them."""

from __future__ import annotations

from metacontroller_standin.strategic_merge import strategic_merge

WEB = {"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80}]}
SIDE = {"name": "side", "image": "side:1"}


def test_container_is_changed_beside_the_others() -> None:
    old = {"containers": [WEB, SIDE]}
    order = {"$setElementOrder/containers": [{"name": "web"}, {"name": "side"}]}
    patch = {**order, "containers": [{"name": "web", "image": "nginx:2"}]}
    assert strategic_merge(old, patch) == {"containers": [{**WEB, "image": "nginx:2"}, SIDE]}


def test_container_is_deleted_by_its_name() -> None:
    patch = {"containers": [{"$patch": "delete", "name": "side"}]}
    assert strategic_merge({"containers": [WEB, SIDE]}, patch) == {"containers": [WEB]}


def test_new_container_stands_where_the_order_says() -> None:
    order = [{"name": "side"}, {"name": "web"}]
    patch = {"$setElementOrder/containers": order, "containers": [SIDE]}
    assert strategic_merge({"containers": [WEB]}, patch) == {"containers": [SIDE, WEB]}


def test_finalizers_are_a_set_of_which_one_can_be_taken() -> None:
    assert strategic_merge({"finalizers": ["a"]}, {"finalizers": ["b", "a"]}) == {"finalizers": ["a", "b"]}
    patch = {"$deleteFromPrimitiveList/finalizers": ["a"]}
    assert strategic_merge({"finalizers": ["a", "b"]}, patch) == {"finalizers": ["b"]}


def test_list_without_keys_is_replaced_and_null_removes() -> None:
    old = {"args": ["a"], "command": ["b"], "ports": []}
    assert strategic_merge(old, {"args": ["c"], "command": None}) == {"args": ["c"], "ports": []}


def test_retained_keys_are_all_that_stays() -> None:
    patch = {"$retainKeys": ["type"], "type": "Recreate"}
    assert strategic_merge({"type": "RollingUpdate", "rollingUpdate": {}}, patch) == {"type": "Recreate"}


def test_whole_dictionary_is_replaced_where_the_patch_says_so() -> None:
    assert strategic_merge({"a": 1}, {"$patch": "replace", "b": 2}) == {"b": 2}
