"""Studies on scripted engines: order, resuming, errors, traces."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue
from studies import THRESHOLD, engines, plan, run, task

from specreason.cli.eval.axes import cells_from
from specreason.cli.eval.run import alone
from specreason.config import Settings
from specreason.config.assignments import assignments
from specreason.config.load import setting_keys
from specreason.config.scheme import known_schemes
from specreason.errors import ConfigError, EngineRejected, EngineUnavailable, StudyError
from specreason.eval.cells import SCHEME, cell, cells_of, short_names
from specreason.eval.facts import sharing
from specreason.eval.plan import blocks, seed_of, with_room
from specreason.eval.rows import KeptStep, steps_from_text, steps_to_text
from specreason.eval.runner import StudyStopped
from specreason.eval.store import RunKey, Store
from specreason.reasoning.events import Finished, Started
from specreason.reasoning.result import fold


def test_schemes_take_turns_problem_by_problem() -> None:
    order = [wave.cell.scheme for waves in blocks(plan(), set()) for wave in waves]
    assert order[:6] == ["base", "small", "specreason", "small", "specreason", "base"]
    assert all(len(wave.runs) == 1 for waves in blocks(plan(), set()) for wave in waves)


def test_every_run_is_planned_once_and_what_is_done_is_not_planned() -> None:
    what = plan(samples=3, concurrency=(1, 2))
    keys = [key for waves in blocks(what, set()) for wave in waves for key in wave.runs]
    assert len(keys) == len(set(keys)) == what.runs == 6 * 3 * 6
    left = [key for waves in blocks(what, set(keys[:50])) for wave in waves for key in wave.runs]
    assert set(left) == set(keys[50:])


def test_under_load_a_wave_is_of_one_cell_only() -> None:
    waves = [wave for waves in blocks(plan(task(40), concurrency=(4,)), set()) for wave in waves]
    assert len(waves[0].runs) == 16
    assert {key.cell for key in waves[0].runs} == {waves[0].cell.label}


def test_single_models_run_once_for_what_only_matters_to_drafts() -> None:
    varied: dict[str, Sequence[JsonValue]] = {
        SCHEME: ["base", "specreason"],
        THRESHOLD: [3, 7],
        "reasoning.lookahead": [0, 4],
        "policy.other.knob": [1, 2],
        "reasoning.token_budget": [1024, 2048],
    }
    cells = cells_of(varied)
    assert len(cells) == 2 + 2 * 4
    names = short_names(cells)
    assert len(set(names.values())) == len(cells)
    assert names[cells[0].label] == "base token_budget=1024"


def test_a_study_grades_and_keeps_every_run(tmp_path: Path) -> None:
    rows = run(tmp_path / "s.sqlite", plan())
    assert len(rows) == 18
    assert {row.cell.split()[0]: row.right for row in rows} == {
        "base": True, "small": False, "specreason": True,
    }  # fmt: skip
    speculated = next(row for row in rows if row.cell.startswith("specreason"))
    assert [step.outcome for step in speculated.steps] == ["accepted", "rejected", "accepted"]
    assert speculated.tokens["small"]["discarded"] > 0


def test_all_five_schemes_take_turns_in_one_study(tmp_path: Path) -> None:
    schemes = known_schemes()
    what = plan(task(5), schemes=schemes)
    assert {each.scheme: each.value(THRESHOLD) for each in what.cells} == {
        "base": None, "small": None, "specreason": 7.0, "base+decode": None, "specreason+decode": 7.0,
    }  # fmt: skip
    pair, decoder = engines(), engines()["base"]
    rows = run(tmp_path / "s.sqlite", what, pair, decoder=decoder)
    order = [row.cell.split()[0] for row in rows]
    assert all(set(order[n : n + 5]) == set(schemes) for n in range(0, 25, 5))
    assert len({tuple(order[n : n + 5]) for n in range(0, 25, 5)}) == 5  # who begins changes
    verdicts = {row.cell.split()[0]: [step.outcome for step in row.steps] for row in rows}
    assert verdicts["specreason+decode"] == verdicts["specreason"] == ["accepted", "rejected", "accepted"]
    assert verdicts["base+decode"] == ["unjudged"] * 3
    # Each of the three reads a problem before its measured runs; the base model works in two of five schemes.
    with closing(sqlite3.connect(tmp_path / "s.sqlite")) as store:
        read = store.execute("select role, count(*) from readings group by role").fetchall()
    assert dict(read) == {"base": 25, "small": 25, "base+decode": 25}  # by each cell anew


def test_a_stopped_study_goes_on_where_it_was_and_runs_nothing_twice(tmp_path: Path) -> None:
    path, what = tmp_path / "s.sqlite", plan(samples=2)
    first = run(path, what, stop_after=7)
    second = run(path, what, stop_after=11)
    third = run(path, what)
    assert run(path, what) == []
    keys = [(row.position, row.cell, row.sample) for row in (*first, *second, *third)]
    assert len(keys) == len(set(keys)) == what.runs
    uninterrupted = run(tmp_path / "other.sqlite", what)
    assert [(r.position, r.cell, r.sample, r.seed, r.right) for r in (*first, *second, *third)] == [
        (r.position, r.cell, r.sample, r.seed, r.right) for r in uninterrupted
    ]


def test_under_load_a_study_is_complete_too(tmp_path: Path) -> None:
    what = plan(task(9), concurrency=(1, 3))
    run(tmp_path / "s.sqlite", what, stop_after=20)
    assert len(run(tmp_path / "s.sqlite", what)) + 20 <= what.runs
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store.done()) == what.runs


def test_every_cache_slot_reads_the_problem_before_each_cell(tmp_path: Path) -> None:
    common = Settings.model_validate({"small": {"parallel": 3}})
    pair = engines()
    run(tmp_path / "s.sqlite", replace(plan(task(2), schemes=("base", "small")), common=common), pair)
    sessions = {role: {call.session for call in engine.calls} for role, engine in pair.items()}
    assert len(sessions["base"]) == 2 * (1 + 2 * 1)  # a run, and a reading before each of two cells
    assert len(sessions["small"]) == 2 * (1 + 2 * 3)
    with closing(sqlite3.connect(tmp_path / "s.sqlite")) as store:
        assert store.execute("select count(*) from readings").fetchone()[0] == 2 * 2 * 2  # the first of each


def test_each_cell_runs_under_its_own_settings(tmp_path: Path) -> None:
    cells = cells_of(
        {SCHEME: ["base"], "reasoning.max_step_tokens": [3, 9], "sampling.temperature": [0.0, 1.0]}
    )
    run(tmp_path / "s.sqlite", replace(plan(task(1)), cells=cells))
    with Store(tmp_path / "s.sqlite") as store:
        assert store.cells() == list(cells)
        for each in cells:
            (started, *_) = store.events(RunKey(0, each.label, 0))
            assert isinstance(started, Started)
            assert started.settings["reasoning"]["max_step_tokens"] == each.value("reasoning.max_step_tokens")
            assert started.settings["sampling"]["temperature"] == each.value("sampling.temperature")


def test_the_store_refuses_a_run_that_it_has(tmp_path: Path) -> None:
    what = plan(task(1))
    row = run(tmp_path / "s.sqlite", what)[0]
    with Store(tmp_path / "s.sqlite") as store, pytest.raises(sqlite3.IntegrityError):
        store.add(row, [], "", "")


def test_every_event_can_be_read_back(tmp_path: Path) -> None:
    what = plan(task(2))
    rows = run(tmp_path / "s.sqlite", what)
    with Store(tmp_path / "s.sqlite") as store:
        for row in rows:
            events = store.events(RunKey(row.position, row.cell, row.sample))
            assert isinstance(events[0], Started)
            assert isinstance(events[-1], Finished)
            assert events[0].settings["sampling"]["seed"] == row.seed
            assert fold(events).answer == row.answer
        assert store.sessions()[0]["engines"]["base"]["capabilities"]["token_prompts"]
        assert [stored.steps for stored in store.rows()] == [
            row.steps
            for row in sorted(rows, key=lambda r: (r.position, [c.label for c in what.cells].index(r.cell)))
        ]


def test_a_run_that_breaks_off_is_a_row_with_its_error(tmp_path: Path) -> None:
    pair = engines(dead=EngineRejected("no", engine="base"), alive_for=0)
    rows = run(tmp_path / "s.sqlite", plan(task(2)), pair)
    broken = [row for row in rows if row.error]
    assert {row.cell.split()[0] for row in broken} == {"base", "specreason"}
    assert not any(row.right for row in broken)
    assert "EngineRejected: base: no" in str(broken[0].error)
    with Store(tmp_path / "s.sqlite") as store:
        assert store.forget_errors() == 4
    assert len(run(tmp_path / "s.sqlite", plan(task(2)))) == 4


def test_a_study_stops_when_its_engine_is_gone(tmp_path: Path) -> None:
    pair = engines(dead=EngineUnavailable("gone", engine="base"), alive_for=30)
    with pytest.raises(StudyStopped, match="5 runs in a row did not reach their engine"):
        run(tmp_path / "s.sqlite", plan(task(50), schemes=("base",)), pair)
    with Store(tmp_path / "s.sqlite") as store:
        assert 4 < len(store.done()) < 50


def test_other_problems_or_settings_do_not_get_into_a_study(tmp_path: Path) -> None:
    run(tmp_path / "s.sqlite", plan(task(2)))
    with pytest.raises(ConfigError, match="name another file with --store"):
        run(tmp_path / "s.sqlite", plan(task(2, answer="9")))
    other = plan(task(2))
    with pytest.raises(ConfigError, match=r"with settings.reasoning.max_step_tokens = 512, not 9"):
        run(
            tmp_path / "s.sqlite",
            replace(other, common=Settings.model_validate({"reasoning": {"max_step_tokens": 9}})),
        )


def test_more_cells_and_samples_can_be_added_to_a_study(tmp_path: Path) -> None:
    run(tmp_path / "s.sqlite", plan(schemes=("base",)))
    assert len(run(tmp_path / "s.sqlite", plan(samples=2, schemes=("base", "specreason")))) == 6 + 12


def test_other_sampling_does_not_get_into_a_study_but_fewer_models_do(tmp_path: Path) -> None:
    facts = {"models": {"base": "b", "small": "s"}, "sampling": {"temperature": 0.6}}
    with Store(tmp_path / "s.sqlite", create=True) as store:
        store.settle(facts, task())
        store.settle({"models": {"base": "b"}}, task())
        assert store.fact("models") == {"base": "b", "small": "s"}
        with pytest.raises(ConfigError, match=r"sampling.temperature = 0.6, not 0"):
            store.settle({"sampling": {"temperature": 0}}, task())


def test_more_problems_of_the_same_task_can_be_added_to_a_study(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    run(path, plan(task(4)))
    assert len(run(path, plan(task(6)))) == 2 * 3  # schemes
    assert run(path, plan(task(2))) == []  # and fewer can be asked for
    with Store(path) as store:
        assert len(store.problems()) == store.fact("task")["problems"] == 6
        assert store.fact("task")["fingerprint"] == task(6).fingerprint
        with pytest.raises(ConfigError, match=r"task.fingerprint"):
            store.settle({}, replace(task(6), problems=task(7).problems[1:]))
        with pytest.raises(ConfigError, match=r"task.name"):
            store.settle({}, replace(task(7), name="another"))


def test_two_processes_do_not_work_on_one_study(tmp_path: Path) -> None:
    with (
        alone(tmp_path / "s.sqlite"),
        pytest.raises(ConfigError, match="another specreason eval run"),
        alone(tmp_path / "s.sqlite"),
    ):
        pass
    with alone(tmp_path / "s.sqlite"):
        pass


def test_a_study_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used as a study"), alone(tmp_path / "file" / "s.sqlite"):
        pass


REFUSED = [
    ("threshold=3,11", "'policy.specreason.threshold' from --vary is 11: .*nearest valid value: 9"),
    ("thresold=3", "there is no setting 'thresold'; did you mean 'policy.specreason.threshold'"),
    ("scheme=bas", "did you mean 'base'"),
    ("base.parallel=1,2", r"cannot differ in \[base\]"),
    ("sampling.seed=1,2", "each run has a seed of its own"),
    ("token_budget", "write KEY=VALUE"),
    ("token_budget=,", "give at least one value"),
]


@pytest.mark.parametrize(("vary", "words"), REFUSED)
def test_what_cannot_be_varied_is_refused_with_the_reason(vary: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cells_from([vary], "1", None, None, [])


def test_values_are_those_of_toml_or_texts() -> None:
    vary = ["scheme=specreason", "threshold=5,7.5", "step_delimiter='\\n','a, b'", "on_reject=hedge"]
    (first, *_, last) = cells_from(vary, "1,4", None, None, [])
    assert dict(first.overrides) == {
        SCHEME: "specreason",
        "reasoning.on_reject": "hedge",
        "reasoning.step_delimiter": "\\n",
        THRESHOLD: 5.0,
    }
    assert (last.value("reasoning.step_delimiter"), last.concurrency) == ("a, b", 4)
    given = assignments("--set", ["temperature=0", "base.threads=2"], list(setting_keys()))
    assert given == {"sampling.temperature": 0, "base.threads": 2}


def test_what_makes_no_difference_to_any_cell_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--vary policy\.specreason\.threshold makes no difference"):
        cells_from(["scheme=base", "threshold=3,7"], "1", None, None, [])


def test_without_schemes_the_settings_own_and_each_model_alone_are_run() -> None:
    assert [each.scheme for each in cells_from([], "1", None, None, [])] == ["specreason", "base", "small"]
    assert [each.scheme for each in cells_from([], "1", None, None, ["scheme=base"])] == ["base"]


def test_models_are_opened_with_a_cache_slot_for_each_place_at_which_a_cell_works() -> None:
    cells = (cell("base", 3), cell("specreason", 2, drafts_per_step=3, on_reject="hedge"))
    settings = with_room(replace(plan(), cells=cells))
    assert (settings.base.parallel, settings.small.parallel) == (6, 9)
    common = Settings.model_validate({"base": {"parallel": 2}})
    with pytest.raises(ConfigError, match=r"needs 'base.parallel' of at least 3; it is 2"):
        with_room(replace(plan(), cells=cells, common=common))


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.sqlite").write_text("dear diary" * 200)
    with pytest.raises(ConfigError, match="cannot be used as a study"):
        Store(tmp_path / "notes.sqlite", create=True)
    with pytest.raises(ConfigError, match="no study at"):
        Store(tmp_path / "missing.sqlite")


def test_a_link_to_a_study_is_that_study(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / "s.sqlite", tmp_path / "link.sqlite"
    link.symlink_to(path)  # it leads nowhere yet
    assert len(run(link, plan(schemes=("base",)))) == 6
    assert run(path, plan(schemes=("base",))) == []
    with Store(link), alone(path):
        assert sorted(p.name for p in tmp_path.iterdir()) == ["link.sqlite", "real"]
        assert (tmp_path / "real" / "s.sqlite-wal").exists()
        with pytest.raises(ConfigError, match="another specreason eval run"), alone(link):
            pass


def test_on_a_full_disk_a_study_keeps_what_it_has_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "s.sqlite", sqlite3.connect
    run(path, plan(), stop_after=5)

    def without_room(*told: Any, **more: Any) -> sqlite3.Connection:
        database = connect(*told, **more)
        database.execute("pragma max_page_count = 1")  # as many as there are
        return database

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", without_room)
        with pytest.raises(StudyError, match=r"disk of .* is full; every run so far is kept") as told:
            run(path, plan(samples=50))
    assert told.value.exit_code == 1
    with Store(path) as store:
        kept = len(store.done())
    assert 5 <= kept < 18 * 50
    assert len(run(path, plan(samples=5))) == 18 * 5 - kept


DAMAGE = [
    ("update runs set events = x'00ff'", "damaged .events of problem 0"),
    ("update runs set events = substr(events, 1, length(events) - 9)", "damaged .events of problem 0"),
    ("update runs set tokens = '{'", "damaged .run of problem 0"),
    ("update runs set steps = 'x'", "damaged .run of problem 0"),
    ("drop table runs", "cannot be read or written: no such table: runs"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGE)
def test_what_is_damaged_in_a_study_is_named(tmp_path: Path, damage: str, words: str) -> None:
    path = tmp_path / "s.sqlite"
    run(path, plan(task(1), schemes=("base",)))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(damage)
    with pytest.raises(StudyError, match=words):
        read(path)


def read(path: Path) -> None:
    with Store(path) as store:
        for row in store.rows():
            store.events(RunKey(row.position, row.cell, row.sample))


def test_a_study_with_damaged_pages_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    run(path, plan(task(1), schemes=("base",)))
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 5 * 4096] = bytes(2 * 4096)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is damaged"):
        Store(path)


def test_every_run_has_a_seed_of_its_own() -> None:
    what = plan()
    seeds = {seed_of(what, c, p, s) for c in what.cells for p in what.task.problems for s in (0, 1)}
    assert len(seeds) == 3 * 6 * 2


def test_steps_survive_their_short_form() -> None:
    steps = [
        KeptStep("small", "draft", "accepted", {"judge_score": 7.25}),
        KeptStep("base", "kept_prefix", "rejected", {"judge_score": None, "entropy": 0.5}),
        KeptStep("base", "base", "unjudged", {}),
    ]
    assert steps_from_text(steps_to_text(steps)) == steps


def test_labels_tell_cells_apart() -> None:
    a, b = (cell("specreason", threshold=value, step_delimiter="\n\n") for value in (7.0, 7.5))
    assert a.label == ('specreason policy.specreason.threshold=7 reasoning.step_delimiter="\\n\\n" at-once=1')
    assert short_names([a, b]) == {a.label: "specreason threshold=7", b.label: "specreason threshold=7.5"}


def test_no_secret_of_the_endpoints_is_told() -> None:
    url = "http://me:do-not-tell@127.0.0.1:9/v1?key=do-not-tell"
    told = sharing(Settings.model_validate({"base": {"url": url}, "small": {"url": url}}))
    assert "do-not-tell" not in told
    assert told.count("127.0.0.1:9/v1") == 2
