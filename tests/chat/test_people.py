"""Users, passwords and sign-ins: who is let in, for how long, and how slow guessing is (S02, C8)."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from agent.assembly import House
from agent.settings import Settings
from chat import passwords
from chat.elements import Elements
from chat.errors import BadUserName, UnknownUser, UserExists, WeakPassword
from chat.identity import LOCAL_NAME, Person
from chat.people import People
from chat.sign_in import SESSION_SECONDS, SignIn
from chat.store import Store
from chat.threads import Threads
from chat.uploads import forget_user, store
from hearth import main
from retrieval import Library
from tests.doubles import HashEmbeddings

PASSWORD = "correct horse"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LOG_COST", 4)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign_in(tmp_path: Path, clock: Clock) -> SignIn:
    return SignIn(Store(tmp_path), clock)


def test_a_password_is_kept_salted_and_found_again() -> None:
    records = {passwords.hashed(PASSWORD) for _ in range(3)}
    assert len(records) == 3
    assert all(PASSWORD not in record and passwords.fits(PASSWORD, record) for record in records)
    record = records.pop()
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), "\x00", "\udcff", "x" * 10_000):
        assert not passwords.fits(wrong, record)
    assert not passwords.fits(PASSWORD, None)


def test_names_are_one_in_any_letters_and_never_reach_another_place(sign_in: SignIn) -> None:
    people = sign_in.people
    assert people.add("Ann", PASSWORD).name == "ann"
    assert people.checked(" ANN ", PASSWORD) == Person("ann")
    with pytest.raises(UserExists):
        people.add("ann", PASSWORD)
    for bad in ("", " ", "a/b", "a b", LOCAL_NAME, "You", "x" * 65, "a\nb", "../x", "a\x00"):
        with pytest.raises(BadUserName):
            people.add(bad, PASSWORD)
    for weak in ("", "1234567", "x" * 257):
        with pytest.raises(WeakPassword):
            people.add("ben", weak)
    with pytest.raises(UnknownUser, match="ann"):
        people.enable("zoe")


def test_c8_a_sign_in_ends_when_it_is_taken_back_disabled_or_old(sign_in: SignIn, clock: Clock) -> None:
    people = sign_in.people
    people.add("ann", PASSWORD, is_admin=True)
    tokens = [sign_in.begin("ann") for _ in range(3)]
    assert sign_in.person(tokens[0]) == Person("ann", is_admin=True)
    sign_in.end(tokens[0])
    assert sign_in.person(tokens[0]) is None
    people.enable("ann", enabled=False)
    clock.now += 1.5
    assert sign_in.person(tokens[1]) is None
    assert people.checked("ann", PASSWORD) is None
    people.enable("ann")
    assert sign_in.person(sign_in.begin("ann")) is not None
    clock.now += 1.5
    assert sign_in.person(tokens[2]) is None  # disabling ended it for good
    late = sign_in.begin("ann")
    people.set_password("ann", PASSWORD + "2")
    assert sign_in.person(late) is None
    old = sign_in.begin("ann")
    clock.now += SESSION_SECONDS + 1
    assert sign_in.person(old) is None


@pytest.mark.parametrize("token", ["", "x", "\udcff", "eyJhbGciOiJub25lIn0.eyJpZGVudGlmaWVyIjoiYW5uIn0."])
def test_s02_what_is_no_sign_in_lets_nobody_in(sign_in: SignIn, token: str) -> None:
    sign_in.people.add("ann", PASSWORD)
    sign_in.begin("ann")
    assert sign_in.person(token) is None


def test_the_one_person_is_out_as_soon_as_there_are_users(sign_in: SignIn, clock: Clock) -> None:
    token = sign_in.begin(LOCAL_NAME)
    assert sign_in.person(token) == Person(LOCAL_NAME, is_admin=True)
    sign_in.people.add("ann", PASSWORD)
    clock.now += 1.5
    assert sign_in.is_shared()
    assert sign_in.person(token) is None
    sign_in.people.remove("ann")
    clock.now += 1.5
    assert sign_in.person(token) == Person(LOCAL_NAME, is_admin=True)


def test_s02_a_thousand_guesses_take_days(sign_in: SignIn, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in.people.add("ann", PASSWORD)
    checked: list[str] = []
    real = sign_in.people.checked
    monkeypatch.setattr(sign_in.people, "checked", lambda name, word: checked.append(word) or real(name, word))  # type: ignore[func-returns-value]
    for guess in range(1000):
        assert sign_in.check("ann", f"guess {guess}") is None
    assert len(checked) == 5
    assert sign_in.check("ann", PASSWORD) is None
    started = clock.now
    while len(checked) < 1000:
        clock.now += 1
        sign_in.check("Ann", "guess")
    assert clock.now - started > 3 * 24 * 3600
    sign_in.people.add("ben", PASSWORD)
    assert sign_in.check("ben", PASSWORD) == Person("ben")
    clock.now += 301
    assert sign_in.check("ann", PASSWORD) == Person("ann")
    assert sign_in.check("ann", "wrong") is None
    assert sign_in.check("ann", PASSWORD) == Person("ann")


def test_removing_a_user_leaves_nothing_of_theirs_and_all_of_others(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    people, threads, elements = People(kept), Threads(kept), Elements(kept)
    library = Library.open(tmp_path / "library", HashEmbeddings())
    (tmp_path / "dropped").write_text("The canary sings.")
    uploads = tmp_path / "uploads"
    for name in ("ann", "ben"):
        people.add(name, PASSWORD)
        step = {"id": f"{name}-s", "threadId": f"{name}-t", "type": "user_message", "output": f"{name} canary"}
        threads.save_step(name, step)
        elements.save(name, {"id": f"{name}-e", "threadId": f"{name}-t"}, b"canary")
        file = store(tmp_path / "dropped", "a.txt", uploads, f"{name}-t")
        library.for_user(name).add([file], collection=f"thread:{name}-t")
    assert forget_user(library.for_user("ann"), uploads) == 1
    people.remove("ann")
    elements.sweep()
    assert [user.name for user in people.users()] == ["ben"]
    assert threads.thread("ann", "ann-t") is None
    assert threads.thread("ben", "ben-t") is not None
    assert elements.file("ben", "ben-t", "ben-e")[0].read_bytes() == b"canary"
    assert len(list(uploads.rglob("*.txt"))) == 1
    assert len(library.for_user("ben").documents(["thread:ben-t"])) == 1
    library.close()


def test_users_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(House, "library", lambda self: Library.open(self.home / "library", HashEmbeddings()))

    def run(*arguments: str, typed: str = "") -> tuple[int, Any]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        status = main([*arguments, "--json", "--home", str(tmp_path)])
        return status, json.loads(capsys.readouterr().out)

    assert run("users", "list") == (0, [])
    assert run("users", "add", "Ann", "--admin", typed=f"{PASSWORD}\n")[1]["name"] == "ann"
    assert run("users", "add", "ben", typed="short\n")[1]["error"]["code"] == "weak_password"
    assert run("users", "password", "ann", typed="another horse\n")[0] == 0
    people = People(Store(tmp_path))
    assert people.checked("ann", "another horse") == Person("ann", is_admin=True)
    assert run("users", "disable", "ann")[0] == 0
    assert [user["is_enabled"] for user in run("users", "list")[1]] == [False]
    assert run("users", "enable", "ann")[0] == 0
    assert run("users", "remove", "ann") == (0, {"name": "ann", "documents": 0, "done": "removed"})
    assert run("users", "remove", "ann")[1]["error"]["code"] == "unknown_user"
    assert run("feedback", "list") == (0, [])
    assert run("feedback", "export", "--for", "dpo") == (0, [])


def test_settings_of_another_home_know_other_people(tmp_path: Path) -> None:
    People(Store(tmp_path / "one")).add("ann", PASSWORD)
    assert People(Store(Settings(home=tmp_path / "two").home)).is_empty()
