import torch

from agent.generate import Asked, generate
from agent.models import LanguageModel


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


def test_sampling_follows_the_seed(tiny: LanguageModel) -> None:
    prompts = [Asked((5, 6, 7), 12)] * 2
    first = generate(tiny, tiny.network, prompts, temperature=1.0, seed=3)
    assert first == generate(tiny, tiny.network, prompts, temperature=1.0, seed=3)
    assert first != generate(tiny, tiny.network, prompts, temperature=1.0, seed=4)


def test_no_prompts_give_no_answers(tiny: LanguageModel) -> None:
    assert generate(tiny, tiny.network, []) == []
