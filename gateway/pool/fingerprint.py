"""What gateway and engine must agree on to agree about token ids: tokenizer and model configuration, hashed."""

import hashlib
from pathlib import Path

from transformers.utils.hub import cached_file

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja")


def fingerprint(source: str, revision: str | None = None) -> str:
    """Of a model folder, or of a Hugging Face id as it lies in the local cache."""
    digest = hashlib.sha256()
    for name in FILES:
        found = cached_file(source, name, revision=revision, _raise_exceptions_for_missing_entries=False)
        if found is not None:
            digest.update(name.encode() + b"\0" + Path(found).read_bytes() + b"\0")
    return digest.hexdigest()[:32]
