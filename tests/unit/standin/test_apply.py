from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacontroller_standin import apply
from metacontroller_standin.answers import AnswerError, composite_answer, decorator_answer

Json = dict[str, Any]

PARENT: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {"a": "1", "b": "2"}},
}


def desired(spec: Json) -> Json:
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}


def plan(observed: list[Json], wanted: list[Json], method: str = "InPlace") -> list[apply.Write]:
    return apply.attachments("deco", PARENT, observed, wanted, lambda _: method)


def created(spec: Json) -> Json:
    """What is there after an attachment was created."""
    (write,) = plan([], [desired(spec)])
    obj = copy.deepcopy(write.obj)
    obj["metadata"].update(uid="x", resourceVersion="7", generation=1)
    return obj


@pytest.mark.parametrize(
    ("observed", "last", "wanted", "merged"),
    [
        pytest.param({"a": 1}, {}, {"b": 2}, {"a": 1, "b": 2}, id="others' fields stay"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"b": 2}, {"b": 2}, id="what is no longer wanted goes"),
        pytest.param({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {}}, {"a": {"y": 2}}, id="nested"),
        pytest.param({"l": [1, 2]}, {"l": [1, 2]}, {"l": [3]}, {"l": [3]}, id="plain lists are replaced"),
        pytest.param(
            {"l": [{"name": "a", "x": 1}, {"name": "b"}]},
            {"l": [{"name": "b"}]},
            {"l": [{"name": "c"}, {"name": "a", "y": 2}]},
            {"l": [{"name": "a", "x": 1, "y": 2}, {"name": "c"}]},
            id="lists of named things are merged by name",
        ),
        pytest.param({"l": [{"k": 1}]}, {}, {"l": [{"k": 2}]}, {"l": [{"k": 2}]}, id="no merge key"),
        pytest.param({"a": {"x": 1}}, {}, {"a": None}, {"a": None}, id="null is a value"),
    ],
)
def test_merge(observed: Json, last: Json, wanted: Json, merged: Json) -> None:
    assert apply.merge(observed, last, wanted) == merged


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "yz"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abname"), inner, max_size=3),
    max_leaves=10,
)
specs = st.dictionaries(st.sampled_from(["a", "b", "name"]), values, max_size=3)


@given(specs)
def test_the_same_answer_plans_nothing(spec: Json) -> None:
    assert plan([created(spec)], [desired(spec)]) == []


@given(specs, specs)
def test_an_update_brings_rest(old: Json, new: Json) -> None:
    once = apply.updated_attachment(created(old), created(new))
    assert apply.updated_attachment(once, created(new)) == once


def test_a_new_attachment_is_owned_and_marked() -> None:
    (write,) = plan([], [desired({"a": 1})])
    assert write.verb == "create"
    metadata = write.obj["metadata"]
    assert metadata["namespace"] == "n"
    assert metadata["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True, "blockOwnerDeletion": True}
    ]
    assert metadata["annotations"] == {
        apply.DECORATOR: "deco",
        apply.LAST_APPLIED: (
            '{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"annotations":'
            '{"metacontroller.k8s.io/decorator-controller":"deco"},"name":"t","namespace":"n"},"spec":{"a":1}}'
        ),
    }


@pytest.mark.parametrize(("method", "verbs"), [("InPlace", ["update"]), ("Recreate", ["delete"]), ("OnDelete", [])])
def test_the_update_strategy_decides_about_changes(method: str, verbs: list[str]) -> None:
    writes = plan([created({"a": 1})], [desired({"a": 2})], method)
    assert [write.verb for write in writes] == verbs


def test_terminating_attachments_are_left_alone() -> None:
    going = created({"a": 1})
    going["metadata"]["deletionTimestamp"] = "now"
    assert plan([going], [desired({"a": 2})]) == []
    assert plan([going], []) == []


def test_an_answer_that_changes_nothing_writes_nothing() -> None:
    answer = decorator_answer(b'{"annotations": {"a": "1", "c": null}, "labels": null, "unknown": 1}')
    assert apply.decorated(PARENT, answer) == (None, None)


def test_null_removes_an_annotation() -> None:
    updated, status = apply.decorated(PARENT, decorator_answer(b'{"annotations": {"a": null, "c": "3"}}'))
    assert updated is not None
    assert status is None
    assert updated["metadata"]["annotations"] == {"b": "2", "c": "3"}
    assert PARENT["metadata"]["annotations"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"annotations": {"a": 1}}',
        b'{"attachments": {}}',
        b'{"attachments": [{"kind": "Thing"}]}',
        b'{"resyncAfterSeconds": "5"}',
        b'{"status": []}',
    ],
)
def test_answers_that_cannot_be_decoded_are_refused(text: bytes) -> None:
    with pytest.raises(AnswerError):
        decorator_answer(text)


def test_a_composites_answer_has_defaults() -> None:
    answer = composite_answer(b"{}")
    assert (answer.status, answer.finalized, answer.resync_after) == ({}, False, 0.0)
    with pytest.raises(AnswerError, match="children"):
        composite_answer(b'{"children": [{}]}')
