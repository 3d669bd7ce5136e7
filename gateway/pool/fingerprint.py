"""What gateway and engine must agree on to agree about token ids: tokenizer and model configuration, hashed.

And what stays the same for as long as a model's output layer does, as far as a gateway can know that: it has no weights.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from transformers.utils.hub import cached_file

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja")


def fingerprint(source: str, revision: str | None = None) -> str:
    """Of a model folder, or of a Hugging Face id as it lies in the local cache."""
    return _hashed(source, revision, FILES)


def layer_version(source: str, revision: str | None = None) -> str:
    """The same, of the configuration alone: templates, generation defaults and tokenizers may be mended without a new version."""
    return _hashed(source, revision, FILES[:1])


def _hashed(source: str, revision: str | None, names: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        found = cached_file(source, name, revision=revision, _raise_exceptions_for_missing_entries=False)
        if found is not None:
            digest.update(name.encode() + b"\0" + Path(found).read_bytes() + b"\0")
    return digest.hexdigest()[:32]
