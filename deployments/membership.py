"""Who is running, by Serve's long poll: the one adapter over Serve's private membership surface.

A controller that cannot be reached leaves the last list standing; it is asked again until it is back.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import ray
import structlog
from ray.exceptions import RayError
from ray.serve._private.common import DeploymentID
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from ray.serve._private.long_poll import LongPollNamespace, LongPollState

RETRY_S = 0.5

log = structlog.get_logger(__name__)

Metadata = dict[str, Any]
Card = TypeVar("Card")


async def watch(
    deployment: str, app: str, read: Callable[[Metadata], Card], on_change: Callable[[list[Card]], None]
) -> None:
    """Calls `on_change` with the cards that the running replicas of a deployment published, now and at each change.

    A card that `read` cannot read belongs to another version, and is left out.
    """
    key = (LongPollNamespace.DEPLOYMENT_TARGETS, DeploymentID(name=deployment, app_name=app))
    snapshot = -1
    while ray.is_initialized():
        try:
            controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
            updates = await controller.listen_for_change.remote({key: snapshot})
        except (RayError, ValueError) as exc:
            log.warning("serve_controller_unreachable", deployment=deployment, error=type(exc).__name__)
            snapshot = -1
            await asyncio.sleep(RETRY_S)
            continue
        if updates == LongPollState.TIME_OUT or key not in updates:
            continue
        snapshot = updates[key].snapshot_id
        replicas = updates[key].object_snapshot.running_replicas
        cards = [_read(read, replica.replica_metadata) for replica in replicas if replica.replica_metadata]
        on_change([card for card in cards if card is not None])


def _read(read: Callable[[Metadata], Card], metadata: Metadata) -> Card | None:
    try:
        return read(metadata)
    except msgspec.ValidationError as exc:
        log.warning("card_not_understood", error=str(exc))
        return None
