"""The database, on SQLite and on a real PostgreSQL: an answer once, and durable; places in turn; deletion."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection
from study.studies import Cluster, small_study

from turpentine.core.errors import BadArgument
from turpentine.study import store as module
from turpentine.study.database import DatabaseGone, Writer, open_engine
from turpentine.study.store import Answer, StudyFull, StudyStore, UnknownToken
from turpentine.study.study import Study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return small_study(tmp_path)


@pytest.fixture
def store(url: str, study: Study) -> StudyStore:
    return StudyStore(url, study, create=True)


def whole_session(store: StudyStore, token: str) -> list[str]:
    """Answer all trials, checks rightly, and return the answers."""
    rater, place = store.progress(token)
    values = [trial.right_answers[0] if trial.right_answers else "3" for trial in store.study.trials(rater.slot)]
    for number in range(place, len(values)):
        store.put(token, number, values[number], 700 + number)
    return values


def test_answers_are_stored_once_in_order_and_by_two_servers(url: str, study: Study, store: StudyStore) -> None:
    token, rater = store.join()
    other = StudyStore(url, study, create=True)  # another server on the same database
    assert other.entry == store.entry
    assert store.put(token, 0, "4", 900) == (rater, 1, "4")
    assert other.put(token, 0, "2", 900) == (rater, 1, "4"), "a second answer changes nothing"
    with pytest.raises(BadArgument, match="not the next one"):
        other.put(token, 2, "4", 900)
    with pytest.raises(BadArgument, match="no answer to this question"):
        other.put(token, 1, "yes", 900)
    assert other.progress(token) == (rater, 1)
    values = whole_session(other, token)
    assert store.rater(token).state == "done"
    raters, answers = store.everything()
    assert [each.state for each in raters] == ["done"]
    assert answers[0] == Answer(rater.id, 0, "4", 900)
    assert [each.value for each in answers[1:]] == values[1:]
    other.close()


def test_many_at_once_get_places_of_their_own_and_lose_nothing(url: str, study: Study, store: StudyStore) -> None:
    other = StudyStore(url, study, create=True)
    barrier = threading.Barrier(4)

    def take_part(which: StudyStore) -> str:
        barrier.wait(30)
        token, _ = which.join()
        whole_session(which, token)
        return token

    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(take_part, [store, other, store, other]))
    raters, answers = store.everything()
    assert sorted(rater.slot for rater in raters) == list(range(study.raters)) == [0, 1, 2, 3]
    assert len(answers) == sum(len(study.trials(slot)) for slot in range(study.raters))
    assert len(set(tokens)) == 4
    with pytest.raises(StudyFull):
        store.join()
    other.close()


def test_the_same_answer_sent_at_once_stands_there_once(store: StudyStore) -> None:
    token, rater = store.join()
    with ThreadPoolExecutor(4) as pool:
        stored = {value for _, _, value in pool.map(lambda value: store.put(token, 0, value, 1), "1234")}
    assert len(stored) == 1
    assert store.answered(rater) == {0: stored.pop()}


def test_one_who_stops_or_goes_away_leaves_the_place_to_others(
    store: StudyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, first = store.join()
    store.put(token, 0, "4", 900)
    assert store.stop(token).state == "stopped"
    with pytest.raises(BadArgument, match="You have stopped"):
        store.put(token, 1, "4", 900)
    token, second = store.join()
    assert second.slot == first.slot
    monkeypatch.setattr(module, "FIRST_S", -1)
    token, third = store.join()
    assert third.slot == second.slot, "one who gave no answer at all counts no more after a while"
    store.put(token, 0, "4", 900)
    token, fourth = store.join()
    assert fourth.slot != third.slot
    store.put(token, 0, "4", 900)
    monkeypatch.setattr(module, "IDLE_S", -1)
    _, fifth = store.join()
    assert fifth.slot == third.slot, "one who gave no answer for long counts no more"


def test_wrong_answers_to_the_first_trials_end_it(store: StudyStore) -> None:
    token, rater = store.join()
    for number, trial in enumerate(store.study.trials(rater.slot)[:3]):
        wrong = next(value for value in "135" if value not in trial.right_answers)
        rater, _, _ = store.put(token, number, wrong, 900)
    assert rater.state == "unqualified"
    _, other = store.join()
    assert other.slot == rater.slot


def test_a_rater_can_delete_everything_and_no_token_is_stored(store: StudyStore) -> None:
    token, _ = store.join()
    whole_session(store, token)
    stranger, _ = store.join()
    with store._reading() as connection:
        rows = [str(row) for row in connection.exec_driver_sql("SELECT * FROM raters")]
    assert not any(token in row for row in rows)
    assert store.forget(token) == 9
    with pytest.raises(UnknownToken):
        store.rater(token)
    raters, answers = store.everything()
    assert (len(raters), answers) == (1, [])
    assert store.rater(stranger).state == "active"


def test_answers_to_another_plan_are_no_answers_to_this_one(url: str, tmp_path: Path, store: StudyStore) -> None:
    changed = small_study(tmp_path, ("seed=9",))
    with pytest.raises(BadArgument, match="no answers to this study"):
        StudyStore(url, changed)
    other = StudyStore(url, changed, create=True)
    token, _ = store.join()
    with pytest.raises(UnknownToken):
        other.rater(token)
    assert other.everything() == ([], [])
    other.close()


def test_a_file_that_is_taken_away_and_brought_back_loses_nothing(tmp_path: Path, study: Study) -> None:
    path = tmp_path / "answers.sqlite"
    store = StudyStore(str(path), study, create=True)
    token, rater = store.join()
    store.put(token, 0, "4", 900)
    away = [each.rename(each.with_name(f"away-{each.name}")) for each in sorted(tmp_path.glob("answers.sqlite*"))]
    with pytest.raises(DatabaseGone, match="not stored yet"):
        store.put(token, 1, "4", 900)
    for each in tmp_path.glob("answers.sqlite*"):
        each.unlink()
    for each in away:
        each.rename(each.with_name(each.name.removeprefix("away-")))
    assert store.put(token, 1, "5", 900) == (rater, 2, "5")
    assert store.answered(rater) == {0: "4", 1: "5"}


def test_a_server_that_stops_and_starts_loses_nothing(cluster: Cluster, study: Study) -> None:
    store = StudyStore(cluster.emptied(), study, create=True)
    token, rater = store.join()
    store.put(token, 0, "4", 900)
    cluster.stop()
    try:
        with pytest.raises(DatabaseGone):
            store.put(token, 1, "4", 900)
    finally:
        cluster.start()
    assert store.put(token, 1, "5", 900) == (rater, 2, "5")
    assert store.answered(rater) == {0: "4", 1: "5"}
    store.close()


def test_those_who_wait_go_into_one_transaction_and_one_fault_is_its_own(tmp_path: Path) -> None:
    engine = open_engine(str(tmp_path / "a.sqlite"))
    writer, begun, others = Writer(engine), threading.Event(), threading.Event()
    transactions: list[int] = []
    writer.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (x)"))

    def first(connection: Connection) -> str:
        begun.set()
        assert others.wait(30)
        return "first"

    def insert(number: int, connection: Connection) -> int:
        transactions.append(id(connection))
        if number == 2:
            raise BadArgument("This one is wrong.")
        connection.exec_driver_sql(f"INSERT INTO t VALUES ({number})")
        return number

    with ThreadPoolExecutor(6) as pool:
        leader = pool.submit(writer.write, first)
        assert begun.wait(30)
        rest = [pool.submit(writer.write, partial(insert, number)) for number in range(5)]
        while len(writer._waiting) < 5:
            time.sleep(0.001)
        others.set()
        assert leader.result() == "first"
        assert [each.result() for number, each in enumerate(rest) if number != 2] == [0, 1, 3, 4]
        with pytest.raises(BadArgument, match="This one is wrong"):
            rest[2].result()
    assert len(set(transactions)) == 1, "all who waited went together"
    assert writer.write(lambda connection: connection.exec_driver_sql("SELECT sum(x) FROM t").scalar()) == 8
    engine.dispose()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [("mysql://a/b", "not mysql://"), ("postgresql://a:port/b", "cannot be read"), ("sqlite://", "not sqlite://")],
)
def test_what_is_no_database_of_ours_is_refused(place: str, sentence: str) -> None:
    with pytest.raises(BadArgument, match=sentence):
        open_engine(place)


def test_a_database_that_is_not_there_is_named(tmp_path: Path, study: Study) -> None:
    with pytest.raises(BadArgument, match="turpentine study serve makes the file"):
        StudyStore(str(tmp_path / "none.sqlite"), study)
