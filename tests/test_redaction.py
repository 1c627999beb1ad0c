"""Secrets in texts: the spellings in which users write them, and the messages of the libraries that repeat them."""

from __future__ import annotations

import time

import pytest

from foldtune.redaction import has_raw_password, redacted, remember_secret, shown_url

SECRET = "SuperSecret123"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{SECRET}@db:5432/optuna", "postgresql://db/optuna"),
        (f"POSTGRESQL+psycopg://me:{SECRET}@db/optuna", "POSTGRESQL+psycopg://db/optuna"),
        (f"postgresql://me:%53uper{SECRET}%40@db/optuna", "postgresql://db/optuna"),
        (f"postgresql://me@db/optuna?password={SECRET}", "postgresql://db/optuna"),
        (f"postgresql://db/optuna?sslmode=require&sslpassword={SECRET}#{SECRET}", "postgresql://db/optuna"),
        (f"postgresql://me:{SECRET}@h1:1,h2:2/optuna", "postgresql://h1,h2/optuna"),
        (f"redis://:{SECRET}@[::1]:6379/0", "redis://[::1]/0"),
        (f"s3://KEY:{SECRET}@bucket/runs", "s3://bucket/runs"),
        (f"https://{SECRET}@host/x", "https://host/x"),
        ("s3://bucket/my runs", "s3://bucket/my runs"),
        ("sqlite:////home/me@work/study.db", "sqlite:////home/me@work/study.db"),
        *((f"postgresql://me:{word}@db/x", "postgresql://…") for word in ("a@b", "a/b", "a b", "a?b", "a#b", "1/2")),
        (f"postgresql://me:{SECRET}/x", "postgresql://…"),
    ],
)
def test_of_a_url_scheme_host_and_database_are_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize("word", ["p@ss", "p/ss", "p ss", "p?ss", "p#ss", "a@b@c", "12/34", "\tx"])
def test_a_password_that_cannot_be_told_from_the_rest(word: str) -> None:
    assert has_raw_password(f"postgresql://me:{word}@db/optuna")
    assert has_raw_password(f"me:{word}@db/optuna")


@pytest.mark.parametrize("word", ["p%40ss", "p%2Fss", "${PGPASSWORD}", "pass", ""])
def test_a_password_that_can_be(word: str) -> None:
    assert not has_raw_password(f"postgresql://me:{word}@db/optuna?sslmode=require")


@pytest.mark.parametrize(
    "text",
    [
        f"cannot use 'postgresql://me:{SECRET}@db/x'",
        f"must be text, not ['postgresql://me:{SECRET}@db/x']",
        f"Could not parse SQLAlchemy URL from string 'me:{SECRET}@db/x'",
        f"Could not parse 'postgresql:/me:{SECRET}@db/x'",
        f"no protocol 'S5' in S5://KEY:{SECRET}@bucket/runs",
        f"postgresql://me:p@{SECRET}/q@db/x",
        f"postgresql://me:p {SECRET} q@db/x",
        f"cut off: postgresql://me:{SECRET}",
        f"https://{SECRET}@host/x",
        f"GET https://host/x?token={SECRET}&a=b failed",
        f"connection failed: host=db user=me password={SECRET} dbname=x",
        f"{{'key': 'K', 'secret': '{SECRET}'}}",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"--set search.study_storage=mysql://u:{SECRET}@h/d",
    ],
)
def test_what_has_the_form_of_a_secret_is_hidden(text: str) -> None:
    assert SECRET not in redacted(text)
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "no Ray cluster answers at 'http://head:8265' (refused): is it up?",
        "s3://bucket/runs: leave the credentials out; http://[::1]:8265",
        "the cluster requires a token: put it into ~/.ray/auth_token, or set RAY_AUTH_TOKEN",
        "write to admin@example.org, 12:30; loss.focal.gamma: must be > 0",
        "write ${PGPASSWORD} in the place of the password",
        "targets.a.data.train: /data/a:b/c.csv: no such file",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert redacted(text) == text


def test_secrets_of_this_process_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc/def+ghi")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/home/me/token")
    remember_secret("p@ss wörd")
    text = redacted("SignatureError abc/def+ghi, abc%2Fdef%2Bghi; invalid port: 'p@ss wörd', p%40ss%20w%C3%B6rd")
    assert text == "SignatureError ***, ***; invalid port: '***', ***"
    assert redacted("/home/me/token") == "/home/me/token"


def test_long_texts_take_no_time() -> None:
    for text in ("a" * 200_000, "a-." * 60_000, "x:/" * 60_000, "a:b " * 50_000, "'" * 100_000):
        started = time.process_time()
        redacted(text)
        assert time.process_time() - started < 2
