"""Targets: the environment, the folder of the plan, and what must never be shown."""

from pathlib import Path

import pytest

from engine.plan import targets
from engine.plan.errors import PlanErrors
from engine.plan.models import parse_plan_data
from engine.plan.pinned import pin
from engine.plan.targets import expand_targets
from tests.plan.written import HEAD, errors_of, load_text, unmark

TASK = "tasks: [{id: a, run: {shell: x}, idempotent: true}]\n"


def test_targets_are_expanded_and_their_values_are_secrets(tmp_path: Path) -> None:
    text = HEAD + "targets:\n"
    text += '  main: {postgres: "${DATABASE_URL}"}\n  lab: {postgres: embedded}\n'
    text += '  app: {sqlite: "${NAME:-app}.db"}\n  log: {sqlite: "data/${LOG:-log}.db"}\n'
    loaded = load_text(tmp_path, text + TASK)
    url = "postgresql://me:ge%20heim@host:5432/db?password=other"
    resolved = loaded.expand_targets({"DATABASE_URL": url, "NAME": "", "LOG": "today"})
    assert resolved.locations == {
        "main": url,
        "lab": "embedded",
        "app": tmp_path / "app.db",
        "log": tmp_path / "data/today.db",
    }
    assert resolved.secrets == {
        url: "${DATABASE_URL}",
        "today": "${LOG}",
        str(tmp_path / "data/today.db"): "data/${LOG:-log}.db",
        "ge%20heim": "[password of main]",
        "ge heim": "[password of main]",
        "other": "[password of main]",
    }
    assert url not in repr(resolved)
    assert b"heim" not in pin(loaded.plan)


@pytest.mark.parametrize(
    ("conninfo", "secrets"),
    [
        ("host=h password=geheim dbname=d", {"geheim"}),
        ("host=h password = 'ge heim'", {"ge heim"}),
        (r"password='it\'s' host=h", {r"it\'s", "it's"}),
        ("PASSWORD=x", {"x"}),
        ("host=h dbname=d", set()),
        ("postgresql://me@host/db", set()),
        ("postgresql://me:a:b@host/db", {"a:b"}),
        ("postgresql://[bad/db", set()),
    ],
)
def test_passwords_in_a_plan_are_secrets(tmp_path: Path, conninfo: str, secrets: set[str]) -> None:
    quoted = conninfo.replace("'", "''")
    loaded = load_text(tmp_path, HEAD + f"targets: {{db: {{postgres: '{quoted}'}}}}\n" + TASK)
    assert set(loaded.secrets) == secrets
    assert set(loaded.expand_targets({}).secrets) == secrets
    assert any("password" in each.message for each in loaded.warnings) == bool(secrets)


def test_a_password_from_the_environment_within_a_conninfo(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, HEAD + 'targets: {db: {postgres: "host=h password=${PW}"}}\n' + TASK)
    assert loaded.secrets == {}
    assert loaded.expand_targets({"PW": "geheim"}).secrets == {"geheim": "${PW}"}


def test_missing_variables_are_a_warning_for_check_and_an_error_for_a_run(tmp_path: Path) -> None:
    text = (
        HEAD
        + 'targets:\n  db: {postgres: "host=${HOST} user=${USER_} port=${PORT:-5432}"}\n  b: {sqlite: b.db}\n'
    )
    loaded = load_text(tmp_path, text + TASK)
    (warning,) = loaded.missing_variables({"HOST": "h"})
    assert warning.severity == "warning"
    assert warning.message == 'target "db": the environment has no USER_'
    assert (warning.place.line, warning.place.column) == (4, 7)
    assert loaded.missing_variables({"HOST": "h", "USER_": "u"}) == ()
    with pytest.raises(PlanErrors) as caught:
        loaded.expand_targets({})
    (error,) = caught.value.findings
    assert (error.severity, error.place) == ("error", warning.place)
    assert error.message == 'target "db": the environment has no HOST, USER_'


def test_a_target_that_is_empty_once_expanded_is_refused(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, HEAD + 'targets: {db: {postgres: "${URL}"}}\n' + TASK)
    with pytest.raises(PlanErrors, match="nothing is left of it"):
        loaded.expand_targets({"URL": ""})


@pytest.mark.parametrize(
    "path", ["../x.db", "/tmp/x.db", "data/../../x.db", "link/x.db", "link.db", "loop.db"]
)
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "plan"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "link.db").symlink_to(tmp_path / "x.db")
    (folder / "loop.db").symlink_to("loop.db")
    text, (place,) = unmark(HEAD + f"targets: {{db: {{sqlite: §{path}}}}}\n" + TASK)
    (written,) = errors_of(folder, text).findings
    assert (written.place.line, written.place.column) == place
    expanded = load_text(folder, HEAD + 'targets: {db: {sqlite: "${DB}"}}\n' + TASK)
    with pytest.raises(PlanErrors) as caught:
        expanded.expand_targets({"DB": path})
    (found,) = caught.value.findings
    for each in (written, found):
        assert "leads out of the plan's folder" in each.message or "cannot be followed" in each.message


def test_a_value_of_the_environment_is_not_shown_when_it_is_refused(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, HEAD + 'targets: {db: {sqlite: "${DB}"}}\n' + TASK)
    with pytest.raises(PlanErrors) as caught:
        loaded.expand_targets({"DB": "/geheim/x.db"})
    assert "geheim" not in str(caught.value)
    assert "leads out" in str(caught.value)


def test_paths_that_stay_in_the_folder_are_taken(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    loaded = load_text(tmp_path, HEAD + "targets: {a: {sqlite: link/a.db}, b: {sqlite: x/../b.db}}\n" + TASK)
    expected = {"a": tmp_path / "real/a.db", "b": tmp_path / "b.db"}
    assert loaded.expand_targets({}).locations == expected


def test_a_pinned_plan_has_no_places_and_is_told_by_name(tmp_path: Path) -> None:
    plan = parse_plan_data(
        {
            "wesley": 1,
            "name": "shop",
            "targets": {"db": {"postgres": "${URL}"}},
            "tasks": [{"id": "a", "run": {"shell": "x"}}],
        }
    )
    with pytest.raises(PlanErrors) as caught:
        expand_targets(plan, {}, tmp_path)
    assert str(caught.value) == 'shop: targets.db: target "db": the environment has no URL'


def test_what_can_be_told_of_a_postgresql_target_without_connecting_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEAD + "targets:\n"
    text += '  lab: {postgres: "${LAB:-embedded}"}\n  typo: {postgres: "password=hush-hush hots"}\n'
    text += '  unknown: {postgres: "${NOT_SET}"}\n  fine: {postgres: "host=h password=x"}\n'
    loaded = load_text(tmp_path, text + TASK)
    (typo,) = loaded.unfit_servers({})
    assert typo.severity == "warning"
    assert typo.place.line == loaded.target_places["typo"].line
    assert "conninfo cannot be read" in typo.message
    assert "hush" not in typo.message
    monkeypatch.setattr(targets, "find_spec", lambda name: None)
    lab, again = loaded.unfit_servers({})
    assert again == typo
    assert "pip install 'wesley-console[embedded]'" in lab.message
    assert loaded.unfit_servers({"LAB": "host=h"}) == (typo,)


def test_an_embedded_server_asked_for_by_the_environment_is_no_secret(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, HEAD + 'targets: {lab: {postgres: "${LAB}"}}\n' + TASK)
    resolved = loaded.expand_targets({"LAB": "embedded"})
    assert resolved.locations == {"lab": "embedded"}
    assert resolved.secrets == {}
