"""All that the guard knows of one key, or of one account with several keys."""

import numpy as np

from gateway.guard.profile import Profile
from gateway.guard.response import Standing
from gateway.guard.rff import FEATURES, Window
from gateway.guard.verdict import CLEAR


class Record:
    """`profile` is what this gateway has seen today, `others` what the others have; `cleared`: what was seen before then counts no
    longer.
    """

    __slots__ = (
        "carried",
        "cleared",
        "judged",
        "judged_at",
        "kin_of",
        "others",
        "pace",
        "past",
        "peak",
        "profile",
        "standing",
        "verdict",
    )

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.past = Window(0.0, np.zeros(FEATURES, np.float32), 0.0)
        self.carried = 0.0
        self.standing = Standing()
        self.verdict = CLEAR
        self.peak = 0.0
        self.judged = 0.0
        self.judged_at = 0.0
        self.kin_of: int | None = None
        self.others: dict[str, Profile] = {}
        self.cleared = 0.0
        self.pace = 0.0

    def answered(self, day: int) -> float:
        """Requests, at all gateways."""
        return sum(each.answered for each in (self.profile, *self.others.values()) if each.day == day)

    @property
    def elsewhere(self) -> list[Profile]:
        """What the other gateways have seen on the day that is today here."""
        return [profile for profile in self.others.values() if profile.day == self.profile.day]

    @property
    def whole(self) -> Profile:
        """Of all gateways."""
        others = self.elsewhere
        if not others:
            return self.profile
        whole = Profile(self.profile.tenant, self.profile.day)
        for profile in (self.profile, *others):
            whole.merge(profile)
        return whole
