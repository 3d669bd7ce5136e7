"""One served model behind the door: its pool of engines, and vLLM's serving layer on top of it."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

from gateway.admission.admission import Admission
from gateway.guard.leaks import Shape
from gateway.http.direct import DirectStreams
from gateway.http.relay import Relay
from gateway.http.sse_writer import SseWriter
from gateway.http.surface import Route
from gateway.http.tool_grammar import binds_all_tools
from gateway.pool.context import Beat, RequestContext
from gateway.pool.engine_pool import EnginePool
from gateway.pool.parking import beating
from gateway.pool.vllm_seam import FrontEnd


class Bell(Protocol):
    def ring(self) -> None: ...
    def close(self) -> None: ...


class ModelBackend:
    """`alarm` of a model that may sleep: its requests wait in the queue for an engine, instead of being turned away. `version` and
    `former` are its Shape's.
    """

    def __init__(
        self, name: str, pool: EnginePool, front_end: FrontEnd, admission: Admission, version: str, former: str
    ) -> None:
        self.name = name
        self.created = int(time.time())
        self.pool = pool
        self.front_end = front_end
        self.admission = admission
        model = front_end.llm.model_config
        usual = model.get_diff_sampling_param()
        cuts = usual.get("top_p", 1) < 1 or usual.get("min_p", 0) > 0
        self.shape = Shape(name, version, int(model.get_hidden_size()), int(model.get_vocab_size()), former, cuts)
        parser = front_end.app.state.openai_serving_chat.parser_cls
        self.binds_tools = binds_all_tools(parser, front_end.llm.get_tokenizer(), model)
        self.alarm: Bell | None = None
        self._direct = DirectStreams(front_end.app.state)

    @property
    def max_model_len(self) -> int:
        return int(self.front_end.llm.model_config.max_model_len)

    async def ready(self, beat: Beat | None) -> bool:
        if self.alarm is None:
            return self.pool.available or await beating(self.pool.wait_available(), beat)
        self.alarm.ring()
        return True

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens as text."""
        return self.front_end.decode(tokens)

    async def answer(self, route: Route, body: dict[str, Any], writer: SseWriter, context: RequestContext) -> None:
        if self._direct.takes(route.path, body) and await self._direct.run(route.path, body, writer, context):
            return
        await Relay(self.front_end.app, writer, context).run(route.path, body)
