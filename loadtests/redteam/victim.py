"""The model to be stolen, and the truth about it: random weights from a seed, with the demo model's tokenizer."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import GenerationConfig

from deployments.demo_model import BF16
from deployments.demo_model.model import Shape, config, fresh
from deployments.demo_model.network import Network
from deployments.demo_model.rendering import END
from deployments.demo_model.tokenizer import PAD, wrap
from loadtests.redteam.algebra import Matrix

NANO = Shape(width=16, inner=32, layers=2, heads=1, kv_heads=1, head=32)
"""Small enough that a search of one bit per request comes to an end."""
_SPREAD = 0.5


def make(folder: Path, seed: int, shape: Shape = NANO) -> None:
    """Weights are float32, and large enough that logits differ by several nats between tokens and between contexts."""
    tokenizer = Tokenizer.from_file(str(BF16 / "tokenizer.json"))
    source = torch.Generator().manual_seed(seed)
    weights = {
        name: tensor if tensor.dim() == 1 else torch.randn(tensor.shape, generator=source) * _SPREAD
        for name, tensor in fresh(shape, seed).items()
    }
    folder.mkdir(parents=True)
    described = config(tokenizer, shape)
    described.dtype = torch.float32
    described.save_pretrained(folder)
    ends = [tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)]
    GenerationConfig(bos_token_id=ends[1], pad_token_id=ends[1], eos_token_id=ends).save_pretrained(folder)
    wrap(tokenizer).save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def output_projection(folder: Path) -> Matrix:
    """V x h, as the checkpoint has it: what no attack reads before its result is judged."""
    return np.asarray(load_file(folder / "model.safetensors")["lm_head.weight"].double().numpy())


def logits(folder: Path, prompts: list[list[int]], shape: Shape = NANO) -> Matrix:
    """True logits after each prompt, prompts x V, by our own forward pass."""
    network = Network(load_file(folder / "model.safetensors"), shape)
    with torch.no_grad():
        last = network.hidden(torch.tensor(prompts))[:, -1]
        return np.asarray(network.logits(last).double().numpy())


def readable(folder: Path) -> dict[int, str]:
    """Tokens that an attacker can tell by their text alone: printable ASCII that no other token decodes to. Sluice tells no ids."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = {token: tokenizer.decode([token]) for token in range(tokenizer.get_vocab_size())}
    seen = Counter(texts.values())
    return {token: text for token, text in texts.items() if text.isascii() and text.isprintable() and seen[text] == 1}
