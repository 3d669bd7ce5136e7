"""The guard's memory and judgement, without threads, clocks or disks: observations in, verdicts out.

`take` is meant for the background, and cheapest with several requests at once; `judge` looks again at every key that has been seen
since, and tells whose level changed. Memory is bounded by the number of keys, templates and groups that are kept.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.guard.accounts import ACCOUNT, Accounts, Families
from gateway.guard.calibration import Calibration
from gateway.guard.features import Features, Snapshot, features
from gateway.guard.groups import STRANGERS, Groups, Kin, kin
from gateway.guard.hashing import Hasher
from gateway.guard.marks import DIMENSIONS, Marker, Marks
from gateway.guard.observation import Observation
from gateway.guard.packing import Ledger
from gateway.guard.profile import DAY_S, Profile
from gateway.guard.record import Record
from gateway.guard.response import Rules, Standing, aged, applied, moved
from gateway.guard.rff import Kernel, Window
from gateway.guard.score import carried_on, evidence, level_of, probed, together
from gateway.guard.twins import Twins
from gateway.guard.verdict import CLEAR, Change, Level, Verdict

KEYS: Final = 50_000
AGAIN_S: Final = 30.0
SOON_S: Final = 0.5
GROWN: Final = 1.25
"""A key is looked at again after AGAIN_S, or once it has grown by a quarter, though not before SOON_S."""
PAST_DECAY: Final = 0.8
SHARED_LEAST: Final = 3
FORGOTTEN_DAYS: Final = 60
PACE_S: Final = 3600.0
"""The least time that a key's pace is taken over."""


class DetectorSettings(NamedTuple):
    """`tenants`: rules that go before `rules`. `trusted`: tenants of whom nothing is concluded. Thresholds go before the
    calibration's.
    """

    rules: Rules = Rules()
    tenants: Mapping[str, Rules] = {}
    trusted: frozenset[str] = frozenset()
    links: tuple[tuple[str, ...], ...] = ()
    thresholds: Mapping[Level, float] = {}


class Detector:
    def __init__(
        self, settings: DetectorSettings | None = None, calibration: Calibration | None = None, secret: bytes = b""
    ) -> None:
        self.settings = settings or DetectorSettings()
        table = calibration or Calibration.load()
        self.calibration = table._replace(thresholds={**table.thresholds, **self.settings.thresholds})
        self.accounts = Accounts(self.settings.links)
        self.records: OrderedDict[str, Record] = OrderedDict()
        self._families = Families(self.accounts, Hasher(secret))
        self._marker = Marker(Hasher(secret))
        self._kernel = Kernel(DIMENSIONS)
        self.groups = Groups()
        self._twins = Twins()
        self._hours = np.zeros(24, np.float32)
        self._kin: dict[int, tuple[float, Kin]] = {}
        self._dirty: dict[str, None] = {}
        self._changed: dict[str, None] = {}

    def take(self, *seen: Observation) -> None:
        """In order, MOST of marks.py at most; `at` may run back a little, never by days."""
        if not seen:
            return
        marks = self._marker.all(seen)
        phis = self._kernel.features(np.stack([each.embedding for each in marks]))
        for each, marked, phi in zip(seen, marks, phis, strict=True):
            self._take(each, marked, phi)

    def _take(self, seen: Observation, marks: Marks, phi: NDArray[np.float32]) -> None:
        record = self._record(seen.key, seen.tenant, seen.at)
        account = self._families.of(seen.tenant)
        shared = seen.tenant not in self.settings.trusted and self._families.shared(seen.tenant)
        if shared:
            whole = self._record(account, account.removeprefix(ACCOUNT), seen.at)
            reasoning = record.profile.take(seen, marks, phi, (whole.profile, *whole.elsewhere, *record.elsewhere))
            whole.profile.take(seen, marks, phi, whole.elsewhere)
            self._dirty[account] = self._changed[account] = None
        else:
            reasoning = record.profile.take(seen, marks, phi, record.elsewhere)
        hour = int(seen.at % DAY_S // 3600)
        if seen.status < 400:
            self._hours[hour] += 1
            if self._twins.take(marks.simhash, seen.tenant) is not None:
                record.profile.twin()
            inner = self._families.ident(seen.tenant)
            for template in marks.templates:
                for name, owner in ((template, seen.tenant), (template ^ inner, seen.key))[: 1 + shared]:
                    group = self.groups.of(name, owner, record.profile.day)
                    if group is not None:
                        group.take(owner, hour, marks.text, phi, (marks.instruction, reasoning))
        self._dirty[seen.key] = self._changed[seen.key] = None

    def due(self, now: float) -> list[str]:
        """The keys with something new to look at again, and those whose level may fall."""
        keys = []
        for key in list(self._dirty):
            record = self.records.get(key)
            if record is None:
                del self._dirty[key]
                continue
            waited = now - record.judged_at
            grown = record.profile.get("requests") >= GROWN * record.judged
            if waited >= AGAIN_S or (waited >= SOON_S and grown):
                keys.append(key)
        held = (key for key, record in self.records.items() if record.standing.level and key not in self._dirty)
        return keys + [key for key in held if now - self.records[key].judged_at >= AGAIN_S * 20]

    def judge(self, now: float, keys: Iterable[str] | None = None) -> list[Change]:
        """Looks at these keys, or at all that are due."""
        changes = []
        today = int(now // DAY_S)
        for key in self.due(now) if keys is None else keys:
            record, news = self.records.get(key), key in self._dirty
            self._dirty.pop(key, None)
            if record is None:
                continue
            # What came before midnight is judged first; who sends nothing more, for it is refused, has clean days all the same.
            if not news and record.profile.day < today:
                self._end_day(record, today)
            changes += self._judged(key, record, now)
        return changes

    def verdict(self, key: str) -> Verdict:
        record = self.records.get(key)
        return CLEAR if record is None else record.verdict

    def features(self, key: str) -> Features:
        """Of the running day, over all gateways."""
        record = self.records[key]
        whole = record.whole
        found, part, record.kin_of = self._strongest(key, whole)
        return features(whole, record.past, found, part, self._alike(key, whole.day))

    def _alike(self, key: str, day: int) -> float:
        """How many keys of one size would have shared this subject's traffic: 1 for a key."""
        if not key.startswith(ACCOUNT):
            return 1.0
        keys = self._families.keys(key.removeprefix(ACCOUNT))
        counts = [self.records[each].answered(day) for each in keys if each in self.records]
        squares = sum(count * count for count in counts)
        return sum(counts) ** 2 / squares if squares else 1.0

    def snapshots(self) -> list[Snapshot]:
        """Of every key that was seen on its latest day."""
        return [Snapshot(key, record.profile.day, self.features(key)) for key, record in self.records.items()]

    def explain(self, key: str) -> dict[str, Any]:
        """Every feature with its points, the largest first, and who shares the key's strongest group."""
        record, found = self.records[key], self.features(key)
        table = self.calibration
        rows = [
            {
                "feature": name,
                "points": round(table.weights.get(name, 0.0) * table.surprise(name, value), 3),
                "value": round(value, 3),
                "usual": round(table.quantiles[name][0], 3),
                "rare": round(table.quantiles[name][2], 3),
            }
            for name, value in found._asdict().items()
        ]
        return {
            "key": key,
            "tenant": record.profile.tenant,
            "requests_today": int(record.whole.get("requests")),
            "carried": round(record.carried, 3),
            "thresholds": {level.label: value for level, value in table.thresholds.items()},
            "features": sorted(rows, key=lambda row: -row["points"]),
            "acts_with": self.kindred(key),
        }

    def kindred(self, key: str) -> tuple[str, ...]:
        """The accounts that share this key's strongest group."""
        record = self.records.get(key)
        if record is None or record.kin_of is None or record.kin_of not in self.groups.groups:
            return ()
        return tuple(self.groups.whole(record.kin_of).members)

    def release(self, key: str, now: float) -> list[Change]:
        """Forgets the evidence of this day and of those before, of the key and of its account; of an account, of its keys too.
        Empty if nothing is known of the key.
        """
        record = self.records.get(key)
        if record is None:
            return []
        tenant = record.profile.tenant
        more = self._families.keys(tenant) if key.startswith(ACCOUNT) else (self._families.of(tenant),)
        changes = [self._released(key, now)]
        return changes + [self._released(each, now) for each in more if each in self.records]

    def _released(self, key: str, now: float) -> Change:
        record = self.records[key]
        tenant = record.profile.tenant
        fresh = self.records[key] = Record(Profile(tenant, record.profile.day))
        fresh.cleared = now
        self._dirty.pop(key, None)
        self._changed[key] = None
        return Change(key, tenant, record.standing.level, CLEAR._replace(since=now), now, released=True)

    def changed(self) -> list[str]:
        """The keys about which there is something new since the last time that this was asked."""
        keys, self._changed = list(self._changed), {}
        return keys

    def ledger(self, key: str) -> Ledger:
        record = self.records[key]
        standing, past = record.standing, record.past
        return Ledger(
            record.profile.tenant,
            int(standing.level),
            standing.since,
            standing.seen,
            record.carried,
            past.n,
            past.squares,
            past.total.astype(np.float32).tobytes(),
            record.cleared,
            record.profile.day * DAY_S,
            record.pace,
        )

    def learn(self, key: str, told: Ledger, now: float) -> bool:
        """What another gateway, or an earlier life of this one, knew of a key: the highest of both counts, and a release makes
        all that was found before it nothing. A trusted tenant's key takes over no level. True if the key's level is another now.
        """
        record = self.records.get(key)
        if record is None:
            record = self._new(key, told.tenant, int(now // DAY_S))
        elif told.cleared < record.cleared:
            return False
        before, rules = record.verdict.level, self.rules(told.tenant)
        if told.cleared > record.cleared:
            record = self.records[key] = Record(Profile(told.tenant, record.profile.day))
            record.cleared = told.cleared
        day = int(told.at // DAY_S)
        if day > record.profile.day:
            self._end_day(record, day)
        carried = told.carried
        for _ in range(day, min(record.profile.day, day + FORGOTTEN_DAYS)):
            carried = carried_on(carried, 0.0, self.calibration.drift)
        record.carried = max(record.carried, carried)
        if told.past_n > record.past.n:
            record.past = told.window
        trusted = told.tenant in self.settings.trusted
        standing = Standing() if trusted else aged(told.standing, rules, now)
        if (standing.level, standing.seen) > (record.standing.level, record.standing.seen):
            record.standing, record.pace = standing, told.pace
        level = record.standing.level
        if level > record.verdict.level:
            record.verdict = Verdict(level, applied(level, rules), 0.0, (), record.standing.since, record.pace)
        return record.verdict.level != before

    def merge(self, key: str, writer: str, profile: Profile) -> None:
        """Another gateway's sketches of a key that is known here."""
        record = self.records.get(key)
        if record is not None and profile.begun >= record.cleared:
            record.others = {name: each for name, each in record.others.items() if each.day >= record.profile.day}
            record.others[writer] = profile

    def rules(self, tenant: str) -> Rules:
        return self.settings.tenants.get(tenant, self.settings.rules)

    def _record(self, key: str, tenant: str, at: float) -> Record:
        day = int(at // DAY_S)
        record = self.records.get(key)
        if record is None:
            record = self._new(key, tenant, day)
        elif day > record.profile.day:
            self._end_day(record, day)
        self.records.move_to_end(key)
        return record

    def _new(self, key: str, tenant: str, day: int) -> Record:
        """Of KEYS the one that has rested longest makes room, but none that is held to a level while there is one that is not."""
        if len(self.records) >= KEYS:
            for _ in range(KEYS):
                oldest = next(iter(self.records))
                if not self.records[oldest].standing.level:
                    break
                self.records.move_to_end(oldest)
            gone, evicted = self.records.popitem(last=False)
            self._families.leave(gone, evicted.profile.tenant)
        record = self.records[key] = Record(Profile(tenant, day))
        if not key.startswith(ACCOUNT):
            self._families.join(key, tenant)
            return record
        # What the first key had sent before there was a second one.
        first = self.records.get(next(iter(self._families.keys(tenant)), ""))
        if first is not None and first.profile.day == day:
            record.profile.merge(first.profile)
        return record

    def _end_day(self, record: Record, day: int) -> None:
        """The day's score goes into the key's CUSUM, its traffic into what is usual for the key."""
        profile = record.whole
        record.carried = carried_on(record.carried, record.peak, self.calibration.drift)
        for _ in range(profile.day + 1, day):
            record.carried = carried_on(record.carried, 0.0, self.calibration.drift)
        today, past = profile.window, record.past
        record.past = Window(
            PAST_DECAY * past.n + today.n,
            PAST_DECAY * past.total + today.total,
            PAST_DECAY * past.squares + today.squares,
        )
        record.profile = Profile(profile.tenant, day)
        record.judged = record.peak = 0.0

    def _judged(self, key: str, record: Record, now: float) -> list[Change]:
        self._changed[key] = None
        record.judged, record.judged_at = record.profile.get("requests"), now
        tenant = record.profile.tenant
        if tenant in self.settings.trusted:
            return []
        account = self._families.of(tenant)
        rules = self.rules(tenant)
        found = evidence(self.features(key), record.carried, self.calibration)
        record.peak = max(record.peak, found.score - record.carried)
        found, reached = probed(found, level_of(found, self.calibration), record.profile.burst)
        if key == account:
            keys = [self.records[each].standing for each in self._families.keys(tenant) if each in self.records]
            found, reached = together(found, reached, [each.level for each in keys if each.since > record.cleared])
        before, record.standing = record.standing, moved(record.standing, reached, rules, now)
        level = record.standing.level
        if before.level < Level.THROTTLE <= level:
            whole = record.whole
            sent = whole.window.n / self._alike(key, whole.day)
            record.pace = sent / max(PACE_S, now - (whole.begun or now))
        since, pace = record.standing.since, record.pace
        # A level that only time will lower is told with what it was reached by.
        reasons = found.reasons if reached >= level else record.verdict.reasons
        record.verdict = Verdict(level, applied(level, rules), found.score, reasons, since, pace)
        if level == before.level:
            return []
        if account in self.records:
            self._dirty[account], self.records[account].judged_at = None, 0.0
        return [Change(key, tenant, before.level, record.verdict, now)]

    def _strongest(self, key: str, profile: Profile) -> tuple[Kin, float, int | None]:
        """Of the groups that the key belongs to with more than a request or two: its features, and the key's part in it."""
        best, part, where = STRANGERS, 0.0, None
        inner, tenant = self._families.ident(profile.tenant), profile.tenant
        for template, use in profile.templates.uses.items():
            own = use.count - use.over
            if own < SHARED_LEAST:
                continue
            for name, owner in ((template, tenant), (template ^ inner, key)):
                if not self.groups.has(name, owner, profile.day):
                    continue
                found = self._kin_of(name)
                if name != template:
                    found = found._replace(weight=max(found.instruction, found.reasoning))
                if _strength(found) * own > _strength(best) * part:
                    best, part, where = found, own, name
        return best, part, where

    def _kin_of(self, template: int) -> Kin:
        """Of all gateways, reckoned again once the group has grown by a tenth."""
        known, requests = self._kin.get(template), self.groups.requests(template)
        if known is not None and known[0] <= requests < known[0] * 1.1 + 4:
            return known[1]
        found = kin(self.groups.whole(template), self._hours)
        if len(self._kin) > 4 * len(self.groups.groups) + 1000:
            self._kin.clear()
        self._kin[template] = (requests, found)
        return found


def _strength(found: Kin) -> float:
    return found.weight * found.accounts * found.novelty * found.kinship * found.evenness
