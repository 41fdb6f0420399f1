"""Which prompts begin alike."""

from agent.prompts import Asked, Group, groups

PASSAGE, OTHER = tuple(range(5, 45)), tuple(range(60, 95))


def asked(*tokens: int) -> Asked:
    return Asked(tokens, 4)


def test_prompts_about_one_passage_are_a_group() -> None:
    prompts = [asked(*PASSAGE, 100), asked(*OTHER, 100), asked(*PASSAGE, 101), asked(7)]
    found = groups(prompts, 8)
    assert Group(PASSAGE, (0, 2)) in found
    assert sorted(i for group in found for i in group.members) == [0, 1, 2, 3]


def test_a_group_has_no_more_than_so_many_members() -> None:
    sizes = [len(group.members) for group in groups([asked(*PASSAGE, n) for n in range(7)], 3)]
    assert sizes == [3, 3, 1]


def test_the_last_token_is_never_shared() -> None:
    [group] = groups([asked(*PASSAGE), asked(*PASSAGE)], 8)
    assert group.shared == PASSAGE[:-1]


def test_a_few_tokens_are_not_worth_a_group() -> None:
    assert len(groups([asked(1, 2, 3, 4), asked(1, 2, 3, 5)], 8)) == 2


def test_one_that_shares_less_than_half_does_not_join() -> None:
    long = tuple(range(200))
    prompts = [asked(*long, 300), asked(*long, 301), asked(*long[:30], 302)]
    assert len(groups(prompts, 8)) == 2
