"""Separates tenants in the engines' prefix caches."""

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def tenant_salt(file: Path) -> Callable[[str], str]:
    """HMAC of a tenant under a secret of this installation, made on first use: who shares no tenant shares no prefix cache."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(secrets.token_bytes(32))
    with contextlib.suppress(FileExistsError):
        os.link(draft, file)
    draft.unlink()
    secret = file.read_bytes()
    return lambda tenant: hmac.new(secret, tenant.encode(), hashlib.sha256).hexdigest()[:32]
