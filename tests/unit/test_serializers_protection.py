"""Bodies that are signed and encrypted as the fleet's keys say, and those that are refused."""

from __future__ import annotations

import hmac
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.messages import Delivery, Status
from orchestrator import serializers, task
from orchestrator.errors import EncryptionKeyMissing, SerializationError, UntrustedPayload
from orchestrator.runs.run_ids import new_run_id
from orchestrator.serializers import (
    NO_PROTECTION,
    CipherRing,
    KeyRing,
    Protection,
    disclose,
    enclose,
    pack_call,
    pack_value,
    protect,
    set_key_ring,
    unpack_call,
    unpack_value,
)
from orchestrator.serializers.outcomes import enclosed, flow_message, message_of_flow, pack_outcome, read_outcome
from orchestrator.serializers.signing import MacKey
from orchestrator.slots.acks import Refusal
from orchestrator.slots.decoding import AttemptBuilder
from orchestrator.submission.signed_calls import call_context
from orchestrator.testing import inline

ROOT = Path(__file__).parents[2]
NEW, OLD = b"new key " * 4, b"old key " * 4
RUN, OTHER_RUN = new_run_id(), new_run_id()
TELLTALE = "4111-1111-1111-1111"


@pytest.fixture(autouse=True)
def unprotected_afterwards() -> Iterator[None]:
    yield
    protect(NO_PROTECTION)
    set_key_ring(lambda: None)


def sign(*keys: bytes, demands: bool = False) -> None:
    ring = KeyRing(keys)
    set_key_ring(lambda: ring)
    protect(Protection(signs=True, demands=demands))


def encrypt(*keys: bytes) -> None:
    protect(Protection(ciphers=CipherRing(keys)))


def here() -> tuple[str, ...]:
    return ("call", "1", "shop.order", RUN)


def elsewhere() -> tuple[str, ...]:
    return ("call", "1", "shop.order", OTHER_RUN)


# Each way in which bytes of ours are written, and read again.
def _call(context: Any, value: Any) -> bytes:
    return pack_call([value], {}, context=context).body


def _value(context: Any, value: Any) -> bytes:
    return pack_value(value, context=context)


def _json(context: Any, value: Any) -> bytes:
    return pack_value(value, context=context, serializer="json")


def _blob(context: Any, value: Any) -> bytes:
    return enclose(msgpack.packb(value), context)


def _read_call(context: Any, body: bytes) -> Any:
    return unpack_call(body, context=context, upstream_values={})[0][0]


def _read_value(context: Any, body: bytes) -> Any:
    return unpack_value(body, context=context)


def _read_blob(context: Any, body: bytes) -> Any:
    return msgpack.unpackb(disclose(body, context))


WAYS: list[Any] = [
    pytest.param(_call, _read_call, id="call"),
    pytest.param(_value, _read_value, id="value"),
    pytest.param(_json, _read_value, id="json"),
    pytest.param(_blob, _read_blob, id="outcome"),
]
Write = Callable[[Any, Any], bytes]
Read = Callable[[Any, bytes], Any]


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=300))
def test_signatures_are_plain_hmac_sha256(key: bytes, data: bytes) -> None:
    assert MacKey(key).digest(data) == hmac.digest(key, data, "sha256")


@pytest.mark.parametrize(("write", "read"), WAYS)
def test_with_a_key_everything_is_signed_and_nothing_of_it_can_be_changed_or_moved(write: Write, read: Read) -> None:
    sign(NEW)
    body = write(here, TELLTALE)
    assert body[0] & 0x80
    assert read(here, body) == TELLTALE
    with pytest.raises(UntrustedPayload, match="moved here from another call"):
        read(elsewhere, body)
    for index in range(1, len(body)):
        with pytest.raises(UntrustedPayload):
            read(here, body[:index] + bytes((body[index] ^ 1,)) + body[index + 1 :])


@pytest.mark.parametrize(("write", "read"), WAYS)
def test_what_is_not_signed_is_read_until_signatures_are_demanded(write: Write, read: Read) -> None:
    unsigned = write(here, TELLTALE)
    sign(NEW)
    assert read(here, unsigned) == TELLTALE
    sign(NEW, demands=True)
    with pytest.raises(UntrustedPayload, match="ORCHESTRATOR_REQUIRE_SIGNATURE"):
        read(here, unsigned)
    assert read(here, write(here, TELLTALE)) == TELLTALE


@pytest.mark.parametrize(("write", "read"), WAYS)
def test_keys_that_sign_can_be_changed_without_a_pause(write: Write, read: Read) -> None:
    sign(OLD)
    old = write(here, "old")
    sign(NEW, OLD, demands=True)
    assert read(here, old) == "old"
    new = write(here, "new")
    sign(NEW, demands=True)
    assert read(here, new) == "new"
    with pytest.raises(UntrustedPayload, match="another ORCHESTRATOR_SECRET_KEY"):
        read(here, old)


@pytest.mark.parametrize(("write", "read"), WAYS)
def test_an_encrypted_body_tells_nothing_and_cannot_be_changed_or_moved(write: Write, read: Read) -> None:
    encrypt(NEW)
    body = write(here, TELLTALE)
    assert TELLTALE.encode() not in body
    assert body != write(here, TELLTALE)  # equal arguments do not look equal
    assert read(here, body) == TELLTALE
    with pytest.raises(UntrustedPayload, match="moved here from another call"):
        read(elsewhere, body)
    for index in range(1, len(body)):
        with pytest.raises(SerializationError):
            read(here, body[:index] + bytes((body[index] ^ 1,)) + body[index + 1 :])
    for length in range(1, len(body)):
        with pytest.raises(SerializationError):
            read(here, body[:length])


@pytest.mark.parametrize(("write", "read"), WAYS)
def test_without_the_key_an_encrypted_body_is_an_error_that_says_which_key_is_missing(write: Write, read: Read) -> None:
    encrypt(OLD)
    body = write(here, TELLTALE)
    encrypt(NEW, OLD)
    assert read(here, body) == TELLTALE
    encrypt(NEW)
    with pytest.raises(EncryptionKeyMissing, match=body[1:5].hex()) as caught:
        read(here, body)
    assert "old key" not in str(caught.value)
    protect(NO_PROTECTION)
    with pytest.raises(EncryptionKeyMissing, match="set ORCHESTRATOR_ENCRYPTION_KEY"):
        read(here, body)


@pytest.mark.parametrize(("write", "read"), WAYS)
def test_with_both_keys_the_signature_is_checked_before_anything_is_decrypted(write: Write, read: Read) -> None:
    ring = KeyRing([NEW])
    set_key_ring(lambda: ring)
    protect(Protection(signs=True, demands=True, ciphers=CipherRing([OLD])))
    body = write(here, TELLTALE)
    assert TELLTALE.encode() not in body
    assert read(here, body) == TELLTALE
    protect(Protection(demands=True))  # a reader without the key that encrypts, but with the one that signs
    with pytest.raises(UntrustedPayload, match="does not fit"):
        read(here, body[:-1] + bytes((body[-1] ^ 1,)))
    with pytest.raises(EncryptionKeyMissing):
        read(here, body)


def test_a_large_body_is_compressed_before_it_is_encrypted() -> None:
    encrypt(NEW)
    body = pack_value("x" * 100_000, context=here)
    assert len(body) < 2_000
    assert unpack_value(body, context=here) == "x" * 100_000


def test_a_bomb_inside_an_encrypted_body_is_not_inflated() -> None:
    encrypt(NEW)
    bomb = b"\x41" + zlib.compress(msgpack.packb(b"\0" * 50_000_000), 9)
    body = b"\x04" + CipherRing([NEW]).encrypt(bomb, here())
    limits = serializers.PayloadLimits(max_bytes=1_000_000)
    with pytest.raises(UntrustedPayload, match="1,000,000"):
        unpack_value(body, context=here, limits=limits)


def test_a_bomb_in_the_place_of_an_outcome_is_not_inflated() -> None:
    bomb = b"\x45" + zlib.compress(b"\0" * 300_000_000, 9)
    assert read_outcome(RUN, Status.COMPLETED, bomb).name == "Unreadable"
    ring = CipherRing([NEW])
    protect(Protection(ciphers=ring))
    state = read_outcome(RUN, Status.COMPLETED, b"\x04" + ring.encrypt(bomb, ("outcome", RUN, "C")))
    assert (state.name, type(state.data)) == ("Unreadable", UntrustedPayload)
    assert "grows beyond the limit" in str(state.data)


@pytest.mark.parametrize("inside", [b"", b"\x81" + b"s" * 40, b"\x04" + b"e" * 60, b"\x84" + b"s" * 90])
def test_an_encrypted_body_holds_a_plain_one_and_no_second_wrapper(inside: bytes) -> None:
    ring = CipherRing([NEW])
    protect(Protection(ciphers=ring))
    with pytest.raises(SerializationError):
        unpack_value(b"\x04" + ring.encrypt(inside, here()), context=here)


def test_a_body_cannot_stand_in_for_an_outcome_nor_an_outcome_for_a_body() -> None:
    encrypt(NEW)
    with pytest.raises(SerializationError):
        disclose(pack_value(1, context=here), here)
    with pytest.raises(SerializationError):
        unpack_value(enclose(b"\x01\x01", here), context=here)
    for taken in (4, 5):
        with pytest.raises(ValueError, match="taken"):
            serializers.register_serializer(f"mine-{taken}", lambda *_: b"", lambda *_: None, taken)


@pytest.mark.parametrize("keys", [[], [b""], [b"a", b""]])
def test_a_ring_of_ciphers_without_keys_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        CipherRing(keys)


def test_keys_that_encrypt_do_not_show() -> None:
    assert "key " not in repr(CipherRing([NEW])).replace("keys", "")


def test_without_the_package_encryption_is_an_error_at_the_start_and_never_left_out() -> None:
    program = """
import sys
sys.modules["cryptography"] = None
from orchestrator.errors import ConfigurationError
from orchestrator.fleet import Fleet
from orchestrator.settings import Settings
try:
    Fleet(Settings(redis_url="redis://127.0.0.1:1/0", encryption_key="k" * 32))
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "pip install cryptography" in done.stdout, done.stderr


# -- outcomes --------------------------------------------------------------------------------------------------------


def outcome(value: Any, letter: str = "C", run_id: str = RUN) -> bytes:
    body = pack_value(value, context=lambda: ("result", run_id), enclosed=True)
    return enclosed(run_id, letter, pack_outcome(None, f"said {TELLTALE}", 1.0, 2.0, 1, body))


def test_an_outcome_is_bound_to_its_run_and_to_how_it_ended() -> None:
    sign(NEW, demands=True)
    good = outcome(7)
    assert read_outcome(RUN, Status.COMPLETED, good).result() == 7
    for run_id, status in ((OTHER_RUN, Status.COMPLETED), (RUN, Status.FAILED), (RUN, Status.CANCELLED)):
        state = read_outcome(run_id, status, good)
        assert state.name == "Unreadable"
        assert isinstance(state.data, UntrustedPayload)


def test_an_encrypted_outcome_hides_its_message_too() -> None:
    encrypt(NEW)
    hidden = outcome({"card": TELLTALE})
    assert TELLTALE.encode() not in hidden
    state = read_outcome(RUN, Status.COMPLETED, hidden)
    assert (state.result(), state.message) == ({"card": TELLTALE}, f"said {TELLTALE}")
    encrypt(OLD)
    state = read_outcome(RUN, Status.COMPLETED, hidden)
    assert isinstance(state.data, EncryptionKeyMissing)


def test_nobody_without_the_key_can_make_a_run_complete() -> None:
    unsigned = outcome("forged")
    sign(NEW, demands=True)
    for forged in (unsigned, b"\0", b"\0well", b""):
        state = read_outcome(RUN, Status.COMPLETED, forged)
        assert (state.name, state.is_completed()) == ("Unreadable", False)
    # Ends that the server's scripts write by themselves are nobody's to sign.
    assert read_outcome(RUN, Status.CANCELLED, b"\0cancelled before it started").is_cancelled()


def test_the_message_of_a_flow_run_is_kept_as_carefully() -> None:
    assert flow_message(RUN, TELLTALE) == TELLTALE.encode()
    encrypt(NEW)
    stored = flow_message(RUN, TELLTALE)
    assert TELLTALE.encode() not in stored
    assert message_of_flow(RUN, stored) == TELLTALE
    assert "cannot be read" in message_of_flow(OTHER_RUN, stored)
    assert message_of_flow(RUN, b"") == ""


# -- calls -----------------------------------------------------------------------------------------------------------


def refusal_of(
    task: str, body: bytes, meta: bytes | None, *, run_id: str = RUN, prepare: Callable[[], None] = lambda: None
) -> str:
    """Why a worker refuses this; empty if it does not."""
    with inline() as fleet:
        prepare()
        found = AttemptBuilder(fleet).attempt(Delivery("default:ds 1-0", run_id, task, body, 0, 0, None, meta, 1))
    return f"{type(found.reason).__name__}: {found.reason}" if isinstance(found, Refusal) else ""


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"v": 7, "n": 7}, "version 7 of the envelope"),
        ({"v": 0}, "reads versions from 1 on"),
        ({"v": 2, "zz": "of a later version"}, "UnknownTask"),
        ({"v": "2"}, "'v' that is none"),
        ({"g": 1}, "'g' that is none"),
        ({"o": {}}, "'o' that is none"),
        ({"q": "elsewhere"}, "was moved to 'default'"),
        ({"q": "default"}, "UnknownTask"),
        ({"q": ["elsewhere", "~process"]}, "was moved to 'default'"),
        ({"q": ["default", "~process"]}, "UnknownTask"),
    ],
)
def test_the_meta_is_looked_at_before_the_task_and_the_body(meta: dict[str, Any], told: str) -> None:
    assert told in refusal_of("nobody.knows", b"\x01\x92\x91\x01\x80", msgpack.packb(meta))


@pytest.mark.parametrize("meta", [b"\xc1", b"\x01", b"\x81\x01", b"\x81\xa1u", b"\xff" * 50])
def test_a_meta_that_is_none_is_told(meta: bytes) -> None:
    assert "SerializationError: the call's meta" in refusal_of("nobody.knows", b"\x01\x92\x91\x01\x80", meta)


def test_the_signature_of_a_call_covers_its_task_its_run_and_its_options_and_is_checked_before_any_is_decoded() -> None:
    def demanding() -> None:
        sign(NEW, demands=True)

    demanding()
    meta = msgpack.packb({"q": "default", "g": ["a tag"]})
    body = pack_call([1], {}, context=lambda: call_context("nobody.knows", RUN, meta)).body
    assert "UnknownTask" in refusal_of("nobody.knows", body, meta, prepare=demanding)
    for call in (
        ("another.task", body, meta, RUN),
        ("nobody.knows", body, meta, OTHER_RUN),
        ("nobody.knows", body, msgpack.packb({"q": "default"}), RUN),
        ("nobody.knows", body, None, RUN),
        ("nobody.knows", body, b"\xc1", RUN),  # not even an error of msgpack: nothing was decoded
        ("nobody.knows", b"\x01\x92\x91\x01\x80", b"\xc1", RUN),
    ):
        task, some_body, some_meta, run_id = call
        assert "UntrustedPayload" in refusal_of(task, some_body, some_meta, run_id=run_id, prepare=demanding)


def test_a_call_by_name_from_a_celery_client_which_nobody_signs_is_refused_where_signatures_are_demanded() -> None:
    from task_workers.celery.message_task import CallsOfTask

    @task
    def counted(number: int) -> int:
        return number + 1

    by_name = type("ByName", (CallsOfTask,), {"name": counted.task_key})()
    with inline(secret_key="k" * 32, require_signature=True), pytest.raises(UntrustedPayload, match="called by name"):
        by_name._run_by_name((1,), {})
