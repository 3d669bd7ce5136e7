"""A client's seed, made into noise that nobody outside can foretell or hold still.

Sampling adds noise to the logits and takes the largest. Who knows a seed's noise reads an inequality between exact logits off
every token; who holds it still while temperature, prompt or a bias move, finds by halving where the choice tips: an equation.
So the engine's seed is a keyed hash of the client's and of all that shapes the choice. The same request has the same answer,
at every gateway that has the same secret; any other has noise of its own, as without a seed.
"""

import copy
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import msgspec

NOT_OF_THE_CHOICE = frozenset(
    """seed n max_tokens stop output_kind stream_interval detokenize skip_special_tokens spaces_between_special_tokens
    include_stop_str_in_output skip_clone output_text_buffer_length""".split()
)
"""Fields of vLLM's sampling parameters that decide where an answer ends and how it is told. A field that is new counts."""


def with_hidden_seed(params: Any, prompt: Sequence[int], secret: str) -> Any:
    """`params`: vLLM's, of one sequence; as they are if they name no seed. `secret`: the tenant's."""
    if params.seed is None:
        return params
    shaping = {name: getattr(params, name) for name in params.__struct_fields__ if name not in NOT_OF_THE_CHOICE}
    plain = msgspec.to_builtins([params.seed, shaping, prompt], str_keys=True, enc_hook=repr)
    asked = msgspec.json.encode(plain, order="deterministic")
    digest = hmac.digest(secret.encode(), b"seed\0" + asked, hashlib.sha256)
    hidden = copy.copy(params)
    hidden.seed = int.from_bytes(digest[:8]) >> 1
    return hidden
