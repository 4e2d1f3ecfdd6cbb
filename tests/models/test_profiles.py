"""The table of profiles is whole, and the choice among them is a pure function of a machine's facts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.catalog import EMBEDDED
from models.machine import Machine, machine_of
from models.profiles import PROFILE_NAMES, all_profiles, choose_profile, embedded_ways, largest_first
from models.roles import ROLES

GB = 10**9
LAPTOP = Machine(memory_bytes=16 * GB, free_memory_bytes=8 * GB, cores=4, disk_free_bytes=200 * GB)
DESK = replace(LAPTOP, memory_bytes=32 * GB, cores=16)
SERVER = replace(DESK, gpu_memory_bytes=24 * GB, gpu="RTX")
PERMISSIVE = {"Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-4.0"}


def test_every_role_is_served_or_says_why_not() -> None:
    assert set(embedded_ways()) == set(ROLES)
    names = {entry.name for entry in EMBEDDED}
    for way in embedded_ways().values():
        assert way.reason
        assert way.model in names | {""}
    for name in PROFILE_NAMES[1:]:
        assert set(all_profiles()[name].roles) == set(ROLES) - {"route"}


def test_every_model_of_the_table_is_a_hub_id_with_a_permissive_licence_and_a_size() -> None:
    assert tuple(all_profiles()) == PROFILE_NAMES
    for profile in all_profiles().values():
        for model in profile.models:
            assert model.name.count("/") == 1
            assert model.licence in PERMISSIVE
            assert model.size_bytes == 2 * model.parameters > 10**7
            assert model.context_tokens >= 448
            assert model.languages


@pytest.mark.parametrize(
    ("machine", "profile"),
    [
        (LAPTOP, "small"),
        (DESK, "base"),
        (SERVER, "gpu"),
        (replace(LAPTOP, memory_bytes=4 * GB), "tiny"),
        (replace(LAPTOP, cores=1), "tiny"),
        (replace(SERVER, gpu_memory_bytes=8 * GB), "base"),
        (replace(DESK, disk_free_bytes=10 * GB), "small"),
        (replace(LAPTOP, memory_bytes=GB, cores=1, disk_free_bytes=0), "tiny"),
        (replace(SERVER, free_memory_bytes=0), "gpu"),
    ],
)
def test_the_largest_that_fits_is_chosen(machine: Machine, profile: str) -> None:
    assert choose_profile(machine).profile.name == profile


def test_what_is_pulled_needs_no_disk_any_more() -> None:
    full = replace(DESK, disk_free_bytes=3 * GB)
    base = all_profiles()["base"]
    pulled = {model.name for model in base.models}
    assert choose_profile(full).profile.name == "tiny"
    assert choose_profile(full, pulled=pulled).profile.name == "base"
    assert base.download_bytes(pulled) == 0
    assert base.download_bytes() == sum(model.size_bytes for model in {m.name: m for m in base.roles.values()}.values())


def test_a_choice_says_why_and_what_the_next_one_lacks() -> None:
    choice = choose_profile(LAPTOP)
    assert "4 CPU cores" in choice.reason
    assert choice.next is not None
    assert choice.next.name == "base"
    assert choice.next_lacks == ("8 CPU cores (4 here)",)
    assert choose_profile(SERVER).next is None
    named = choose_profile(LAPTOP, "gpu")
    assert named.profile.name == "gpu"
    assert "set by you" in named.reason
    assert "22.0 GB of GPU memory (0.0 GB here)" in named.reason


def test_the_smaller_profiles_stand_in_for_a_larger_one() -> None:
    assert [profile.name for profile in largest_first(all_profiles()["gpu"])] == ["gpu", "base", "small"]
    assert largest_first(all_profiles()["tiny"]) == ()


def test_this_machine_has_memory_cores_and_disk(tmp_path: Path) -> None:
    machine = machine_of(tmp_path / "not" / "there" / "yet")
    assert machine.cores >= 1
    assert machine.memory_bytes >= machine.free_memory_bytes > 0
    assert machine.disk_free_bytes > 0
    assert machine.processor
