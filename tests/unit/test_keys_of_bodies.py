"""Keys that are derived for bodies: a few bodies share one, and whoever reads them remembers those that were good."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.client.keys import ProcessKeys
from orchestrator.errors import UntrustedPayload
from orchestrator.serializers import CipherRing
from orchestrator.serializers.encryption import BODIES_OF_A_KEY, MOST_KEPT
from orchestrator.settings import Settings

KEY = b"a key that encrypts " * 2
HERE, ELSEWHERE = ("call", "here"), ("call", "elsewhere")
NAME, SALT, NONCE = slice(0, 4), slice(4, 16), slice(16, 28)


def test_bodies_share_a_key_and_never_a_nonce_and_after_so_many_there_is_a_new_key() -> None:
    ring = CipherRing([KEY])
    bodies = [ring.encrypt(b"the same", HERE) for _ in range(BODIES_OF_A_KEY + 1)]
    assert len({body[NONCE] for body in bodies}) == len(bodies)
    salts = [body[SALT] for body in bodies]
    assert len(set(salts[:-1])) == 1
    assert salts[-1] != salts[0]
    assert {CipherRing([KEY]).decrypt(body, HERE) for body in bodies} == {b"the same"}


def test_bodies_that_share_a_key_cannot_stand_in_for_each_other() -> None:
    ring = CipherRing([KEY])
    one, other = ring.encrypt(b"one", HERE), ring.encrypt(b"other", ELSEWHERE)
    assert one[SALT] == other[SALT]
    assert ring.decrypt(one, HERE) == b"one"
    for moved in (other, one[: NONCE.stop] + other[NONCE.stop :], other[: NONCE.stop] + one[NONCE.stop :]):
        with pytest.raises(UntrustedPayload):
            ring.decrypt(moved, HERE)
    assert ring.decrypt(other, ELSEWHERE) == b"other"


def test_what_others_make_up_takes_no_place_among_the_keys_that_are_remembered() -> None:
    ring = CipherRing([KEY])
    good = CipherRing([KEY]).encrypt(b"good", HERE)
    ring.decrypt(good, HERE)
    for length in (0, 3, 4, 15, 16, 27, 28, 60):
        for _ in range(MOST_KEPT // 4):
            made_up = (good[NAME] + os.urandom(60))[:length]
            with pytest.raises((UntrustedPayload, ValueError)):
                ring.decrypt(made_up, HERE)
    assert list(ring._kept) == [good[: SALT.stop]]


def test_however_many_processes_write_few_keys_are_remembered() -> None:
    ring = CipherRing([KEY])
    for number in range(2 * MOST_KEPT + 1):  # as workers of earlier versions write: a key for each
        assert ring.decrypt(CipherRing([KEY], 1).encrypt(b"%d" % number, HERE), HERE) == b"%d" % number
    assert len(ring._kept) <= MOST_KEPT


def test_threads_share_a_key() -> None:
    ring, reader = CipherRing([KEY]), CipherRing([KEY])

    def there_and_back(number: int) -> list[bytes]:
        return [reader.decrypt(ring.encrypt(b"%d" % number, HERE), HERE) for _ in range(500)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(there_and_back, range(8)))
    assert found == [[b"%d" % number] * 500 for number in range(8)]


def test_each_secret_of_a_block_has_a_key_of_its_own() -> None:
    ring = ProcessKeys(Settings(encryption_key="k" * 32), None).secrets_ring()
    assert ring is not None
    assert ring.encrypt(b"a", HERE)[SALT] != ring.encrypt(b"a", HERE)[SALT]
