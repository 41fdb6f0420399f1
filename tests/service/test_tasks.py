from memory.records import Health, SelfEdit, Verdict
from memory.testing import memory_store
from service import tasks
from tests.helpers.stores import adapter_for, add, digest_of, learn, start

EDIT = SelfEdit(
    "task", "steady", {"examples": 38}, {"few_shot": Health(0.8, notes=("studied with noise",))}
)


def test_a_learned_task_and_one_that_waits() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    batch = start(store, add(store, "desk/triage.jsonl"))
    batch = store.save_study(batch, [], [], EDIT)
    batch = store.save_training(batch, adapter_for(store, batch))
    batch = store.save_examination(batch, (), ())
    figures = {"new_asked": 10.0, "new_before": 1.0, "new_after": 9.0}
    batch = store.save_verdict(batch, Verdict(True, (), figures))
    store.promote(store.save_merge(batch, digest_of("model")), "learned the task")
    add(store, "wait.jsonl")
    learned, waiting = tasks.rows(store)
    assert tasks.shown(learned) == {
        "task": "desk/triage", "version": 1, "state": "learned", "examples": 38,
        "right": "9 of 10 (1 before)", "studied": "noise", "reason": "",
    }  # fmt: skip
    assert learned["model"] == "learnd:desk/triage"
    assert learned["generation"] == 2 and learned["health"]["reliability"] == 0.8
    assert (waiting["task"], waiting["state"], waiting["model"]) == ("wait", "pending", None)
    assert waiting["right_after"] is tasks.shown(waiting)["right"] is None
    store.mark_missing(["desk/triage.jsonl"])
    gone = tasks.shown(tasks.rows(store)[0])
    assert (gone["right"], gone["reason"]) == (None, "its file is gone")
