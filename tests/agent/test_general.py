from agent import general


def test_what_is_asked_is_never_rehearsed() -> None:
    rehearsed = {item.prompt.lower() for item in general.items(1000, seed=0)}
    asked = {probe.question.lower() for probe in general.probes()}
    assert len(rehearsed) >= 30 and len(asked) >= 20
    assert not rehearsed & asked


def test_items_follow_the_seed_and_the_size() -> None:
    assert general.items(5, seed=1) == general.items(5, seed=1) != general.items(5, seed=2)
    assert len(general.items(5, seed=1)) == 5
