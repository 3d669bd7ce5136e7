"""The parsers that the installed vLLM has, read from its source: importing it takes seconds, and a GPU's memory.

tests/contracts/test_vllm_seam.py holds this against what vLLM itself says.
"""

import ast
from importlib.util import find_spec
from pathlib import Path

TABLES = {
    "tool_parser": ("tool_parsers", "_TOOL_PARSERS_TO_REGISTER"),
    "reasoning_parser": ("reasoning", "_REASONING_PARSERS_TO_REGISTER"),
}


def parser_names(setting: str) -> frozenset[str]:
    """What `tool_parser` or `reasoning_parser` may be. Empty where vLLM does not tell: then it will have to judge by itself."""
    package, table = TABLES[setting]
    vllm = find_spec("vllm")
    if vllm is None or vllm.origin is None:
        return frozenset()
    try:
        module = ast.parse((Path(vllm.origin).parent / package / "__init__.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return frozenset()
    tables = (
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and ast.unparse(node.targets[0]) == table
    )
    return frozenset(str(key.value) for found in tables for key in found.keys if isinstance(key, ast.Constant))
