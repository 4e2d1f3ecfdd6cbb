"""Names to entries: defaults, nearest names, folders and hub ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import loading
from models.catalog import find
from models.chat import open_chat_model
from models.embeddings import open_embeddings
from models.errors import ModelNotFound, ModelNotLocal, WrongRole
from models.home import data_home
from models.prepare import folder_of


def test_no_name_gives_the_embedded_default_of_the_role() -> None:
    assert find(None, "chat").name == "smollm2-135m-instruct"
    assert find(None, "embed").name == "all-minilm-l6-v2"


def test_m01_a_typo_gives_the_nearest_known_name(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as found:
        open_chat_model("smolm2-135m-instruct", home=tmp_path)
    assert found.value.code == "model_not_found"
    assert found.value.known == ("smollm2-135m-instruct",)
    assert "smollm2-135m-instruct" in str(found.value)


def test_m01_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="nowhere"):
        open_chat_model(str(tmp_path / "nowhere"), home=tmp_path)


def test_m01_an_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFound, match=r"config\.json is missing"):
        open_chat_model(str(tmp_path / "empty"), home=tmp_path).load()


def test_m01_a_hub_model_that_is_not_here_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    model = open_chat_model("someone/some-model@v2", home=tmp_path)
    with pytest.raises(ModelNotLocal) as found:
        model.invoke("hello")
    assert "hearth models pull someone/some-model@v2" in str(found.value)


def test_a_model_of_another_role_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WrongRole, match="smollm2-135m-instruct"):
        open_chat_model("all-minilm-l6-v2", home=tmp_path)
    with pytest.raises(WrongRole):
        open_embeddings("smollm2-135m-instruct", home=tmp_path)


def test_a_folder_made_for_another_task_is_refused_before_loading(
    tiny_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_load_model", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(WrongRole, match=r"serves the role '\w+', not 'chat': use for example smollm2"):
        open_chat_model(str(tiny_encoder_folder), home=tmp_path).invoke("hello")


def test_a_folder_comes_before_a_hub_id_of_the_same_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    entry = find("org/name", "chat")
    assert entry.kind == "folder"
    assert folder_of(entry, tmp_path) == tmp_path / "org" / "name"


def test_a_hub_id_keeps_its_revision() -> None:
    entry = find("org/name@refs/pr/3", "chat")
    assert (entry.kind, entry.source, entry.revision, entry.label) == (
        "hub",
        "org/name",
        "refs/pr/3",
        "org/name@refs/pr/3",
    )


def test_the_home_is_the_argument_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / "from-environment"))
    assert data_home() == tmp_path / "from-environment"
    assert data_home(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("HEARTH_HOME")
    assert data_home().name == "hearth"
    assert not (tmp_path / "given").exists()
