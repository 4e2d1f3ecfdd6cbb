"""What the doctor says of the models: the profile, each role, the speed, and the command that mends a shortfall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.assembly import House
from agent.checks import Check
from agent.doctor import examine
from agent.doctor_models import examine_models
from agent.settings import Settings
from models import calibration
from models.machine import Machine
from models.profiles import choose_profile
from models.registry_errors import RegistryBroken
from models.roles import ROLES
from models.serving import Roles
from tests.models.conftest import save_tiny_chat, save_tiny_encoder

GB = 10**9
LAPTOP = Machine(memory_bytes=16 * GB, free_memory_bytes=8 * GB, cores=4, disk_free_bytes=200 * GB)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house on a laptop, with tiny models named by its settings."""
    monkeypatch.setattr("models.serving.machine_of", lambda home: LAPTOP)
    for name in ("_CHAT_SECONDS", "_EMBED_SECONDS", "_MEMORY_SECONDS"):
        monkeypatch.setattr(calibration, name, 0.05)
    monkeypatch.setattr(calibration, "_ARRAY_BYTES", 2**20)
    (tmp_path / "home" / "models").mkdir(parents=True)
    return House(
        Settings(
            home=tmp_path / "home",
            chat_model=str(save_tiny_chat(tmp_path / "chat")),
            embed_model=str(save_tiny_encoder(tmp_path / "embed")),
        )
    )


def checks(house: House, **options: Any) -> dict[str, Check]:
    return {check.name: check for check in examine_models(house, **{"calibrate": False, **options})}


def test_the_profile_and_every_role_are_named(house: House) -> None:
    found = checks(house)
    assert set(found) == {"profile", "speed", "next profile", *(f"role {role}" for role in ROLES)}
    assert all(check.ok for check in found.values())
    assert found["profile"].found.startswith("small, the largest that fits 4 CPU cores, 16.0 GB")
    assert found["profile"].mend == "hearth models pull --profile small"
    assert "the setting chat_model names it" in found["role chat"].found
    assert "comes with Hearth" in found["role translate"].found
    assert found["role entities"].mend == "hearth models pull dslim/distilbert-NER"
    assert found["role zero-shot"].mend is None


def test_the_speed_is_measured_once_and_then_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checks(house)["speed"]
    assert "tokens/s with torch" in first.found
    assert "Qwen/Qwen3-0.6B of the profile small would write about" in first.found
    measured: list[object] = []
    original = calibration.calibrate
    monkeypatch.setattr(calibration, "calibrate", lambda *facts: measured.append(facts) or original(*facts))
    assert checks(house)["speed"] == first
    assert not measured
    checks(house, calibrate=True)
    assert len(measured) == 1


def test_the_next_profile_says_what_it_needs_and_its_speed(house: House) -> None:
    found = checks(house)["next profile"].found
    assert found.startswith("base needs 8 CPU cores (4 here); its chat model Qwen/Qwen3-4B-Instruct-2507 would write")
    choice = choose_profile(LAPTOP)
    assert choice.next is not None
    assert choice.next.name in found


def test_embedded_models_that_are_not_prepared_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.serving.machine_of", lambda home: LAPTOP)
    monkeypatch.setattr("models.prepare.wheel_file", lambda entry: tmp_path)
    found = checks(House(Settings(home=tmp_path / "home")))
    assert found["role chat"].mend == "hearth models prepare"
    assert found["speed"].found == "measured once the models are prepared"
    assert not (tmp_path / "home").exists()


def test_a_model_that_is_not_there_fails_with_its_command(house: House) -> None:
    named = House(Settings(home=house.home, chat_model="org/absent", embed_model=house.settings.embed_model))
    found = checks(named)
    assert not found["role chat"].ok
    assert "hearth models pull org/absent" in found["role chat"].found
    assert not found["speed"].ok


def test_too_little_free_memory_is_a_shortfall(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Machine(memory_bytes=16 * GB, free_memory_bytes=GB, cores=4, disk_free_bytes=200 * GB)
    monkeypatch.setattr("models.serving.machine_of", lambda home: full)
    profile = checks(House(house.settings))["profile"]
    assert not profile.ok
    assert "1.2 GB and 1.0 GB are free now" in profile.found


def test_a_damaged_registry_is_a_shortfall_of_every_role_and_no_crash(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house.home / "models" / "registry.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(RegistryBroken):
        Roles.of(house).serving("rerank")
    found = checks(house)
    assert not found["role rerank"].ok
    assert "registry" in found["role rerank"].found
    assert found["role chat"].ok  # a setting names it, so the registry is not asked


def test_the_whole_examination_ends(house: House) -> None:
    names = [check.name for check in examine(house)]
    assert {"python", "data home", "device", "profile", "role chat", "speed", "library", "port"} <= set(names)
