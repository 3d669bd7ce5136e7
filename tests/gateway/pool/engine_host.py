"""An engine replica without Serve, a process that can be killed: `engine_host.py NAME GATEWAY_KEY` prints its card and serves."""

import asyncio
import json
import os
import sys
import traceback

from deployments.demo_model import INT8
from gateway.pool import leash, vllm_seam, wire
from gateway.pool.outlet import EngineOutlet


async def serve(name: str, gateway_key: str) -> None:
    leash.hold_children()
    args = {
        "model": str(INT8), "dtype": "bfloat16", "enforce_eager": True, "kv_cache_memory_bytes": 512 << 20,
        "block_size": 32, "max_num_seqs": 160, "enable_prefix_caching": True,
        "logits_processors": ["tests.gateway.pool.deadly:Deadly"],
    }  # fmt: skip
    core = vllm_seam.EngineCore(args, log_stats="--log-stats" in sys.argv)
    await core.warm_up(1, logprobs=True)
    outlet = EngineOutlet(core)
    address = outlet.bind("127.0.0.1")
    outlet.allow([gateway_key])
    card = wire.EngineCard(
        engine_id=name,
        model="demo",
        address=address,
        server_key=outlet.server_key,
        protocol=wire.PROTOCOL,
        vllm_version=vllm_seam.VLLM_VERSION,
        fingerprint="",
        max_model_len=core.max_model_len,
        block_size=core.block_size,
        max_num_seqs=160,
        kv_tokens=core.kv_tokens,
        format="int8-w8a8",
        pid=os.getpid(),
    )
    sys.stdout.write("CARD " + json.dumps(card.as_metadata()) + "\n")
    sys.stdout.flush()
    try:
        await outlet.run()
    except Exception:  # noqa: BLE001  whatever ends it
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # as the deployment does: its sockets close at once


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
