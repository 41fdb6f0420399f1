from agent import general


def test_what_is_asked_is_never_rehearsed() -> None:
    rehearsed = {prompt.lower() for prompt in general.prompts(1000, seed=0)}
    asked = {probe.question.lower() for probe in general.probes()}
    assert len(rehearsed) >= 100 and len(asked) >= 20
    assert not rehearsed & asked


def test_prompts_follow_the_seed_and_the_size() -> None:
    assert general.prompts(5, seed=1) == general.prompts(5, seed=1) != general.prompts(5, seed=2)
    assert len(general.prompts(5, seed=1)) == 5
