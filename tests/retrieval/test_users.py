"""A library of several users: what belongs to one is not there for another, whatever they ask for (P03)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from retrieval import Library, TextDocument, UserLibrary
from retrieval.errors import BadUser, NotFound, PermissionDenied
from retrieval.owners import own_collection, owner_of, thread_collection, thread_of

USERS = ("ann", "ann/taxes", "ben", "Ben", "user:ann", "%2F", "thread:1", "zoë@example.org")


@pytest.fixture
def family(library: Library) -> dict[str, UserLibrary]:
    """Eight users with odd names, each with notes, a subject and a thread's file; all hold their owner's canary."""
    library.add_texts([TextDocument("rules", "garden rules for everybody")])
    users = {name: library.for_user(name) for name in USERS}
    for number, user in enumerate(users.values()):
        user.add_texts([TextDocument("notes", f"garden notes canary{number}")])
        user.add_texts([TextDocument("bill", f"garden bill canary{number}")], collection="taxes")
        user.add_texts([TextDocument("draft", f"garden draft canary{number}")], collection=thread_collection("7"))
    return users


def test_p03_each_user_finds_their_own_and_the_shared(family: dict[str, UserLibrary]) -> None:
    for number, user in enumerate(family.values()):
        texts = {hit.page_content for hit in user.search("garden", top_k=50)}
        assert texts == {"garden rules for everybody", f"garden notes canary{number}", f"garden bill canary{number}"}
        assert [record.document for record in user.documents()] == ["rules", "notes", "bill"]
        assert [hit.page_content for hit in user.search("garden", collections=["taxes"])] == [
            f"garden bill canary{number}"
        ]
        drafts = user.search("garden", collections=[thread_collection("7", user.user)])
        assert [hit.page_content for hit in drafts] == [f"garden draft canary{number}"]


def test_p03_no_way_of_asking_reaches_anothers_documents(library: Library, family: dict[str, UserLibrary]) -> None:
    """Every collection, id and name of the library tried by every user, in searches, filters and look-ups."""
    every = library.documents(library.collections())
    assert len(every) == 1 + 3 * len(USERS)
    for user in family.values():
        for record in every:
            mine = user.may_read(record.collection)
            assert mine == (owner_of(record.collection) in (None, user.user))
            where = {"document_id": record.document_id, "collection": record.collection}
            for hits in (
                user.search("garden", collections=[record.collection], top_k=50),
                user.search("garden", where=where, mode="dense"),
                user.as_retriever(collections=library.collections(), top_k=99).invoke("garden"),
            ):
                assert all(user.may_read(hit.metadata["collection"]) for hit in hits)
            assert all(user.may_read(row["collection"]) for row in user.explain("garden", where=where))
            if mine:
                assert user.text(record.document_id).startswith("garden")
                assert user.find(record.document_id) == [record]
                continue
            for attempt in (user.document, user.text, user.find, user.move, lambda one, by=user: by.page_of(one, 0)):
                with pytest.raises(NotFound):
                    attempt(record.document_id)
            with pytest.raises(NotFound):
                user.remove([record.document_id])
            with pytest.raises(NotFound):
                user.find(record.document, record.collection)
    assert library.documents(library.collections()) == every


def test_p03_users_who_write_and_search_in_turn_never_meet(library: Library) -> None:
    chance = random.Random(3)
    users = [library.for_user(name) for name in USERS[:3]]
    for number in range(60):
        who = chance.randrange(3)
        if number % 3 == 0:
            users[who].add_texts([TextDocument(f"n{chance.randrange(5)}", f"lamp canary{who} {number}")])
        found = users[who].search("lamp canary0 canary1 canary2", top_k=50, mode=chance.choice(["hybrid", "sparse"]))
        assert all(f"canary{who}" in hit.page_content for hit in found)


def test_a_shared_document_is_read_and_not_changed_by_a_user(library: Library, family: dict[str, UserLibrary]) -> None:
    [rules] = library.documents(["default"])
    for change in (family["ann"].move, lambda one: family["ann"].remove([one])):
        with pytest.raises(PermissionDenied, match="rules is in the shared collection default"):
            change(rules.document_id)
    family["ann"].add_texts([TextDocument("rules", "my own rules")], collection="default")
    assert library.text(rules.document_id) == "garden rules for everybody"


def test_only_the_shared_collections_that_are_open_to_a_user_are_read(library: Library) -> None:
    library.add_texts([TextDocument("a", "lamp a")], collection="open")
    library.add_texts([TextDocument("b", "lamp b")], collection="closed")
    guest = library.for_user("guest", shared=["open"])
    assert [record.document for record in guest.documents()] == ["a"]
    assert [hit.page_content for hit in guest.search("lamp", collections=["open", "closed"])] == ["lamp a"]
    assert [hit.page_content for hit in guest.search("lamp", where={"collection": "closed"})] == []


def test_private_collections_are_left_out_of_the_whole_librarys_search(
    library: Library, family: dict[str, UserLibrary]
) -> None:
    assert [hit.page_content for hit in library.search("garden", top_k=50)] == ["garden rules for everybody"]
    assert [record.document for record in library.documents()] == ["rules"]
    listed = [record.to_json() for record in library.describe_collections()]
    assert {row["owner"] for row in listed} == {None, *USERS}
    assert [row["thread"] for row in listed if row["owner"] == "ben"] == [None, None, "7"]


def test_a_users_file_is_kept_and_all_of_theirs_forgotten(
    library: Library, family: dict[str, UserLibrary], folder: Path
) -> None:
    (folder / "a.txt").write_text("garden plan")
    family["ben"].add([folder / "a.txt"], collection=thread_collection("8"))
    [record] = family["ben"].documents([thread_collection("8")])
    assert family["ben"].move(record.document_id).collection == "user:ben"
    assert family["ben"].forget() == 4
    assert family["ben"].collections() == ["default"]
    assert len(family["Ben"].documents()) == 3


@pytest.mark.parametrize("user", USERS)
def test_a_collections_name_tells_its_owner_and_thread(user: str) -> None:
    assert owner_of(own_collection(user, "tax/2020")) == user
    assert thread_of(own_collection(user, "tax/2020")) is None
    made = thread_collection("x/y", user)
    assert (owner_of(made), thread_of(made)) == (user, "x/y")
    assert own_collection(user, made) == made


def test_a_user_without_a_name_is_refused(library: Library) -> None:
    for name in ("", " ", "\n"):
        with pytest.raises(BadUser):
            library.for_user(name)
