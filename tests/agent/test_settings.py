"""Settings resolve flag > environment > file > default, each with its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import BadSetting, UnknownSetting
from agent.settings import load_settings


def test_each_layer_wins_over_the_ones_below(tmp_path: Path) -> None:
    (tmp_path / "hearth.toml").write_text('top_k = 6\nport = 9000\ncollection = "notes"\n', encoding="utf-8")
    environment = {"HEARTH_HOME": str(tmp_path), "HEARTH_PORT": "9001", "HEARTH_COLLECTION": "work"}
    settings = load_settings({"collection": "flagged", "temperature": None}, environment)
    assert (settings.top_k, settings.port, settings.collection, settings.temperature) == (6, 9001, "flagged", 0.0)
    assert settings.origins["top_k"] == str(tmp_path / "hearth.toml")
    assert settings.origins["port"] == "HEARTH_PORT"
    assert settings.origins["collection"] == "flag"
    rows = {row["name"]: row for row in settings.table()}
    assert rows["temperature"]["origin"] == "default"
    assert rows["home"] == {**rows["home"], "value": str(tmp_path), "origin": "HEARTH_HOME"}


def test_the_home_flag_wins_over_the_environment(tmp_path: Path) -> None:
    settings = load_settings({"home": tmp_path / "a"}, {"HEARTH_HOME": str(tmp_path / "b")})
    assert settings.home == tmp_path / "a"
    assert settings.library_path == tmp_path / "a" / "library"


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "0"), ("port", "eighty"), ("top_k", "-1"), ("temperature", "3"), ("relevance_floor", "1.5")],
)
def test_a_value_out_of_range_names_itself_and_its_origin(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"{name} is '{value}' \\(HEARTH_{name.upper()}\\)") as caught:
        load_settings({}, {f"HEARTH_{name.upper()}": value, "HEARTH_HOME": "/nowhere"})
    assert caught.value.code == "bad_setting"


def test_a_whole_number_serves_as_a_number(tmp_path: Path) -> None:
    (tmp_path / "hearth.toml").write_text("temperature = 1\n", encoding="utf-8")
    assert load_settings({"home": tmp_path}, {}).temperature == 1.0


@pytest.mark.parametrize("line", ["temperature = true", "top_k = 4.5", "port = [1]"])
def test_a_value_of_another_type_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "hearth.toml").write_text(line, encoding="utf-8")
    with pytest.raises(BadSetting):
        load_settings({"home": tmp_path}, {})


def test_an_unknown_name_gets_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting, match="did you mean collection"):
        load_settings({}, {"HEARTH_COLECTION": "x", "HEARTH_HOME": str(tmp_path)})


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "hearth.toml").write_text("port = = 3", encoding="utf-8")
    with pytest.raises(BadSetting, match=r"hearth\.toml"):
        load_settings({"home": tmp_path}, {})


def test_a_librarys_server_is_named_without_its_password(tmp_path: Path) -> None:
    environment = {"HEARTH_HOME": str(tmp_path)}
    for good in ("", "postgresql://ann@host:5433/papers", "postgres://host/papers?sslmode=require"):
        assert load_settings({"library_url": good}, environment).library_url == good
    for bad in (
        "postgresql://ann:secret@host/papers", "postgresql://host/papers?user=a&password=secret", "mysql://host/papers",
        "postgresql://ann:se:secret@host@host/papers", "papers",
    ):  # fmt: skip
        with pytest.raises(BadSetting) as caught:
            load_settings({"library_url": bad}, environment)
        assert "secret" not in str(caught.value)
        assert "PGPASSWORD" in str(caught.value)
