"""Every private name, signature and field of vLLM that gateway/pool/vllm_seam.py uses; what breaks is told by its name.

The seam itself is not imported here: with one of its names gone it could not be, and would say less about it.
"""

import ast
import importlib
import inspect
from importlib.metadata import requires, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("vllm")

from gateway.pool.core_stats import CoreStats
from gateway.pool.parser_names import parser_names

ROOT = Path(__file__).resolve().parents[2]
PINNED = "0.32.0"


def imported(file: str) -> list[tuple[str, str]]:
    """(module, name) of every import from vLLM in a source file, wherever in it."""
    nodes = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vllm"]
    return sorted((str(node.module), alias.name) for node in froms for alias in node.names)


def look_up(path: str) -> Any:
    """`package.module:Class.attribute`."""
    module, _, attributes = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in attributes.split("."):
        found = inspect.getattr_static(found, name) if inspect.isclass(found) else getattr(found, name)
    return found.__func__ if isinstance(found, staticmethod | classmethod) else found


def test_the_version_is_the_one_that_all_this_was_written_for() -> None:
    import vllm

    assert vllm.__version__.split("+")[0] == PINNED
    pins = [line for line in requires("sluice") or () if line.startswith("vllm") and "==" in line]
    assert len(pins) == 2
    assert all(f"=={PINNED};" in pin for pin in pins), pins


@pytest.mark.parametrize(
    ("file", "module", "name"),
    [(file, *found) for file in ("gateway/pool/vllm_seam.py", "gateway/http/direct.py") for found in imported(file)],
)
def test_every_name_is_where_it_was(file: str, module: str, name: str) -> None:
    try:
        there = hasattr(importlib.import_module(module), name) or isinstance(
            importlib.import_module(f"{module}.{name}"), ModuleType
        )
    except ImportError:
        there = False
    assert there, f"{file} uses {module}.{name}, which this vLLM does not have"


CLIENT = "vllm.v1.engine.core_client:EngineCoreClient"
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    (f"{CLIENT}.make_async_mp_client", (), {"vllm_config": 0, "executor_class": 0, "log_stats": 0}),
    (f"{CLIENT}.get_output_async", ("self",), {}),
    (f"{CLIENT}.add_request_async", ("self", "request"), {}),
    (f"{CLIENT}.abort_requests_async", ("self", ["id"]), {}),
    (f"{CLIENT}.get_supported_tasks_async", ("self",), {}),
    (f"{CLIENT}.reset_mm_cache_async", ("self",), {}),
    (f"{CLIENT}.dp_engines_running", ("self",), {}),
    (f"{CLIENT}.shutdown", ("self",), {"timeout": None}),
    ("vllm.v1.engine.async_llm:AsyncLLM.from_vllm_config", ("cls", "config"), {"disable_log_stats": True}),
    ("vllm.v1.engine.async_llm:AsyncLLM.get_supported_tasks", ("self",), {}),
    ("vllm.v1.engine.async_llm:AsyncLLM.shutdown", ("self",), {}),
    ("vllm.engine.arg_utils:AsyncEngineArgs.from_cli_args", ("cls", "args"), {}),
    ("vllm.engine.arg_utils:AsyncEngineArgs.create_engine_config", ("self",), {"usage_context": 0}),
    ("vllm.v1.executor:Executor.get_class", ("config",), {}),
    ("vllm.v1.serial_utils:MsgpackEncoder.encode", ("self", "value"), {}),
    ("vllm.v1.serial_utils:MsgpackDecoder.__init__", ("self", "type"), {}),
    ("vllm.v1.serial_utils:MsgpackDecoder.decode", ("self", "frames"), {}),
    ("vllm.v1.engine.output_processor:RequestState.make_request_output", ("self", [], None, None, None), {}),
    ("vllm.v1.engine.detokenizer:IncrementalDetokenizer.get_next_output_text", ("self", False, True), {}),
    ("vllm.renderers.base:BaseRenderer._tokenize_prompt", ("self", "prompt", "params"), {}),
    ("vllm.renderers.hf:safe_apply_chat_template", ("config", "tokenizer", []), {"tools": None, "chat_template": ""}),
    ("vllm.entrypoints.launchers.app:build_app", ("args", "tasks", "model_config"), {}),
    ("vllm.entrypoints.launchers.api_server.app_state:init_app_state", ("client", "state", "args", "tasks"), {}),
    ("vllm.entrypoints.launchers.cli_args:make_arg_parser", ("parser",), {}),
]


@pytest.mark.parametrize(("path", "args", "kwargs"), CALLS, ids=[path.partition(":")[2] for path, *_ in CALLS])
def test_every_call_still_fits_its_signature(path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    inspect.signature(look_up(path)).bind(*args, **kwargs)


def test_async_llm_makes_its_core_by_the_one_call_that_is_replaced() -> None:
    """And asks of it only what PooledCore has, or what it asks on routes that are not served."""
    source = inspect.getsource(look_up("vllm.v1.engine.async_llm:AsyncLLM"))
    assert "EngineCoreClient.make_async_mp_client(" in source
    tree = ast.parse(inspect.getsource(importlib.import_module("vllm.v1.engine.async_llm")))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"engine_core", "self.engine_core"}
    }
    administration = {
        "add_lora_async", "remove_lora_async", "list_loras_async", "pin_lora_async", "collective_rpc_async",
        "sleep_async", "wake_up_async", "is_sleeping_async", "release_kv_cache_memory_async", "profile_async",
        "pause_scheduler_async", "resume_scheduler_async", "is_scheduler_paused_async", "reset_prefix_cache_async",
        "reset_encoder_cache_async", "prepare_elastic_ep", "commit_elastic_ep", "handle_fault", "get_status",
        "get_kv_event_sources", "get_weight_version_async", "set_weight_version_async", "compute_weight_checksums_async",
    }  # fmt: skip
    from gateway.pool.vllm_seam import PooledCore

    inherited = {name for name in used if name not in vars(PooledCore)}
    assert inherited - {"resources", "engine_ranks_managed"} <= administration


def test_a_core_is_started_by_the_one_call_that_is_replaced() -> None:
    source = inspect.getsource(look_up("vllm.v1.engine.utils:CoreEngineProcManager.__init__"))
    assert "context = get_mp_context()" in source
    assert source.count("context.") == source.count("context.Process(") == 1
    assert callable(look_up("vllm.v1.engine.utils:get_mp_context"))


def test_a_core_that_is_not_there_is_told_by_the_field_that_is_read() -> None:
    assert "engine_dead" in inspect.getsource(look_up("vllm.v1.engine.core_client:BackgroundResources"))
    assert isinstance(look_up("vllm.v1.engine.async_llm:AsyncLLM.errored"), property)
    source = inspect.getsource(look_up("vllm.v1.engine.async_llm:AsyncLLM"))
    assert "self.output_processor = " in source
    assert "add_request_async" in source


def test_prompts_are_rendered_through_the_two_calls_that_are_replaced() -> None:
    base, own = ("".join(inspect.getsource(look_up(path)).split()) for path in RENDERERS)
    assert "awaitself._tokenize_prompt_async(prompt,params)" in base
    assert "self._apply_chat_template_async=make_async(safe_apply_chat_template," in own
    assert "self._apply_chat_template_async(model_config,tokenizer,conversation,**" in own


RENDERERS = ("vllm.renderers.base:BaseRenderer", "vllm.renderers.hf:HfRenderer")
FIELDS: dict[str, set[str]] = {
    "EngineCoreRequest": {
        "request_id",
        "prompt_token_ids",
        "sampling_params",
        "cache_salt",
        "priority",
        "arrival_time",
        "trace_headers",
    },
    "EngineCoreOutput": {
        "request_id",
        "new_token_ids",
        "finish_reason",
        "stop_reason",
        "events",
        "prefill_stats",
        "trace_headers",
    },
}


@pytest.mark.parametrize("struct", FIELDS)
def test_every_field_that_is_read_or_set_is_there(struct: str) -> None:
    assert FIELDS[struct] <= set(look_up(f"vllm.v1.engine:{struct}").__struct_fields__)


def test_the_first_fields_of_a_request_are_in_the_order_that_the_warm_up_uses() -> None:
    first = look_up("vllm.v1.engine:EngineCoreRequest").__struct_fields__[:9]
    assert first == (
        "request_id", "prompt_token_ids", "mm_features", "sampling_params", "pooling_params", "arrival_time",
        "lora_request", "cache_salt", "data_parallel_rank",
    )  # fmt: skip


def test_every_field_of_a_batch_of_outputs_has_been_decided_about() -> None:
    """What an engine step tells is split by gateway: a new field is to be copied, merged or left out knowingly."""
    copied = {"engine_index", "outputs", "timestamp", "weight_version"}
    for_the_heartbeat = {"scheduler_stats"}
    for_the_engines_own_client = {"utility_output", "finished_requests", "wave_complete", "start_wave"}
    fields = set(look_up("vllm.v1.engine:EngineCoreOutputs").__struct_fields__)
    assert fields == copied | for_the_heartbeat | for_the_engines_own_client


def test_an_engine_event_and_its_statistics_have_what_is_read() -> None:
    from gateway.pool import leg

    kinds = look_up("vllm.v1.engine:EngineCoreEventType")
    assert (kinds.QUEUED, kinds.SCHEDULED, kinds.PREEMPTED) == (leg.QUEUED, leg.SCHEDULED, leg.PREEMPTED)
    assert {"type", "timestamp"} == set(look_up("vllm.v1.engine:EngineCoreEvent").__struct_fields__)
    stats = CoreStats()
    stats.take(look_up("vllm.v1.metrics.stats:SchedulerStats")(num_waiting_reqs=2, kv_cache_usage=0.5))
    assert (stats.waiting(3), stats.kv_use(0.1, 1)) == (2, 0.5)


def test_finish_reasons_and_request_states_have_what_is_used() -> None:
    assert {"STOP", "LENGTH", "ABORT", "ERROR"} <= set(look_up("vllm.v1.engine:FinishReason").__members__)
    state = inspect.signature(look_up("vllm.v1.engine.output_processor:RequestState"))
    assert {"request_id", "detokenizer", "queue"} <= set(state.parameters)
    processor = inspect.getsource(look_up("vllm.v1.engine.output_processor:OutputProcessor"))
    assert "self.request_states" in processor
    assert "req_state.make_request_output(" in processor


def test_the_platform_can_be_replaced_where_it_is_looked_up() -> None:
    from vllm import platforms

    assert callable(platforms.current_platform.is_cpu)
    assert look_up("vllm.platforms.cpu:CpuPlatform")().is_cpu()


def test_the_plugins_that_tie_the_core_and_ask_for_amx_are_known_to_vllm() -> None:
    from importlib.metadata import entry_points

    names = {point.name for point in entry_points(group=look_up("vllm.plugins:DEFAULT_PLUGINS_GROUP"))}
    assert {"sluice_leash", "sluice_amx"} <= names
    assert version("sluice")


def test_the_parsers_that_its_source_tells_are_those_that_it_knows() -> None:
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    assert parser_names("tool_parser") == set(ToolParserManager.list_registered())
    assert parser_names("reasoning_parser") == set(ReasoningParserManager.list_registered())
