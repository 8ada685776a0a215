"""Where the server is: broker URLs read once, at the door, into a frozen :class:`ServerAddress`.

Every part that cannot be understood is an :class:`~brokers.errors.InvalidURL` that names the part. A password never
appears in a message, a ``repr`` or the outcome of :func:`masked`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

from brokers.errors import InvalidURL

DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379

TCP_SCHEMES: Final = ("redis", "rediss")
SOCKET_SCHEMES: Final = ("unix", "redis+socket")
SENTINEL_SCHEMES: Final = ("redis+sentinel", "rediss+sentinel", "sentinel")
KNOWN_SCHEMES: Final = TCP_SCHEMES + SOCKET_SCHEMES + SENTINEL_SCHEMES
CELERY_PREFIX: Final = "celery+"

TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS: Final = (*TLS_FILES, "ssl_password", "ssl_cert_reqs", "ssl_check_hostname")
SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
CERTIFICATE_CHECKS: Final = ("none", "optional", "required")

_SCHEME_PART: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST_AND_PORT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?:(:)([^:]*))?", re.DOTALL)
_HOST_WITH_PORT: Final = re.compile(r"[\w.-]*:[0-9]{2,5}(/[\w/.-]*)?", re.ASCII)
_SECRET_OPTION: Final = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One Redis or Valkey server, or a group of sentinels that know where it is.

    A TCP address has ``host`` and ``port``, a socket address has ``path`` (then ``host`` is empty), a sentinel address
    has ``sentinels`` (pairs of host and port) and ``service``. ``username`` and ``password`` are for the server itself,
    ``sentinel_username`` and ``sentinel_password`` for the sentinels. Certificate options are ``None`` unless given.

    >>> address = parse_url("rediss://app:s3cret@cache.example:6380/2")
    >>> address.host, address.port, address.db, address.tls, "s3cret" in repr(address)
    ('cache.example', 6380, 2, True, False)
    """

    scheme: str
    host: str = ""
    port: int = DEFAULT_PORT
    path: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: bool = False
    ssl_cert_reqs: str | None = None
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def parse_url(url: str) -> ServerAddress:
    """Read the URL of a Redis or Valkey server.

    Understood are ``redis://`` and ``rediss://`` (TLS) as ``[user:password@]host[:port][/db]``, ``unix://`` and its
    alias ``redis+socket://`` as ``[user:password@]/path.sock[?db=n]``, and ``redis+sentinel://`` (``sentinel://``),
    ``rediss+sentinel://`` as ``[user:password@]host[:port],host[:port].../service[/db]``. Options after ``?``: ``db``,
    ``username``, ``password``; for sentinels ``sentinel_username``, ``sentinel_password``; with TLS:

    - ``ssl_ca_certs``: file of the authority that signed the server's certificate, where the system does not know it
    - ``ssl_certfile``, ``ssl_keyfile``, ``ssl_password``: our own certificate, its key and what the key is locked with
    - ``ssl_check_hostname=false``: the certificate may be for another name (the nodes of a cluster and what sentinels
      name are often found by their addresses)
    - ``ssl_cert_reqs=none``: any certificate will do; whoever is between us and the server can read and change all

    Raises :class:`~brokers.errors.InvalidURL`, which names the part that is wrong.

    >>> parse_url("redis+sentinel://h1,h2:26380/orders/3").sentinels
    (('h1', 26379), ('h2', 26380))
    >>> parse_url("unix:///run/valkey.sock?db=1").path
    '/run/valkey.sock'
    """
    try:
        return _parse(url)
    except _Misread as misread:
        raise InvalidURL(f"broker URL {masked(url)!r}: {misread}") from None


def engine_of(url: str) -> Literal["redis", "celery"]:
    """Say which engine a broker URL belongs to: ``"redis"`` or ``"celery"``. Looks at the scheme only.

    Raises :class:`~brokers.errors.InvalidURL` for a scheme that neither knows.

    >>> engine_of("celery+amqp://guest:guest@localhost//"), engine_of("rediss://cache.example")
    ('celery', 'redis')
    """
    try:
        return "celery" if _scheme(url).startswith(CELERY_PREFIX) else "redis"
    except _Misread as misread:
        raise InvalidURL(f"broker URL {masked(url)!r}: {misread}") from None


def masked(url: str) -> str:
    """The URL as it may be shown: every password is ``***``. Never raises, also for what is not a URL at all.

    Of a URL that cannot be understood rather too much is hidden than too little.

    >>> masked("redis://app:s3cret@cache.example/0")
    'redis://app:***@cache.example/0'
    >>> masked("redis://:odd/p@ss?word@cache.example")
    'redis://:***@cache.example'
    >>> masked("s3cret"), masked("localhost:6379/0")
    ('***', 'localhost:6379/0')
    """
    text = str(url)
    understood = _is_understood(text)
    found = _SCHEME_PART.match(text)
    if found is None and text and not _HOST_WITH_PORT.fullmatch(text):
        return "***"  # a password in the wrong variable looks no different
    start = found.end() if found else 0
    rest = _masked_query(text[start:], only_values=understood)
    # In a broken URL a password may hold any character: only the last "@" of all surely ends it.
    end = _authority_end(rest) if understood else len(rest)
    userinfo, at, _ = rest[:end].rpartition("@")
    if at:
        return text[:start] + _masked_userinfo(userinfo) + rest[len(userinfo) :]
    return text[:start] + (rest if understood else _masked_port(rest))


class _Misread(Exception):
    """A part of the URL is wrong. Kept apart from InvalidURL, whose message needs ``masked``, which reads the URL."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part}: {why}")


class _Parts(NamedTuple):
    scheme: str
    userinfo: str | None
    hosts: str
    path: str
    query: str
    tls: bool


def _parse(url: str) -> ServerAddress:
    parts = _split(url)
    place = _place(parts)  # before the options: a forgotten host is the likelier reason of an unknown option
    options = _options(parts)
    if place.db and "db" in options:
        raise _Misread("db", "given twice, in the path and as an option")
    username, password = _credentials(parts, options)
    return replace(
        place,
        db=_db(options["db"]) if "db" in options else place.db,
        username=username,
        password=password,
        tls=parts.tls,
        ssl_cert_reqs=_certificate_check(options.get("ssl_cert_reqs")),
        ssl_ca_certs=options.get("ssl_ca_certs"),
        ssl_certfile=options.get("ssl_certfile"),
        ssl_keyfile=options.get("ssl_keyfile"),
        ssl_password=options.get("ssl_password"),
        ssl_check_hostname=_yes_or_no("ssl_check_hostname", options.get("ssl_check_hostname", "true")),
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _scheme(url: str) -> str:
    known = ", ".join(f"{name}://" for name in KNOWN_SCHEMES) + f" or {CELERY_PREFIX}<a kombu URL>"
    found = _SCHEME_PART.match(url) if isinstance(url, str) else None
    if found is None:
        raise _Misread("scheme", f"there is none; a broker URL starts with {known}")
    scheme = found[1].lower()
    if scheme in KNOWN_SCHEMES or (scheme.startswith(CELERY_PREFIX) and scheme != CELERY_PREFIX):
        return scheme
    raise _Misread("scheme", f"{scheme!r} is not known; use {known}")


def _split(url: str) -> _Parts:
    scheme = _scheme(url)
    if scheme.startswith(CELERY_PREFIX):
        raise _Misread("scheme", f"{scheme}:// belongs to the Celery engine, it is not the address of a Redis server")
    rest = url[len(scheme) + len("://") :]
    end = _authority_end(rest)
    userinfo, at, hosts = rest[:end].rpartition("@")
    path, _, query = rest[end:].partition("?")
    # What follows the host is about to be quoted in messages: make sure first that it is no half of a password.
    if "#" in rest or "@" in query or ("@" in path and scheme not in SOCKET_SCHEMES):
        raise _Misread("user, password or option", "a '/', '?', '#' or '@' inside must be written %2F, %3F, %23 or %40")
    return _Parts(scheme, userinfo if at else None, hosts, path, query, scheme.startswith("rediss"))


def _authority_end(rest: str) -> int:
    return min(at for at in (rest.find("/"), rest.find("?"), len(rest)) if at >= 0)


def _options(parts: _Parts) -> dict[str, str]:
    allowed = ["db", "username", "password"]
    allowed += TLS_OPTIONS if parts.tls else ()
    allowed += SENTINEL_OPTIONS if parts.scheme in SENTINEL_SCHEMES else ()
    options: dict[str, str] = {}
    for pair in filter(None, parts.query.split("&")):
        name, equals, value = pair.partition("=")
        if name in TLS_OPTIONS and not parts.tls:
            raise _Misread("option", f"{name} needs TLS: rediss:// or rediss+sentinel://")
        if name not in allowed or not equals:
            after_a_secret = any(map(_SECRET_OPTION.search, options))  # then it may be the rest of one that held a "&"
            seen = "one after a password" if after_a_secret else repr(name)
            raise _Misread("option", f"{seen} is not known; known here: {', '.join(allowed)}")
        if name in options:
            raise _Misread("option", f"{name} is given twice")
        options[name] = unquote(value)
    return options


def _credentials(parts: _Parts, options: dict[str, str]) -> tuple[str | None, str | None]:
    username, _, password = (parts.userinfo or "").partition(":")
    if (username and "username" in options) or (password and "password" in options):
        raise _Misread("user or password", "given twice, before the '@' and as an option")
    return options.get("username") or unquote(username) or None, options.get("password") or unquote(password) or None


def _certificate_check(word: str | None) -> str | None:
    if word is None:
        return None
    check = word.lower().removeprefix("cert_")  # CERT_REQUIRED is how Celery spells it
    if check not in CERTIFICATE_CHECKS:
        raise _Misread("option", f"ssl_cert_reqs is {word!r}; use one of {', '.join(CERTIFICATE_CHECKS)}")
    return check


def _yes_or_no(option: str, word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise _Misread("option", f"{option} is {word!r}; use true or false")
    return word.lower() == "true"


def _place(parts: _Parts) -> ServerAddress:
    """The part of the address that says where: host, socket or sentinels, and the database."""
    if parts.scheme in SOCKET_SCHEMES:
        if parts.hosts:
            raise _Misread("host", f"{parts.scheme}:// has none, only a path: {parts.scheme}:///path/to.sock")
        if parts.path in ("", "/"):
            raise _Misread("path", f"there is none; write {parts.scheme}:///path/to.sock")
        return ServerAddress(parts.scheme, path=unquote(parts.path))
    if parts.scheme in SENTINEL_SCHEMES:
        sentinels = tuple(_host_and_port(one, DEFAULT_SENTINEL_PORT) for one in parts.hosts.split(","))
        service, _, number = parts.path.removeprefix("/").partition("/")
        if not service:
            raise _Misread("sentinel service", f"there is none; write {parts.scheme}://host:26379/service")
        return ServerAddress(parts.scheme, sentinels=sentinels, service=unquote(service), db=_db(number))
    host, port = _host_and_port(parts.hosts, DEFAULT_PORT)
    return ServerAddress(parts.scheme, host=host, port=port, db=_db(parts.path.removeprefix("/")))


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None:
        raise _Misread("host", "more than one ':'; an IPv6 address is written in brackets, [::1]:6379")
    host, colon, port = (found[1] or found[2]), found[3], found[4]
    if not host:
        raise _Misread("host", "there is none; write for example redis://localhost:6379/0")
    if not colon:
        return unquote(host), default_port
    if not _is_number(port):
        # The value is not shown: in redis://user:secret it is the password of someone who forgot the host.
        raise _Misread("port", "not a number between 1 and 65535 (if this is a password, the '@host' is missing)")
    if not 1 <= int(port) <= 65535:
        raise _Misread("port", f"{port} is not between 1 and 65535")
    return unquote(host), int(port)


def _db(number: str) -> int:
    if number and not _is_number(number):
        raise _Misread("db", f"{number!r} is not the number of a database, 0 or more")
    return int(number or "0")


def _is_number(text: str) -> bool:
    return len(text) <= 9 and text.isascii() and text.isdigit()  # int() refuses thousands of digits


def _is_understood(url: str) -> bool:
    try:
        _parse(url)
    except _Misread:
        return False
    return True


def _masked_query(rest: str, only_values: bool) -> str:
    before, mark, query = rest.partition("?")
    pairs = []
    for pair in query.split("&"):
        name, equals, _ = pair.partition("=")
        if equals and _SECRET_OPTION.search(unquote(name)):
            pairs.append(f"{name}=***")
            if not only_values:  # the password may have held the "&"
                break
        else:
            pairs.append(pair)
    return before + mark + "&".join(pairs)


def _masked_userinfo(userinfo: str) -> str:
    username, colon, _ = userinfo.partition(":")
    # A lone word before "@" is a password that lost its colon more often than it is a user without a password.
    return f"{username}:***" if colon else "***"


def _masked_port(rest: str) -> str:
    """Hide a port that is none: ``redis://user:secret`` is what remains when someone forgets the host."""
    hosts, colon, port = rest.partition(":")
    if rest.startswith("[") or not colon or re.match(r"[0-9]*([,/?#]|$)", port):
        return rest
    return f"{hosts}:***"
