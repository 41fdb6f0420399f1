import threading
from collections.abc import Iterator

import pytest
import torch

from agent.generate import Asked, _Choice, generate
from agent.lanes import count
from agent.models import LanguageModel

CPU = torch.device("cpu")


@pytest.fixture
def one_lane() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plain(model: LanguageModel, asked: Asked) -> str:
    """One prompt alone, without padding."""
    tokens = torch.tensor([asked.tokens])
    output = model.network.generate(  # type: ignore[operator]
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=asked.most,
        do_sample=False,
        pad_token_id=model.tokenizer.eos_token_id,
    )
    decoded = model.tokenizer.decode(output[0, tokens.shape[1] :], skip_special_tokens=True)
    return str(decoded).strip()


def test_a_batch_answers_as_each_prompt_alone(tiny: LanguageModel) -> None:
    prompts = [Asked(tuple(range(5, 5 + length)), 6) for length in (9, 3, 17, 1)]
    assert generate(tiny, tiny.network, prompts) == [plain(tiny, one) for one in prompts]


def test_prompts_that_begin_alike_answer_as_each_alone(tiny: LanguageModel) -> None:
    passages = [tuple(range(5, 45)), tuple(range(60, 95))]
    prompts = [
        Asked((*passage, *range(100, 100 + n)), 6) for n in (1, 9, 4) for passage in passages
    ]
    assert generate(tiny, tiny.network, prompts) == [plain(tiny, one) for one in prompts]


def test_what_prompts_share_is_read_once(one_lane: None, tiny: LanguageModel) -> None:
    passage = tuple(range(5, 105))
    read: list[int] = []

    def count(module: object, inputs: object, keywords: dict[str, torch.Tensor]) -> None:
        read.append(keywords["input_ids"].numel())

    hook = tiny.network.register_forward_pre_hook(count, with_kwargs=True)
    try:
        generate(tiny, tiny.network, [Asked((*passage, n, 7), 2) for n in range(110, 120)])
    finally:
        hook.remove()
    assert read[0] == len(passage) and sum(read) < 2 * len(passage)


def test_sampling_follows_the_seed(tiny: LanguageModel) -> None:
    prompts = [Asked((5, 6, 7), 12)] * 2
    first = generate(tiny, tiny.network, prompts, temperature=1.0, seed=3)
    assert first == generate(tiny, tiny.network, prompts, temperature=1.0, seed=3)
    assert first != generate(tiny, tiny.network, prompts, temperature=1.0, seed=4)


def test_no_prompts_give_no_answers(tiny: LanguageModel) -> None:
    assert generate(tiny, tiny.network, []) == []


def test_each_prompt_has_its_own_limit(tiny: LanguageModel) -> None:
    prompts = [Asked((5, 6, 7), most) for most in (1, 7, 3, 7, 2)]
    assert generate(tiny, tiny.network, prompts) == [plain(tiny, one) for one in prompts]


def test_rows_that_are_done_leave_the_batch(one_lane: None, tiny: LanguageModel) -> None:
    rows: list[int] = []

    def count(module: object, inputs: object, keywords: dict[str, torch.Tensor]) -> None:
        rows.append(keywords["input_ids"].shape[0])

    hook = tiny.network.register_forward_pre_hook(count, with_kwargs=True)
    try:
        generate(tiny, tiny.network, [Asked((5, 6, n), 1 if n < 17 else 4) for n in range(7, 20)])
    finally:
        hook.remove()
    assert rows == [13, 13, 3, 3, 3]


def test_sampling_never_leaves_the_likeliest() -> None:
    logits = torch.arange(200.0).expand(400, -1)
    chosen = _Choice(1000.0, torch.Generator().manual_seed(1))(logits)
    assert chosen.min() >= 150 and len(set(chosen.tolist())) > 10


def test_a_few_prompts_are_decoded_together(tiny: LanguageModel) -> None:
    rows: list[int] = []

    def note(module: object, inputs: object, keywords: dict[str, torch.Tensor]) -> None:
        rows.append(len(keywords["input_ids"]))

    hook = tiny.network.register_forward_pre_hook(note, with_kwargs=True)
    try:
        prompts = [Asked((5, n, 7), 2) for n in range(10, 30)]
        assert generate(tiny, tiny.network, prompts) == [plain(tiny, one) for one in prompts]
    finally:
        hook.remove()
    assert max(rows) == len(prompts)


def test_lanes_share_the_prompts_and_keep_their_order(tiny: LanguageModel) -> None:
    threads: list[str] = []

    def note(module: object, inputs: object) -> None:
        threads.append(threading.current_thread().name)

    hook = tiny.network.register_forward_pre_hook(note)
    try:
        prompts = [Asked((5, n, 7), 1 + n % 3) for n in range(10, 150)]
        assert generate(tiny, tiny.network, prompts) == [plain(tiny, one) for one in prompts]
    finally:
        hook.remove()
    assert len({name for name in threads if name.startswith("lane")}) == count(CPU)
