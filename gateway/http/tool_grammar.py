"""Whether a model's parser makes a grammar of any tools whatever. vLLM's own code is asked, once, when the model is opened."""

from typing import Any, Final

import structlog
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

FREE: Final = {
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
}

log = structlog.get_logger(__name__)


def binds_all_tools(parser: Any, tokenizer: Any, model_config: Any) -> bool:
    """True if even tools that may be called or not, none of them strict, hold the answer to a grammar, as GLM's parser, Cohere's
    and Mistral's do. A parser that cannot be asked counts as such a one. `parser` is vLLM's class, None if there is none.
    """
    if parser is None:
        return False
    request = ChatCompletionRequest.model_validate(FREE)
    try:
        made = parser(tokenizer, request.tools, model_config=model_config, chat_template_kwargs={})
        return made.adjust_request(request).extract_structured_outputs() is not None
    except Exception as exc:  # noqa: BLE001  a parser may want what this request lacks
        log.warning("tool_parser_not_asked", parser=parser.__name__, error=str(exc))
        return True
