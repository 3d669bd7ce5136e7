"""One YAML file, read strictly: a key that stands twice is refused, since YAML readers forget the first one without a word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gateway.errors import ConfigError


class _Loader(yaml.SafeLoader):
    # lm-format-enforcer, which vLLM imports, makes dates texts for every SafeLoader of the process.
    yaml_constructors = yaml.SafeLoader.yaml_constructors | {
        "tag:yaml.org,2002:timestamp": yaml.SafeLoader.construct_yaml_timestamp
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Values that only look like a date, a number or a truth value are told by their line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, ArithmeticError) as exc:
            problem = f"this is no {node.tag.rpartition(':')[2]} ({exc}); put quotes around a text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from exc


def read(path: Path) -> object:
    """What the file holds; None if it is empty. Raises ConfigError."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is None:
            return None
        for key, first, again in _repeated(node, "", set()):
            raise ConfigError(str(path), key, f"stands twice, in line {first} and in line {again}: make one of them")
        return loader.construct_document(node)
    except OSError as exc:
        raise ConfigError(str(path), "", f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(str(path), "", f"is not UTF-8: {exc.reason} at byte {exc.start}") from exc
    except (yaml.YAMLError, ValueError, OverflowError) as exc:  # the latter two of escapes that stand for no character
        raise ConfigError(str(path), "", f"is not YAML: {' '.join(str(exc).split())}") from exc
    except RecursionError as exc:
        raise ConfigError(str(path), "", "is nested too deeply") from exc


def _repeated(node: yaml.Node, at: str, seen: set[int]) -> Iterator[tuple[str, int, int]]:
    """Each key that its mapping has twice, and both lines. What an alias stands for is looked at once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, f"{at}{number}.", seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            name, line = (key.tag, str(key.value)), key.start_mark.line + 1
            if name in lines:
                yield f"{at}{key.value}", lines[name], line
            lines[name] = line
            yield from _repeated(value, f"{at}{key.value}.", seen)
