"""Collect market prices for each kind of rental in the fleet, and the possible saving from a move.

A kind is a GPU model, a number of GPUs and a rental type. One search per kind returns the cheapest offers.
Only offers that would be a real saving count. If ours is verified, the offer must be verified. Offers on our
own machines do not count, because a search for bids echoes our own bid.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from exporter.collectors.assumptions import market as assumptions
from exporter.collectors.base import Collector, Progress, Run
from exporter.collectors.instance_record import NUM_GPUS, STORAGE_TOTAL_COST, VERIFIED
from exporter.metrics import lines
from exporter.metrics.fields import NOT_POSITIVE, Fields, Problems, Record, number_field, text_field
from exporter.metrics.rows import DOLLARS_PER_HOUR, Metric
from exporter.metrics.snapshot import Lines, Part, Snapshot
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import ApiError, AuthError, BadReplyError, QuotaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.collectors.fleet import Rented
    from exporter.metrics.values import Number

#: The documented limit is ten searches per minute.
ENDPOINT = Endpoint("/api/v0/bundles/", 6.0, method="POST")
#: Maximum number of offers in a reply, whatever the request's limit.
MOST_OFFERS = 64
#: Rental types, and their names in a search.
SEARCHED = {"on_demand": "on-demand", "interruptible": "bid", "reserved": "reserved"}

GPU_NAME = text_field("gpu_name")
MACHINE_ID = text_field("machine_id")
VERIFICATION = text_field("verification")
DPH_BASE = number_field("dph_base", unknown=NOT_POSITIVE)
MIN_BID = number_field("min_bid", unknown=NOT_POSITIVE)
DISCOUNTED = number_field("discounted_dph_total", unknown=NOT_POSITIVE)
FIELDS = Fields(
    (GPU_NAME, NUM_GPUS, MACHINE_ID, VERIFICATION, DPH_BASE, MIN_BID, DISCOUNTED, STORAGE_TOTAL_COST)
)
KIND = ("gpu_name", "num_gpus", "rental")

GPU_PRICE = Metric(
    name=f"vastai_market_gpu_price_{DOLLARS_PER_HOUR}",
    help="Price per GPU among the cheapest market offers, excluding the disk (API fields dph_base, min_bid,"
    " discounted_dph_total, storage_total_cost, num_gpus).",
    labels=(*KIND, "stat"),
    notes="stat is min, p25 or median of the offers that vastai_market_offers counts; on_demand is dph_base,"
    " interruptible min_bid, reserved discounted_dph_total less storage_total_cost",
)
OFFERS = Metric(
    name="vastai_market_offers",
    help="Number of compared offers, out of the 64 cheapest that the API returns (API fields gpu_name,"
    " num_gpus, verification, machine_id).",
    labels=KIND,
    notes="only verified offers, unless no rented instance of this kind is verified; no offers on machines"
    " that the fleet already rents",
)
SAVING = Metric(
    name=f"vastai_market_saving_{DOLLARS_PER_HOUR}",
    help="Saving from moving the instance to the cheapest comparable machine, 0 if there is none.",
    labels=("account", "instance_id"),
    notes="as of the last run, excluding disk and traffic; a comparable machine offers the same GPU model,"
    " number of GPUs and rental type, is verified if the instance's machine is, and is not already rented;"
    " no sample if nothing is comparable or the GPUs are not being charged",
)
QUOTA_EXHAUSTED = Metric(
    name="vastai_market_quota_exhausted",
    help="1 if the daily search quota is exhausted, which stops searches until midnight UTC, else 0.",
    labels=(),
)

_log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """Basis of comparison: GPU model, number of GPUs and rental type."""

    gpu_name: str
    num_gpus: int
    rental: str

    @property
    def labels(self) -> tuple[str, str, str]:
        """Its values of the labels `KIND`."""
        return self.gpu_name, str(self.num_gpus), self.rental


class Offer(NamedTuple):
    """An offer: price per GPU in dollars per hour, and the machine with its verification."""

    gpu_price: float
    machine_id: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Quote:
    """The offers of one kind, their lines, and when they arrived (monotonic seconds)."""

    offers: tuple[Offer, ...]
    lines: Lines
    confirmed: float


@dataclass(frozen=True, slots=True)
class Market:
    """Known market data, and until when (epoch seconds) the search quota is exhausted."""

    quotes: Mapping[Kind, Quote] = field(default_factory=dict)
    quota_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kind of rental in the fleet, and whether it compares with verified offers only."""

    kind: Kind
    verified: bool

    def question(self) -> Mapping[str, object]:
        """Return the body of the search."""
        filters: dict[str, object] = {
            "gpu_name": {"eq": self.kind.gpu_name},
            "num_gpus": {"eq": self.kind.num_gpus},
            "rentable": {"eq": True},
            "rented": {"eq": False},
        }
        if self.verified:
            filters["verified"] = {"eq": True}
        how = {"type": SEARCHED[self.kind.rental], "order": [["dph_total", "asc"]], "limit": MOST_OFFERS}
        return filters | how


def collect(run: Run) -> Iterator[Progress]:
    """Search for each kind in the fleets of all accounts; see `exporter.collectors.base.Collect`.

    A failed search does not affect the others. An exhausted quota ends the run and is not a failure.
    """
    fleet = tuple(run.fleet())
    wanted = kinds_of(fleet, run.limits.market)
    market: Market = run.store.snapshot.memory or Market()
    quotes = {each.kind: quote for each in wanted if (quote := market.quotes.get(each.kind)) is not None}
    until = market.quota_until
    failure: ApiError | None = None
    offers = 0
    for done, each in enumerate(wanted, start=1):
        if run.wall_clock() < until:
            break
        try:
            quotes[each.kind] = _search(run, each, fleet)
        except QuotaError as error:
            until = error.until
            fields = {"until": datetime.fromtimestamp(until, UTC).isoformat()}
            _log.warning("the daily search quota is exhausted", extra={"fields": fields})
            break
        except ApiError as error:
            failure = failure or error
            if isinstance(error, AuthError):
                break  # a key without search permission would fail for each kind
            continue
        offers += len(quotes[each.kind].offers)
        _publish(run, fleet, quotes, until)
        yield Progress(pages=done, objects=offers, total=None, total_pages=len(wanted))
    if failure is None or run.store.snapshot.parts:
        _publish(run, fleet, quotes, until)
    if failure is not None:
        raise failure


def kinds_of(fleet: Iterable[Rented], most: int) -> list[Wanted]:
    """Return the kinds of rental in a fleet; if there are more than `most`, those with the highest cost."""
    burns: Counter[Kind] = Counter()
    verified: set[Kind] = set()
    for rented in fleet:
        kind = _kind(rented)
        if kind is not None:
            burns[kind] += rented.member.burn  # type: ignore[assignment]  # dollars are not integers
            if rented.member.verified:
                verified.add(kind)
    kinds = sorted(burns, key=lambda kind: (-burns[kind], kind))[:most]
    return [Wanted(kind, kind in verified) for kind in kinds]


def _kind(rented: Rented) -> Kind | None:
    """Return the kind of an instance, or None if unknown."""
    gpus = rented.member.gpus
    if not rented.member.gpu_name or not gpus or gpus != int(gpus):
        return None
    return Kind(rented.member.gpu_name, int(gpus), rented.member.rental)


def _search(run: Run, wanted: Wanted, fleet: Sequence[Rented]) -> Quote:
    """Return the offers that compare with a kind.

    Raises:
        BadReplyError: the reply has no list of offers.

    """
    reply = run.client.ask(ENDPOINT, body=wanted.question())
    rows = reply.get("offers")
    if not isinstance(rows, list):
        raise BadReplyError("the reply has no list of offers")
    ours = {rented.member.machine_id for rented in fleet}
    problems = Problems()
    found: list[Offer] = []
    for row in rows:
        if not isinstance(row, dict):
            problems.unreadable["offers"] += 1
            continue
        offer = _offer(FIELDS.read(row, problems), wanted)
        if offer is not None and offer.machine_id not in ours:
            found.append(offer)
    run.report(problems)
    offers = tuple(sorted(found))
    return Quote(offers, _lines(wanted.kind, offers), run.clock())


def _offer(record: Record, wanted: Wanted) -> Offer | None:
    """Return an offer, or None if it has no price or does not match the search."""
    kind = wanted.kind
    verified = record.text(VERIFICATION) == VERIFIED
    asked_for = (record.text(GPU_NAME), record.number(NUM_GPUS)) == (kind.gpu_name, kind.num_gpus)
    price = _price(record, kind.rental)
    if price is None or not asked_for or (wanted.verified and not verified):
        return None
    return Offer(price / kind.num_gpus, record.text(MACHINE_ID), verified)


def _price(record: Record, rental: str) -> Number | None:
    """Return the price of all GPUs of an offer in dollars per hour."""
    if rental == "interruptible":
        return record.number(MIN_BID)
    if rental == "on_demand":
        return record.number(DPH_BASE)
    total, disk = record.number(DISCOUNTED), record.number(STORAGE_TOTAL_COST)
    return None if total is None or disk is None or total <= disk else total - disk


def _lines(kind: Kind, offers: Sequence[Offer]) -> Lines:
    prices = [offer.gpu_price for offer in offers]
    text = {OFFERS.name: lines.of_labelled(OFFERS, [(kind.labels, len(prices))])}
    if prices:
        stats = {"min": prices[0], "p25": quantile(prices, 0.25), "median": quantile(prices, 0.5)}
        text[GPU_PRICE.name] = lines.of_labelled(
            GPU_PRICE, [((*kind.labels, stat), price) for stat, price in stats.items()]
        )
    return Lines(text=text)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of ascending values, interpolated as in PromQL."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def savings(fleet: Iterable[Rented], quotes: Mapping[Kind, Quote]) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield the possible saving of each instance, with its label values."""
    fleet = tuple(fleet)
    ours = {rented.member.machine_id for rented in fleet}
    for rented in fleet:
        kind, member = _kind(rented), rented.member
        quote = quotes.get(kind) if kind is not None else None
        if kind is None or quote is None or member.gpu_price is None:
            continue
        cheapest = next(
            (
                offer.gpu_price
                for offer in quote.offers
                if offer.machine_id not in ours and (offer.verified or not member.verified)
            ),
            None,
        )
        if cheapest is not None:
            saved = max(0.0, (member.gpu_price - cheapest) * kind.num_gpus)
            yield (rented.account, str(rented.instance_id)), saved


def _publish(run: Run, fleet: Sequence[Rented], quotes: Mapping[Kind, Quote], until: float) -> None:
    """Publish the known data: a part for each kind, and one for what is derived from all of them."""
    now = run.clock()
    fresh = {kind: each for kind, each in quotes.items() if each.confirmed >= now - run.settings.stale_after}
    exhausted = int(run.wall_clock() < until)
    text = {
        SAVING.name: lines.of_labelled(SAVING, savings(fleet, fresh)),
        QUOTA_EXHAUSTED.name: lines.of_labelled(QUOTA_EXHAUSTED, [((), exhausted)]),
    }
    parts: list[Part[int, None]] = [Part(confirmed=now, lines=Lines(text=text), items={}, upto=0)]
    for number, kind in enumerate(sorted(fresh), start=1):
        quote = fresh[kind]
        parts.append(
            Part(confirmed=quote.confirmed, lines=quote.lines, items={}, after=number - 1, upto=number)
        )
    run.store.snapshot = Snapshot(parts=tuple(parts), memory=Market(fresh, until))


COLLECTOR = Collector(
    name="market",
    title="Market",
    about="market prices of the fleet's GPU models, and the saving from moving",
    permission="misc",
    endpoints=(ENDPOINT,),
    objects="offers",
    interval=900.0,
    stale_after=3600.0,
    collect=collect,
    scope="market",
    summaries=(GPU_PRICE, OFFERS, SAVING, QUOTA_EXHAUSTED),
    further_fields=("offers", *FIELDS.names),
    further_ranged_fields=FIELDS.ranged,
    not_exported={
        "dph_total": "orders the offers; has the price of a disk in it",
        "storage_cost": "small beside the price of the GPU",
        "inet_up_cost": "small beside the price of the GPU",
        "inet_down_cost": "small beside the price of the GPU",
        "reliability": "of the machine, which is not ours",
        "score": "Vast.ai's own ranking",
        "dlperf": "of the machine, which is not ours",
        "geolocation": "of the machine, which is not ours",
        "resource_type": "told by gpu_name: a disk has none",
        "duration": "how long the offer may be rented",
    },
    requests_for="kind of rental, at most `limits.market` of them",
    opens="offers, and serverless endpoints and worker groups, **to create, change and delete them too**",
    assumptions=assumptions.ASSUMPTIONS,
)
