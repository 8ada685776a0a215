"""Broker URLs: what is understood, what is refused and how, and that no password is ever shown."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.errors import InvalidURL
from brokers.urls import ServerAddress, engine_of, masked, parse_url

UNDERSTOOD = [
    ("redis://localhost", ServerAddress("redis", "localhost")),
    ("REDIS://localhost/", ServerAddress("redis", "localhost")),
    ("redis://10.0.0.7:6380/15", ServerAddress("redis", "10.0.0.7", 6380, db=15)),
    ("redis://localhost?db=3", ServerAddress("redis", "localhost", db=3)),
    ("redis://[::1]:7000/1", ServerAddress("redis", "::1", 7000, db=1)),
    ("redis://[::1]", ServerAddress("redis", "::1")),
    ("redis://:pw@h", ServerAddress("redis", "h", password="pw")),
    ("redis://ann:pw@h", ServerAddress("redis", "h", username="ann", password="pw")),
    ("redis://ann@h", ServerAddress("redis", "h", username="ann")),
    ("redis://a%40b:p%3A%2F%40@h", ServerAddress("redis", "h", username="a@b", password="p:/@")),
    ("redis://a:p@w:x@h", ServerAddress("redis", "h", username="a", password="p@w:x")),
    ("redis://h?username=ann&password=p%26w", ServerAddress("redis", "h", username="ann", password="p&w")),
    ("rediss://h:1", ServerAddress("rediss", "h", 1, tls=True)),
    (
        "rediss://h?ssl_cert_reqs=CERT_NONE&ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
        ServerAddress(
            "rediss",
            "h",
            tls=True,
            ssl_cert_reqs="none",
            ssl_ca_certs="/ca.pem",
            ssl_certfile="/c.pem",
            ssl_keyfile="/k.pem",
        ),
    ),
    (
        "rediss://h?ssl_check_hostname=False&ssl_password=p%26w",
        ServerAddress("rediss", "h", tls=True, ssl_check_hostname=False, ssl_password="p&w"),
    ),
    ("unix:///run/r.sock", ServerAddress("unix", path="/run/r.sock")),
    ("unix:///run/user@1000/my%20r.sock?db=2", ServerAddress("unix", path="/run/user@1000/my r.sock", db=2)),
    ("unix://ann:pw@/r.sock", ServerAddress("unix", path="/r.sock", username="ann", password="pw")),
    ("redis+socket:///r.sock?password=pw", ServerAddress("redis+socket", path="/r.sock", password="pw")),
    ("sentinel://h/orders", ServerAddress("sentinel", sentinels=(("h", 26379),), service="orders")),
    (
        "redis+sentinel://u:pw@h1:1,[::2]:2,h3/orders/4?sentinel_username=s&sentinel_password=t",
        ServerAddress(
            "redis+sentinel",
            username="u",
            password="pw",
            sentinels=(("h1", 1), ("::2", 2), ("h3", 26379)),
            service="orders",
            db=4,
            sentinel_username="s",
            sentinel_password="t",
        ),
    ),
    (
        "rediss+sentinel://h/orders?ssl_cert_reqs=required",
        ServerAddress(
            "rediss+sentinel", sentinels=(("h", 26379),), service="orders", tls=True, ssl_cert_reqs="required"
        ),
    ),
]

REFUSED = [
    ("", "scheme: there is none"),
    ("localhost:6379", "scheme: there is none"),
    ("http://h", "scheme: 'http' is not known; use redis://, rediss://, unix://"),
    ("celery+://h", "scheme: 'celery+' is not known"),
    ("celery+amqp://h", "belongs to the Celery engine"),
    ("redis://", "host: there is none"),
    ("redis:///0", "host: there is none"),
    ("redis://:6379", "host: there is none"),
    ("redis://u:pw@", "host: there is none"),
    ("redis://::1", "host: more than one ':'"),
    ("redis://[::1", "host: "),
    ("redis://h:", "port: not a number"),
    ("redis://h:6379x", "port: not a number"),
    ("redis://h:-1", "port: not a number"),
    ("redis://h:\u0661", "port: not a number"),
    ("redis://h:0", "port: 0 is not between 1 and 65535"),
    ("redis://h:65536", "port: 65536 is not between"),
    ("redis://h:" + "9" * 5000, "port: not a number"),
    ("redis://h/one", "db: 'one' is not the number"),
    ("redis://h/0/1", "db: '0/1' is not the number"),
    ("redis://h/-1", "db: '-1' is not the number"),
    ("redis://h?db=x", "db: 'x' is not the number"),
    ("redis://h/1?db=2", "db: given twice"),
    ("redis://h?colour=red", "option: 'colour' is not known; known here: db, username, password"),
    ("redis://h?db", "option: 'db' is not known"),
    ("redis://h?db=1&db=2", "option: db is given twice"),
    ("redis://h?sentinel_password=x", "option: 'sentinel_password' is not known"),
    ("redis://h?ssl_keyfile=/k", "option: ssl_keyfile needs TLS: rediss://"),
    ("rediss://h?ssl_cert_reqs=maybe", "option: ssl_cert_reqs is 'maybe'; use one of none, optional, required"),
    ("rediss://h?ssl_check_hostname=0", "option: ssl_check_hostname is '0'; use true or false"),
    ("redis://:pw@h?password=x", "user or password: given twice"),
    ("redis://:p/w@h", "must be written %2F"),
    ("redis://:p#w@h", "must be written %2F"),
    ("redis://:p?w@h", "must be written %2F"),
    ("unix://", "path: there is none"),
    ("unix:///", "path: there is none"),
    ("unix://run/r.sock", "host: unix:// has none, only a path"),
    ("redis+sentinel://h:26379", "sentinel service: there is none"),
    ("redis+sentinel:///orders", "host: there is none"),
    ("redis+sentinel://h1,,h2/orders", "host: there is none"),
    ("redis+sentinel://h:x/orders", "port: not a number"),
    ("redis+sentinel://h/orders/x", "db: 'x' is not the number"),
]

MASKED = [
    ("redis://h:6379/0", "redis://h:6379/0"),
    ("redis://ann:pw@h:6379/0", "redis://ann:***@h:6379/0"),
    ("redis://:pw@h", "redis://:***@h"),
    ("redis://pw@h", "redis://***@h"),
    ("redis://:p@w@h", "redis://:***@h"),
    ("redis://:p/w?x#y@h:1/0", "redis://:***@h:1/0"),
    ("redis://ann:secret", "redis://ann:***"),
    ("redis://:secret", "redis://:***"),
    ("redis://h:12", "redis://h:12"),
    ("redis://[::1]:6379/x", "redis://[::1]:6379/x"),
    ("redis://h?password=pw&db=1", "redis://h?password=***&db=1"),
    ("redis://h?%70assword=pw", "redis://h?%70assword=***"),
    ("redis://h?password=p&w", "redis://h?password=***"),
    ("sentinel://h/s?sentinel_password=pw", "sentinel://h/s?sentinel_password=***"),
    ("unix:///run/user@1000/r.sock", "unix:///run/user@1000/r.sock"),
    ("unix:///r.sock?password=pw", "unix:///r.sock?password=***"),
    ("celery+amqp://guest:pw@h//", "celery+amqp://guest:***@h//"),
    ("celery+sqs://key:s/cr/t@", "celery+sqs://key:***@"),
    ("celery+amqp://u:p1@h1;amqp://u:p2@h2", "celery+amqp://u:***@h2"),
    ("ann:pw@h", "***"),
    ("", ""),
    ("secret", "***"),
    ("secret/0", "***"),
    ("h?password=pw", "***"),
    ("localhost:6379/0", "localhost:6379/0"),
]


@pytest.mark.parametrize(("url", "address"), UNDERSTOOD, ids=[url for url, _ in UNDERSTOOD])
def test_a_url_is_understood(url: str, address: ServerAddress) -> None:
    assert parse_url(url) == address
    assert engine_of(url) == "redis"


@pytest.mark.parametrize(("url", "message"), REFUSED, ids=[url[:40] for url, _ in REFUSED])
def test_a_malformed_url_is_refused_by_the_name_of_its_part(url: str, message: str) -> None:
    with pytest.raises(InvalidURL) as refused:
        parse_url(url)
    assert message in str(refused.value)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize(("url", "shown"), MASKED, ids=[url for url, _ in MASKED])
def test_a_masked_url_shows_all_but_the_passwords(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize("url", ["celery+amqp://h//", "celery+redis://h/0", "CELERY+sqs://"])
def test_celery_urls_belong_to_the_other_engine(url: str) -> None:
    assert engine_of(url) == "celery"


@pytest.mark.parametrize("url", ["amqp://h", "celery+", "celery+://", "h:6379"])
def test_an_unknown_engine_is_refused_with_the_list_of_schemes(url: str) -> None:
    with pytest.raises(InvalidURL, match=r"scheme: .*redis\+sentinel://.*celery\+"):
        engine_of(url)


def test_an_address_is_frozen_and_its_repr_shows_no_password() -> None:
    address = parse_url("redis+sentinel://u:hush1@h/s?sentinel_password=hush2")
    assert "hush" not in repr(address)
    assert "hush" not in str(address)
    with pytest.raises(FrozenInstanceError):
        address.db = 1  # type: ignore[misc]


# A marked password can be found again in the text, whatever surrounds it.
passwords = st.text(max_size=30).map(lambda text: f"\u2620{text}\u2620")
places = st.sampled_from(
    [
        "redis://:{}@h",
        "redis://ann:{}@h:6379/0",
        "redis://ann:{}@h:63x9/none?colour=red",
        "rediss://h?password={}",
        "rediss://u:p@h/0?ssl_cert_reqs=none&password={}",
        "sentinel://u:p@h1,h2/s?sentinel_password={}",
        "redis+sentinel://u:{}@h1,h2/s/1",
        "unix://u:{}@/run/r.sock",
        "unix:///run/r.sock?password={}",
        "celery+amqp://u:{}@h//vhost",
        "ann:{}@h",
        "http://ann:{}@h",
        "{}",
        "{}/0",
    ]
)


@given(place=places, password=passwords)
def test_masking_never_shows_a_password_percent_encoded_or_raw(place: str, password: str) -> None:
    for written in (password, quote(password, safe="", errors="surrogatepass")):
        shown = masked(place.format(written))
        assert written not in shown
        assert "\u2620" not in shown
        assert "%E2%98%A0" not in shown


@given(place=places, password=passwords)
def test_an_error_never_shows_a_password(place: str, password: str) -> None:
    shown = []
    try:
        shown.append(repr(replace(parse_url(place.format(password)), username=None)))
    except InvalidURL as refused:
        shown += [str(refused), str(refused.__context__)]
    assert "\u2620" not in "".join(shown)


@given(st.text())
def test_masking_and_reading_survive_any_text(text: str) -> None:
    masked(text)
    masked(f"redis://{text}")
    with suppress(InvalidURL):
        parse_url(f"redis://{text}")


@given(password=st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_a_percent_encoded_password_comes_back_as_it_was(password: str) -> None:
    assert parse_url(f"redis://:{quote(password, safe='')}@h").password == password
