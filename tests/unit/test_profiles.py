"""Profiles, settings of a user under names: flags win over variables, these over the profile, that over defaults."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator import settings
from orchestrator.configuration import profiles_file
from orchestrator.configuration.names import OF_PREFECT, OTHERWISE_HERE
from orchestrator.configuration.profiles import Profiles, parse, written
from orchestrator.configuration.sources import outside, pass_to_children
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings, describe, reset, use
from task_workers.cli.group import command as all_commands
from tests.support.worker_process import ROOT, clean_environment

Command = Callable[..., Result]
TWO = """
active = "dev"
[profiles.dev]
ORCHESTRATOR_NAMESPACE = "dev"
ORCHESTRATOR_PERSIST_RESULT = true
PREFECT_TASK_DEFAULT_RETRIES = 3
[profiles.quiet]
ORCHESTRATOR_LOG_LEVEL = "ERROR"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the profiles of this test are; nothing else is set."""
    for name in [name for name in os.environ if name.upper().startswith(("ORCHESTRATOR_", "PREFECT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_PROFILE", "")  # so that it is put back, whatever a command makes of it
    made = tmp_path / "config" / "profiles.toml"
    made.parent.mkdir()
    monkeypatch.setenv("ORCHESTRATOR_PROFILES_PATH", str(made))
    return made


@pytest.fixture
def command(file: Path) -> Command:
    """``command("config", "view")``, each with settings that are read anew."""
    before = Settings()

    def run(*words: str) -> Result:
        with use(before):  # whatever was in use is back afterwards
            reset()
            result = CliRunner().invoke(all_commands, words, prog_name="orchestrator")
        os.environ["ORCHESTRATOR_PROFILE"] = ""
        return result

    return run


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_a_variable_wins_over_the_profile_and_that_over_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().namespace == "orchestrator"
    file.write_text(TWO)
    settings = Settings()
    assert (settings.namespace, settings.persist_result, settings.task_default_retries) == ("dev", True, 3)
    assert "namespace" in settings.model_fields_set
    monkeypatch.setenv("ORCHESTRATOR_NAMESPACE", "mine")
    assert Settings().namespace == "mine"
    assert Settings(namespace="given").namespace == "given"
    assert outside(Settings.model_fields).sources["namespace"] == "env"
    monkeypatch.setenv("ORCHESTRATOR_PROFILE", "quiet")
    assert (Settings().namespace, Settings().log_level, Settings().persist_result) == ("mine", "error", False)


def test_a_file_that_was_changed_is_read_again(file: Path) -> None:
    file.write_text(TWO)
    assert Settings().namespace == "dev"
    file.write_text(TWO.replace('"dev"\nORCHESTRATOR_PERSIST', '"other"\nORCHESTRATOR_PERSIST'))
    assert Settings().namespace == "other"
    file.unlink()
    assert Settings().namespace == "orchestrator"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('active = "dev"\n[profiles.dev\n', "at line 2"),
        ('active = "dev"\nx = [', "at line 2, the last one"),
        ("active = 3", "`active` is the name"),
        ("profiles = 3", r"\[profiles.NAME\]"),
        ("[profiles]\ndev = 3", "'dev' is no table"),
        ("[profiles.default]\nORCHESTRATOR_NAMESPACE = [1]", "neither a text, a number nor a truth"),
        ("[profile.dev]", "'profile' is not known"),
        ("[profiles.default]\nORCHESTRATOR_NAMESPCE = 'x'", "did you mean ORCHESTRATOR_NAMESPACE"),
        ("[profiles.default]\nPREFECT_SERVER_ALLOW_EPHEMERAL_MODE = true", "no counterpart here"),
        ("[profiles.default]\nORCHESTRATOR_BEAT_SECONDS = 'often'", "of the profile 'default' is not allowed"),
        ('active = "gone"', "there is no profile 'gone'; there are: default"),
        ("\xff", "UTF-8"),
    ],
    ids=lambda text: text[:40],
)
def test_a_damaged_file_is_told_and_help_is_there_all_the_same(
    text: str, told: str, file: Path, command: Command
) -> None:
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=told):
        Settings()
    assert command("--help").exit_code == 0
    assert command("config", "set", "--help").exit_code == 0
    failed = command("config", "view")
    assert failed.exit_code == 1
    assert len(failed.stderr.splitlines()) == 1


def test_a_profile_that_is_named_must_be_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_PROFILE", "dev")
    with pytest.raises(ConfigurationError, match="orchestrator profile create dev"):
        Settings()
    file.write_text("[profiles.other]")
    with pytest.raises(ConfigurationError, match="there are: default, other"):
        Settings()


def test_a_home_that_is_another_user_s_is_no_error(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_PROFILES_PATH")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "a-file"))
    (tmp_path / "a-file").write_text("")
    assert Settings().namespace == "orchestrator"


def test_profiles_are_written_as_they_are_read() -> None:
    odd = {"ORCHESTRATOR_REDIS_URL": 'redis://:"\\\x00\x7f\u00e9\U0001f600@h', "ORCHESTRATOR_NAMESPACE": ""}
    before = Profiles("of dev", {"of dev": odd, "a.b": {}, "dev": {"ORCHESTRATOR_X": "1"}})
    assert parse(written(before), "file") == before


def test_every_name_of_prefect_means_a_setting() -> None:
    assert set(OF_PREFECT.values()) <= set(Settings.model_fields)


def test_variables_of_prefect_are_taken_on_request_and_ours_win(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://one/api")
    monkeypatch.setenv("PREFECT_HOME", "/nothing")
    assert Settings().api_url is None
    monkeypatch.setenv("ORCHESTRATOR_ACCEPT_PREFECT_VARIABLES", "1")
    assert Settings().api_url == "http://one/api"
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://two/api")
    assert Settings().api_url == "http://two/api"


# -- commands ----------------------------------------------------------------------------------------------------------


def test_a_setting_under_prefect_s_name_is_ours_and_comes_from_the_profile(command: Command, file: Path) -> None:
    said = lines(command("config", "set", "PREFECT_RESULTS_PERSIST_BY_DEFAULT=true", "beat_seconds=3"))
    assert said[0] == "PREFECT_RESULTS_PERSIST_BY_DEFAULT of Prefect is ORCHESTRATOR_PERSIST_RESULT here."
    assert said[-1] == "Updated profile 'default'."
    assert lines(command("config", "view")) == [
        "ORCHESTRATOR_PROFILE='default'",
        "ORCHESTRATOR_BEAT_SECONDS='3' (from profile)",
        "ORCHESTRATOR_PERSIST_RESULT='true' (from profile)",
    ]
    everything = lines(command("config", "view", "--show-defaults", "--hide-sources"))
    assert len(everything) == 1 + len(describe())
    assert "ORCHESTRATOR_LEASE_SECONDS='10'" in everything
    assert Settings().persist_result
    lines(command("config", "unset", "PREFECT_RESULTS_PERSIST_BY_DEFAULT"))
    assert not Settings().persist_result
    assert command("config", "unset", "persist_result").exit_code == 1


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["ORCHESTRATOR_NAMESPCE=x"], 1, "did you mean ORCHESTRATOR_NAMESPACE?"),
        (["PREFECT_API_URI=x"], 1, "did you mean PREFECT_API_URL?"),
        (["ORCHESTRATOR_BEAT_SECONDS=often"], 1, "ORCHESTRATOR_BEAT_SECONDS='often' is not allowed"),
        (["lease_seconds=20", "beat_seconds=15"], 1, "at least twice"),
        (["ORCHESTRATOR_REDIS_URL=http://me:pa55@h"], 1, "not allowed"),
        (["ORCHESTRATOR_ENCRYPTION_KEY=pa55"], 1, "32 characters"),
        (["ORCHESTRATOR_PROFILES_PATH=/x"], 1, "environment variable"),
        (["namespace"], 2, "no NAME=VALUE"),
        (["secret_key: pa55"], 2, "what begins with 'secret_key' is no NAME=VALUE"),
        (["namespace="], 2, "config unset namespace"),
    ],
    ids=lambda value: str(value),
)
def test_what_cannot_be_set_is_told_and_nothing_is_written(
    words: list[str], code: int, told: str, command: Command, file: Path
) -> None:
    failed = command("config", "set", "log_level=debug", *words)
    assert (failed.exit_code, told in failed.stderr) == (code, True), failed.stderr
    assert "pa55" not in failed.stderr
    assert not file.exists()


def test_secrets_are_shown_to_those_who_ask_only(command: Command, file: Path) -> None:
    url = "redis://me:hunter2@h:1/0"
    said = command("config", "set", "server_token=hunter2", f"redis_url={url}").stdout
    for words in (("config", "view"), ("config", "show"), ("profile", "inspect"), ("config", "view", "-o", "json")):
        said += command(*words).stdout
    assert "hunter2" not in said
    assert said.count("********") == 4
    for words in (("config", "view", "--show-secrets"), ("profile", "inspect", "--show-secrets")):
        assert command(*words).stdout.count("hunter2") == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_profiles_from_their_making_to_their_end(command: Command, file: Path) -> None:
    lines(command("config", "set", "namespace=main"))
    lines(command("profile", "create", "dev", "--from", "default"))
    lines(command("--profile", "dev", "config", "set", "namespace=dev"))
    assert Settings().namespace == "main"
    assert lines(command("-p", "dev", "config", "view"))[0] == "ORCHESTRATOR_PROFILE='dev'"
    lines(command("profile", "use", "dev"))
    assert Settings().namespace == "dev"
    assert lines(command("profile", "ls")) == ["  default", "* dev"]
    assert command("profile", "delete", "dev").exit_code == 1
    lines(command("profile", "rename", "dev", "test"))
    assert Settings().namespace == "dev"
    assert lines(command("profile", "inspect", "default")) == ["ORCHESTRATOR_NAMESPACE='main'"]
    lines(command("profile", "use", "default"))
    lines(command("profile", "delete", "test"))
    assert lines(command("profile", "ls")) == ["* default"]
    assert lines(command("config", "validate")) == ["Configuration valid!"]


@pytest.mark.parametrize(
    "words", ["use gone", "inspect gone", "rename gone new", "delete gone", "create two --from gone"]
)
def test_a_profile_that_is_not_there_is_one_line_and_exit_code_1(words: str, command: Command) -> None:
    failed = command("profile", *words.split())
    assert failed.exit_code == 1
    assert "'gone'" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_a_profile_is_never_made_over_another(command: Command, file: Path) -> None:
    file.write_text(TWO)
    assert command("profile", "create", "quiet").exit_code == 1
    assert command("profile", "rename", "dev", "quiet").exit_code == 1
    assert command("profile", "create", "a/b").exit_code == 1
    assert parse(file.read_text(), "").of("quiet") == {"ORCHESTRATOR_LOG_LEVEL": "ERROR"}


def test_validate_finds_what_is_wrong_in_every_profile(command: Command, file: Path) -> None:
    file.write_text(TWO + "ORCHESTRATOR_BEAT_SECONDS = 'often'\n[profiles.other]\nORCHESTRATOR_NAMESPCE = 'x'")
    failed = command("config", "validate")
    assert failed.exit_code == 1
    assert "profile 'quiet': ORCHESTRATOR_BEAT_SECONDS" in failed.stderr
    assert "profile 'other': there is no setting" in failed.stderr


def test_of_many_writers_at_once_none_loses_what_another_wrote(file: Path) -> None:
    def add(number: int) -> None:
        profiles_file.change(lambda profiles: profiles.with_profile(f"p{number}", {"ORCHESTRATOR_NAMESPACE": "x"}))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(parse(file.read_text(), "").settings) == 20


def test_a_link_stays_one_and_a_device_is_never_replaced(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real.toml").write_text(TWO)
    file.symlink_to(tmp_path / "real.toml")
    profiles_file.change(lambda profiles: profiles.with_profile("new", {}))
    assert file.is_symlink()
    assert "new" in parse((tmp_path / "real.toml").read_text(), "").names
    monkeypatch.setenv("ORCHESTRATOR_PROFILES_PATH", os.devnull)
    with pytest.raises(ConfigurationError, match="is no file"):
        profiles_file.change(lambda profiles: profiles)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_programs_that_are_started_keep_these_settings_whatever_becomes_of_the_profile(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in describe():
        monkeypatch.delenv(row.variable, raising=False)
    monkeypatch.setenv("ORCHESTRATOR_NAMESPACE", "")  # put back afterwards
    monkeypatch.setenv("ORCHESTRATOR_PERSIST_RESULT", "")
    monkeypatch.setenv("ORCHESTRATOR_TASK_DEFAULT_RETRIES", "")
    file.write_text(TWO)
    pass_to_children(Settings.model_fields)
    file.write_text(TWO.replace('"dev"', '"quiet"'))
    assert (Settings().namespace, Settings().persist_result, Settings().log_level) == ("dev", True, "info")


def test_without_profiles_nothing_is_loaded_for_them(tmp_path: Path) -> None:
    program = (
        "import sys; from orchestrator.settings import current; current(); "
        "print(sorted({'tomllib', 'fcntl', 'difflib'} & set(sys.modules) - before))"
    )
    environment = clean_environment(ORCHESTRATOR_PROFILES_PATH=str(tmp_path / "none.toml"))
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys, pydantic; before = set(sys.modules); {program}"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr


@pytest.mark.parametrize("name", ["PREFECT_HOME", "prefect_worker_heartbeat_seconds", "PREFECT_SERVER_API_PORT"])
def test_a_setting_of_prefect_that_is_written_elsewhere_is_answered_with_where(command: Command, name: str) -> None:
    failed = command("config", "set", f"{name}=1")
    assert failed.exit_code == 1
    assert f"{name.upper()} is not taken over: {OTHERWISE_HERE[name.upper()]}" in failed.stderr
    with pytest.raises(AttributeError, match=OTHERWISE_HERE[name.upper()][:20]):
        getattr(settings, name.upper())


def test_variables_of_prefect_that_are_not_read_are_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_LOGGING_LOG_PRINTS", "true")
    monkeypatch.setenv("PREFECT_HOME", "/nowhere")
    told = command("config", "view").stderr
    assert "PREFECT_LOGGING_LOG_PRINTS is set and not read: it is ORCHESTRATOR_LOG_PRINTS here" in told
    assert "PREFECT_HOME is set and not read" in told
    monkeypatch.setenv("ORCHESTRATOR_ACCEPT_PREFECT_VARIABLES", "1")
    seen = command("config", "view")
    assert "ORCHESTRATOR_LOG_PRINTS='true'" in seen.stdout
    assert "LOG_PRINTS" not in seen.stderr


def test_every_name_of_ours_that_an_answer_gives_is_a_setting() -> None:
    given = {name for hint in OTHERWISE_HERE.values() for name in re.findall(r"ORCHESTRATOR_[A-Z_]+", hint)}
    known = {row.variable for row in describe()} | {"ORCHESTRATOR_PROFILE", "ORCHESTRATOR_PROFILES_PATH"}
    assert given <= known
    assert not OTHERWISE_HERE.keys() & OF_PREFECT.keys()
