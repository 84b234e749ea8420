"""DeleteForwardEntry, and the tokens that make both writes repeatable."""

import pytest
from darabonba.exceptions import UnretryableException

from tests.emulator.support import GATEWAY, Cloud, Refusal
from vpc_emulator import Emulator, Fault


def test_delete_of_unknown_entry_is_not_found(cloud: Cloud) -> None:
    with Refusal("InvalidForwardEntryId.NotFound", 404):
        cloud.delete("fwd-0")


def test_delete_from_another_table_is_not_found(cloud: Cloud) -> None:
    entry_id = cloud.create()
    with Refusal("InvalidForwardEntryId.NotFound", 404):
        cloud.delete(entry_id, forward_table_id="ftb-ngw-2")


def test_delete_on_a_removed_gateway_finds_no_table(cloud: Cloud, emulator: Emulator) -> None:
    entry_id = cloud.create()
    emulator.remove_gateway(GATEWAY)
    with Refusal("InvalidForwardTableId.NotFound", 404):
        cloud.delete(entry_id)
    with Refusal("Invalid.natgwNotExist", 400):
        cloud.entries(forward_table_id=None, nat_gateway_id=GATEWAY)


def test_same_token_and_parameters_create_once(cloud: Cloud) -> None:
    assert cloud.create(client_token="t1") == cloud.create(client_token="t1")
    assert len(cloud.entries()) == 1


def test_same_token_answers_the_first_id_even_after_the_entry_is_deleted(cloud: Cloud) -> None:
    entry_id = cloud.create(client_token="t1")
    cloud.delete(entry_id)
    assert cloud.create(client_token="t1") == entry_id
    assert cloud.entries() == []


def test_same_token_with_other_parameters_is_refused(cloud: Cloud) -> None:
    cloud.create(client_token="t1")
    with Refusal("IdempotentParameterMismatch", 400):
        cloud.create(client_token="t1", external_port="513", internal_port="81")


def test_same_token_with_another_entry_to_delete_is_refused(cloud: Cloud) -> None:
    first, second = cloud.create(), cloud.create(external_port="513", internal_port="81")
    cloud.delete(first, client_token="t2")
    with Refusal("IdempotentParameterMismatch", 400):
        cloud.delete(second, client_token="t2")


def test_token_whose_first_call_is_being_processed_works_later(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("error", action="CreateForwardEntry", code="LastTokenProcessing"))
    with Refusal("LastTokenProcessing", 400):
        cloud.create(client_token="t1")
    cloud.create(client_token="t1")
    assert len(cloud.entries()) == 1


def test_token_of_a_lost_answer_answers_the_entry_that_was_made(cloud: Cloud, emulator: Emulator) -> None:
    emulator.add_fault(Fault("lose-answer", action="CreateForwardEntry"))
    with pytest.raises(UnretryableException):
        cloud.create(client_token="t1")
    assert cloud.create(client_token="t1") == cloud.entries()[0]["ForwardEntryId"]
    assert len(cloud.entries()) == 1


def test_refused_create_leaves_its_token_unused(cloud: Cloud) -> None:
    with Refusal("InvalidExternalIp.NotFound"):
        cloud.create(client_token="t1", external_ip="47.0.0.1")
    cloud.create(client_token="t1")


def test_repeated_delete_with_its_token_succeeds(cloud: Cloud) -> None:
    entry_id = cloud.create()
    cloud.delete(entry_id, client_token="t2")
    cloud.delete(entry_id, client_token="t2")
