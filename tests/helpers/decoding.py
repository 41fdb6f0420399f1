"""What a prompt alone is answered."""

import torch

from agent.models import LanguageModel
from agent.prompts import Asked


def plain(model: LanguageModel, asked: Asked) -> str:
    """By transformers, without padding."""
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
