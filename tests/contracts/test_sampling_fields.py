"""Every field of vLLM's sampling parameters has been decided about: may a stream be continued from its tokens?"""

import pytest

pytest.importorskip("vllm")

from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from gateway.pool.forced_prefix import NEUTRAL, continuable

A_FUNCTION_OF_ALL_TOKENS = set(
    """temperature top_p top_k min_p repetition_penalty logit_bias allowed_token_ids _all_stop_token_ids _eos_token_id
    stop_token_ids ignore_eos max_tokens min_tokens logprobs flat_logprobs logprob_token_ids""".split()
)
THE_GATEWAYS_OWN = set(
    """n stop detokenize skip_special_tokens spaces_between_special_tokens include_stop_str_in_output output_kind
    stream_interval skip_clone output_text_buffer_length""".split()
)
OF_THE_PROMPT_OR_NOT_SERVED = set(
    """watermarking _watermarking_skipped prompt_logprob_token_ids prompt_logprob_start skip_reading_prefix_cache
    routed_experts_prompt_start trace_decode_token_ids _bad_words_token_ids""".split()
)


def test_every_field_has_been_decided_about() -> None:
    decided = set(NEUTRAL) | A_FUNCTION_OF_ALL_TOKENS | THE_GATEWAYS_OWN | OF_THE_PROMPT_OR_NOT_SERVED
    assert set(SamplingParams.__struct_fields__) == decided


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, True),
        ({"temperature": 0}, True),
        ({"temperature": 0, "seed": 3}, True),
        ({"temperature": 1, "logprobs": 5, "stop": ["x"], "min_tokens": 3, "repetition_penalty": 1.1}, True),
        ({"temperature": 1, "seed": 3}, False),
        ({"frequency_penalty": 0.1}, False),
        ({"presence_penalty": 0.1}, False),
        ({"bad_words": ["x"]}, False),
        ({"structured_outputs": StructuredOutputsParams(regex="a+")}, False),
    ],
)
def test_what_can_be_continued(params: dict[str, object], expected: bool) -> None:
    assert continuable(SamplingParams(**params)) is expected
