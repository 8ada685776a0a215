"""TLS: it works, and a certificate that does not is an error of ours that names the setting, within two seconds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError, BrokerUnavailable, TLSFailed
from orchestrator.settings import Settings
from tests.support.apps import basics
from tests.support.certificates import Authority, Certificate
from tests.support.engines import ROOT, RedisFleet, environment_of
from tests.support.fleets import fleet_of
from tests.support.sentinels import SENTINELS_PASSWORD, SERVICE, Sentinel
from tests.support.servers import ServerProcess, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_server,
    # the private server's program speaks no TLS
    pytest.mark.parametrize("server_program", ["redis-server"], indirect=True),
]

BUDGET_SECONDS: Final = 4.0  # the promise is 2 s; this machine may be busy
PASSWORD: Final = "s3cret-pass"
HERE: Final = ("localhost", "127.0.0.1")

ServeTLS = Callable[..., str]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def serve(own_server: Callable[..., ServerProcess], authority: Authority) -> ServeTLS:
    """Start a server with this certificate; returns its URL, to which options can be added."""

    def start(certificate: Certificate, *options: str) -> str:
        port = free_port()
        files = ["--tls-cert-file", str(certificate.certificate), "--tls-key-file", str(certificate.key)]
        files += ["--tls-ca-cert-file", str(authority.file)]
        try:
            own_server("--tls-port", str(port), "--tls-auth-clients", "no", *files, *options)
        except AssertionError:
            if os.environ.get("CI"):
                raise
            pytest.skip("this redis-server speaks no TLS")
        return f"rediss://:{PASSWORD}@localhost:{port}/0?"

    return start


@pytest.fixture
def url(serve: ServeTLS, authority: Authority) -> str:
    """A server with a good certificate that demands none."""
    return serve(authority.certify("server", *HERE), "--requirepass", PASSWORD)


@contextmanager
def fleet_at(url: str) -> Iterator[Fleet]:
    settings = Settings(redis_url=url, namespace="tls", command_timeout_seconds=1.5, connect_timeout_seconds=0.5)
    with fleet_of(settings) as made:
        yield made


def assert_works(url: str) -> None:
    with fleet_at(url):
        assert basics.add.delay(1).state.is_pending()


def refused(url: str, kind: type[BrokerError] = TLSFailed) -> str:
    """What a ``delay`` says, all causes included."""
    with fleet_at(url) as fleet:
        began = time.monotonic()
        with pytest.raises(kind) as caught:
            basics.add.delay(1)
        assert time.monotonic() - began < BUDGET_SECONDS
        said = [repr(fleet.settings)]
    message = str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert PASSWORD not in "\n".join(said)
    assert "ORCHESTRATOR_REDIS_URL" in message
    return message


def test_a_client_and_a_worker_with_certificates_of_their_own(serve: ServeTLS, authority: Authority) -> None:
    ours = authority.certify("client", password="of the key")
    url = serve(authority.certify("server", *HERE), "--requirepass", PASSWORD, "--tls-auth-clients", "yes")
    url += f"ssl_ca_certs={authority.file}&ssl_certfile={ours.certificate}&ssl_keyfile={ours.key}"
    with fleet_at(f"{url}&ssl_password=of%20the%20key") as fleet:
        worker = RedisFleet().start_worker(fleet.settings, "tests.support.apps.basics")
        try:
            assert basics.add.map(range(100), 1).result(timeout=60) == list(range(1, 101))
            later = basics.add.apply_async((basics.add.delay(1),), countdown=0.1)
            assert later.result(timeout=60) == 3
            assert PASSWORD not in worker.output
        finally:
            worker.stop()


def test_a_certificate_of_an_unknown_authority(url: str, authority: Authority, tmp_path: Path) -> None:
    assert "?ssl_ca_certs=" in refused(url)
    assert "?ssl_ca_certs=" in refused(f"{url}ssl_ca_certs={Authority(tmp_path, 'another').file}")
    assert_works(f"{url}ssl_ca_certs={authority.file}")
    assert_works(f"{url}ssl_cert_reqs=none")


def test_a_certificate_for_another_name(serve: ServeTLS, authority: Authority) -> None:
    url = serve(authority.certify("server", "elsewhere.example")) + f"ssl_ca_certs={authority.file}"
    url = url.replace(f":{PASSWORD}@", "")
    message = refused(url)
    assert "localhost" in message
    assert "?ssl_check_hostname=false" in message
    assert_works(f"{url}&ssl_check_hostname=false")


def test_a_certificate_that_has_expired(serve: ServeTLS, authority: Authority) -> None:
    url = serve(authority.certify("server", *HERE, valid_days=-1)) + f"ssl_ca_certs={authority.file}"
    message = refused(url)
    assert "expired" in message
    assert "Renew" in message


def test_a_server_that_demands_a_certificate(serve: ServeTLS, authority: Authority, tmp_path: Path) -> None:
    url = serve(authority.certify("server", *HERE), "--tls-auth-clients", "yes") + f"ssl_ca_certs={authority.file}"
    # A server of TLS 1.3 says no after the handshake; whether its reason arrives before its hanging up is chance.
    assert "ssl_certfile" in refused(url, BrokerError)
    strange = Authority(tmp_path, "another").certify("stranger")
    assert "ssl_certfile" in refused(f"{url}&ssl_certfile={strange.certificate}&ssl_keyfile={strange.key}", BrokerError)
    ours = authority.certify("client")
    url = url.replace(f":{PASSWORD}@", "")
    assert_works(f"{url}&ssl_certfile={ours.certificate}&ssl_keyfile={ours.key}")


def test_files_that_are_none(url: str, authority: Authority, tmp_path: Path) -> None:
    ours, other = authority.certify("client"), authority.certify("other")
    locked = authority.certify("locked", password="of the key")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("this is no certificate")
    for options, named in {
        f"ssl_ca_certs={tmp_path}/none.pem": "Set ssl_ca_certs",
        f"ssl_ca_certs={tmp_path}": "Set ssl_ca_certs",
        f"ssl_ca_certs={nonsense}": "ssl_ca_certs",
        f"ssl_certfile={ours.certificate}&ssl_keyfile={tmp_path}/none.key": "Set ssl_keyfile",
        f"ssl_certfile={ours.certificate}": "ssl_keyfile",
        f"ssl_certfile={ours.certificate}&ssl_keyfile={other.key}": "ssl_keyfile",
        f"ssl_certfile={locked.certificate}&ssl_keyfile={locked.key}": "ssl_password",  # and nobody is asked for it
    }.items():
        assert named in refused(f"{url}{options}"), options


def test_sentinels_over_tls(serve: ServeTLS, authority: Authority, server_program: Path) -> None:
    theirs = authority.certify("server", *HERE)
    url = serve(theirs, "--requirepass", PASSWORD)
    (primary_port,) = re.findall(r"localhost:(\d+)", url)
    port = free_port()
    files = (f"tls-cert-file {theirs.certificate}", f"tls-key-file {theirs.key}", f"tls-ca-cert-file {authority.file}")
    speak = (f"tls-port {port}", "tls-auth-clients no", "tls-replication yes")
    sentinel = Sentinel(server_program, int(primary_port), *files, *speak).start()
    options = f"/{SERVICE}?sentinel_password={SENTINELS_PASSWORD}"
    try:
        assert_works(f"rediss+sentinel://:{PASSWORD}@localhost:{port}{options}&ssl_ca_certs={authority.file}")
        assert "?ssl_ca_certs=" in refused(f"rediss+sentinel://:{PASSWORD}@localhost:{port}{options}")
    finally:
        sentinel.close()


def test_only_one_side_speaks_tls(url: str, own_server: Callable[..., ServerProcess], authority: Authority) -> None:
    plain = own_server(tcp=True)
    assert "rediss://" in refused(url.replace("rediss://", "redis://"), BrokerUnavailable)
    speaks_tls = f"rediss://:{PASSWORD}@127.0.0.1:{plain.port}?ssl_ca_certs={authority.file}"
    assert "write redis://" in refused(speaks_tls, BrokerError)


@pytest.mark.parametrize(
    "command", [("check",), ("worker", "-A", "tests.support.apps.basics")], ids=lambda words: words[0]
)
def test_the_command_line_says_it_without_a_traceback(url: str, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *command],
        env=environment_of(Settings(redis_url=url)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "?ssl_ca_certs=" in done.stderr
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
