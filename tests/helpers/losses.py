"""The study loss of a whole network."""

from torch import Tensor, nn

from agent.losses import Packed, study_loss, target_logits


def loss_of(network: nn.Module, batch: Packed, lead: float = 1.0, general: float = 1.0) -> Tensor:
    return study_loss(target_logits(network, batch), batch, lead, general)
