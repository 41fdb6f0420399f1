"""The whole set of policies that write or plan, once on the built-in model on a small text."""

import pytest

from agent import catalog, models, study
from agent.settings import TrainSettings
from agent.study import ModelTools
from memory.records import Chunk
from policies.al import AutonomousLearning
from policies.alas import Alas
from policies.base import Policy
from policies.evol_instruct import EvolInstruct
from policies.grounding import overlap
from policies.pipeline import Pipeline
from policies.r_zero import RZero
from policies.seal import SelfEdits
from policies.selection import select, words
from service.config import load

CHUNK = Chunk(
    1,
    1,
    0,
    "The ferry Kittiwake",
    "The ferry Kittiwake carries 214 passengers. She docks at pier 11 behind the old mill.",
)


@pytest.mark.model
@pytest.mark.slow
def test_all_of_them_work_on_the_built_in_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "TRIAL_TOKENS", 200)
    config = load(None)
    base = catalog.resolve(config.model, config.cache)
    adapter = catalog.study_adapter(config.model)
    assert adapter is not None
    practised = models.merged(models.load(base), adapter)
    tools = ModelTools(
        practised, models.Embedder(config.embedder), base, TrainSettings(), lambda progress: None
    )
    seal = SelfEdits(("rewrite", "self-qa"), tried=1)
    policies: list[Policy] = [AutonomousLearning(), EvolInstruct(), Alas(), RZero(samples=2), seal]
    studied = Pipeline(policies).run([CHUNK], tools, 0)
    assert [health.failed for health in studied.health.values()] == [None] * len(policies)
    for one in studied.trusted:
        assert one.answer in one.evidence
        if one.kind == "text":
            assert overlap(one.said, CHUNK.text) >= 0.6
    plan = select([CHUNK], studied.trusted, 2, 0)
    taught = {words(item.prompt) for item in plan.items}
    assert plan.probes and not taught & {words(probe.question) for probe in plan.probes}
    reward = studied.health["seal"]
    assert reward.reliability is not None and 0 <= reward.reliability <= 1
    # how many lines rest on the text is chance, and differs between processors
    assert {"lines_rewrite", "lines_self-qa"} <= reward.figures.keys()
