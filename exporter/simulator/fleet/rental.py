"""Sign contracts: what is rented, from whom, at which price and for how long."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from exporter.simulator.fleet.catalog import LABELS, TEMPLATES
from exporter.simulator.fleet.instance import Contract, Instance
from exporter.simulator.fleet.machines import Market
from exporter.simulator.fleet.sensors import draw_profile
from exporter.simulator.fleet.spending import Spending
from exporter.simulator.fleet.traffic import new_traffic
from exporter.simulator.fleet.wallet import Wallet

if TYPE_CHECKING:
    from exporter.simulator.fleet.books import Books

DAY = 86400.0
BID_SHARE = 0.22
RESERVED_SHARE = 0.05
DISK_SIZES = (10.08, 20.0, 32.0, 50.0, 64.0, 100.0, 200.0, 500.0)


class Rental:
    """Signs contracts and enters them in the books."""

    def __init__(self, seed: int, books: Books, rng: Random) -> None:
        self.market = Market(Random(f"market {seed}"))
        self.lost_hosts: set[int] = set()
        self._seed = seed
        self._books = books
        self._rng = rng
        self._last_id = rng.randrange(23_000_000, 26_000_000)

    def sign(self, age: float = 0.0, *, is_bid: bool | None = None) -> Instance:
        """Return a new instance in provisioning, rented `age` seconds ago; `is_bid` None: either type."""
        rng, now = self._rng, self._books.now
        contract = self._draw_contract(age, is_bid=is_bid)
        days = rng.choice((1, 2, 7, 30, 90, 330)) * rng.uniform(0.6, 1.4)
        instance = Instance(contract, round(now + days * DAY), new_traffic(contract, now), Spending(now))
        self._books.roster.add(instance)
        if not contract.is_bid and rng.random() < RESERVED_SHARE:
            instance.discount = round(rng.uniform(0.1, 0.4), 2)
            instance.reserve = Wallet(round(contract.dph_total * rng.uniform(200, 3000), 2), now)
            self._books.reserved[instance.id] = instance
        self._books.refresh(instance)
        return instance

    def end(self, instance: Instance) -> None:
        """End the contract and free its GPUs."""
        self._books.forget(instance)
        self.market.give_back(instance.contract.machine, instance.contract.num_gpus)

    def _draw_contract(self, age: float, *, is_bid: bool | None) -> Contract:
        rng = self._rng
        self._last_id += rng.randint(3, 700)
        machine, num_gpus = self.market.rent(self.lost_hosts)
        if is_bid is None:
            is_bid = rng.random() < BID_SHARE
        price = machine.gpu_price * num_gpus * (rng.uniform(0.5, 0.75) if is_bid else 1.0)
        template = rng.choice(TEMPLATES)
        return Contract(
            id=self._last_id,
            machine=machine,
            num_gpus=num_gpus,
            template=template,
            label=rng.choice(LABELS),
            is_bid=is_bid,
            dph_base=round(price, 4),
            disk_space=rng.choice(DISK_SIZES),
            start_date=round(self._books.now - age, 6),
            profile=draw_profile(Random(f"{self._seed} {self._last_id}"), template.workload),
        )
