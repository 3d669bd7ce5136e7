"""Accelerator and checkpoint → flags, and the sentence that refuses what cannot work."""

import json
from pathlib import Path

import pytest

from deployments import demo_model, quantization
from deployments.quantization import SUPPORTED, resolve
from gateway.config.models import Checkpoint, Model
from gateway.errors import ConfigError


def model(**checkpoints: Checkpoint) -> Model:
    return Model(name="m", checkpoints=checkpoints)


def checkpoint(source: str, fmt: str = "bf16") -> Checkpoint:
    return Checkpoint.model_validate({"source": source, "format": fmt})


def folder(path: Path, method: str | None) -> str:
    config = {} if method is None else {"quantization_config": {"quant_method": method}}
    (path / "config.json").write_text(json.dumps(config))
    return str(path)


def refusal(model: Model, accelerator: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(model, accelerator, "some.yaml")  # type: ignore[arg-type]
    return str(caught.value)


def test_the_embedded_model_needs_no_flags_in_either_format():
    for source, fmt, path in (("demo:bf16", "bf16", demo_model.BF16), ("demo:int8", "int8-w8a8", demo_model.INT8)):
        served = resolve(model(cpu=checkpoint(source, fmt)), "cpu", "some.yaml")
        assert (served.path, served.engine_args, served.plugins) == (str(path), {}, ())


def test_nf4_is_made_of_plain_weights_by_a_plugin():
    served = resolve(model(cpu=checkpoint("demo:bf16", "bnb-nf4")), "cpu", "some.yaml")
    assert served.engine_args == {"quantization": "bitsandbytes", "load_format": "bitsandbytes"}
    assert served.plugins == ("bitsandbytes",)


def test_fp8_is_made_of_plain_weights_and_read_where_it_is_on_disk(tmp_path: Path):
    plain = resolve(model(cuda=checkpoint(folder(tmp_path, None), "fp8")), "cuda", "some.yaml")
    assert plain.engine_args == {"quantization": "fp8"}
    ready = resolve(model(cuda=checkpoint(folder(tmp_path, "fp8"), "fp8")), "cuda", "some.yaml")
    assert ready.engine_args == {}


def test_the_accelerator_picks_the_checkpoint():
    both = model(cpu=checkpoint("demo:int8", "int8-w8a8"), cuda=checkpoint("demo:bf16"))
    assert resolve(both, "cpu", "f").checkpoint.format == "int8-w8a8"
    assert resolve(both, "cuda", "f").checkpoint.format == "bf16"


def test_a_model_without_a_checkpoint_for_this_accelerator():
    assert refusal(model(cuda=checkpoint("demo:bf16")), "cpu") == (
        "some.yaml: models.m.checkpoints: has no checkpoint for cpu; add one whose format is bf16, int8-w8a8 or bnb-nf4"
    )


@pytest.mark.parametrize("fmt", sorted(set(SUPPORTED["cuda"]) - set(SUPPORTED["cpu"])))
def test_a_format_without_kernels_names_those_that_have_some(fmt: str):
    said = refusal(model(cpu=checkpoint("demo:bf16", fmt)), "cpu")
    assert said.startswith(f"some.yaml: models.m.checkpoints.cpu.format: {fmt} has no kernels on cpu")
    assert said.endswith("bf16, int8-w8a8 or bnb-nf4")


@pytest.mark.parametrize(
    ("method", "fmt", "said"),
    [
        (None, "int8-w8a8", "which is not quantized; say bf16 or fp8 or bnb-nf4"),
        ("awq", "bf16", "which is quantized as awq; say awq"),
        ("gptq", "awq", "which is quantized as gptq; say gptq"),
        ("compressed-tensors", "bf16", "which is quantized as compressed-tensors; say int8-w8a8 or fp8 or awq or gptq"),
        ("mxfp4", "bf16", "which is quantized as mxfp4; say another checkpoint"),
    ],
)
def test_a_format_that_is_not_the_checkpoints_names_the_one_that_is(
    tmp_path: Path, method: str | None, fmt: str, said: str
):
    assert refusal(model(cuda=checkpoint(folder(tmp_path, method), fmt)), "cuda").endswith(said)


def group(weights: str, activations: str | None = None) -> dict[str, object]:
    def numbers(kind: str | None) -> dict[str, object] | None:
        return None if kind is None else {"type": kind[:-1], "num_bits": int(kind[-1])}

    return {"targets": ["Linear"], "weights": numbers(weights), "input_activations": numbers(activations)}


def compressed(path: Path, *groups: dict[str, object]) -> str:
    config = {
        "quant_method": "compressed-tensors",
        "config_groups": {f"group_{number}": one for number, one in enumerate(groups)},
    }
    (path / "config.json").write_text(json.dumps({"quantization_config": config}))
    return str(path)


@pytest.mark.parametrize(
    ("weights", "activations", "fitting"),
    [
        ("int8", "int8", {"int8-w8a8"}),
        ("float8", "float8", {"fp8"}),
        ("float8", None, {"fp8"}),
        ("int4", None, {"awq", "gptq"}),
        ("int8", None, {"gptq"}),
        ("int4", "int8", set()),
        ("float4", "float4", set()),
    ],
)
def test_compressed_tensors_fit_the_format_of_their_numbers_alone(
    tmp_path: Path, weights: str, activations: str | None, fitting: set[str]
):
    source = compressed(tmp_path, group(weights, activations))
    for fmt in SUPPORTED["cuda"]:
        served = model(cuda=checkpoint(source, fmt))
        if fmt in fitting:
            assert resolve(served, "cuda", "f").engine_args == {}
        else:
            assert f"is quantized as compressed-tensors of {weights} weights" in refusal(served, "cuda")


def test_compressed_tensors_without_kernels_here_are_refused_as_what_they_are(tmp_path: Path):
    said = refusal(model(cpu=checkpoint(compressed(tmp_path, group("float8", "float8")), "int8-w8a8")), "cpu")
    assert said.endswith(
        "is quantized as compressed-tensors of float8 weights and float8 activations; say another checkpoint"
    )


def test_every_group_of_compressed_tensors_counts(tmp_path: Path):
    both = compressed(tmp_path, group("int4"), group("int8"))
    assert resolve(model(cuda=checkpoint(both, "gptq")), "cuda", "f").engine_args == {}
    assert refusal(model(cuda=checkpoint(both, "awq")), "cuda").endswith("say gptq")


def test_no_quantization_is_none(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"quantization_config": null}')
    assert resolve(model(cpu=checkpoint(str(tmp_path))), "cpu", "f").engine_args == {}


def test_a_folder_of_a_user_who_does_not_exist():
    said = refusal(model(cpu=checkpoint("~no-such-user/model")), "cpu")
    assert said.startswith("some.yaml: models.m.checkpoints.cpu.source: ~no-such-user/model: there is no such user")


def test_an_embedded_checkpoint_that_does_not_exist():
    assert refusal(model(cpu=checkpoint("demo:int4")), "cpu").endswith(
        "demo:int4 is not embedded; there are demo:bf16 and demo:int8"
    )


def test_a_folder_that_holds_no_model(tmp_path: Path):
    said = refusal(model(cpu=checkpoint(str(tmp_path))), "cpu")
    assert "models.m.checkpoints.cpu.source" in said
    assert said.endswith("holds no config.json, so it is not a model folder")


@pytest.mark.parametrize("content", ["not json", "[]", '{"quantization_config": 5}'])
def test_a_folder_whose_configuration_cannot_be_read(tmp_path: Path, content: str):
    (tmp_path / "config.json").write_text(content)
    assert refusal(model(cpu=checkpoint(str(tmp_path))), "cpu").endswith("is not a model configuration")


def test_a_hub_id_is_taken_at_its_word_where_the_hub_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    served = resolve(model(cuda=checkpoint("organisation/model", "awq")), "cuda", "f")
    assert served.path == "organisation/model"


def test_every_format_of_the_configuration_is_decided_about():
    from typing import get_args

    from gateway.config.types import Format

    assert set(quantization.ON_DISK) == set(get_args(Format))
    assert {fmt for formats in SUPPORTED.values() for fmt in formats} == set(get_args(Format))
