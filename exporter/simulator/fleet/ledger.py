"""Record the cost of every contract on every day (UTC), including ended contracts and past days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.fleet.sensors import noise
from exporter.simulator.fleet.spending import Amounts

if TYPE_CHECKING:
    from exporter.simulator.fleet.agenda import Agenda
    from exporter.simulator.fleet.instance import Contract, Instance
    from exporter.simulator.fleet.roster import Roster

DAY = 86400.0
#: Minimum share of a past day for which an instance ran.
LEAST_RUN_SHARE = 0.55


def day_of(moment: float) -> int:
    """Return the day number since the epoch."""
    return int(moment // DAY)


class Ledger:
    """Books the spending of a day at midnight and at the end of a contract."""

    def __init__(self, roster: Roster, agenda: Agenda) -> None:
        self._roster = roster
        self._agenda = agenda
        self._start = agenda.now
        self._booked: dict[int, dict[int, Amounts]] = {}
        #: Spending up to the start of the day.
        self._opened: dict[int, Amounts] = {}
        self._contracts: dict[int, Contract] = {}
        self._veterans: dict[int, float] = {}
        agenda.at((day_of(agenda.now) + 1) * DAY, self._end_day)

    def remember(self, instance: Instance) -> None:
        """Give an initial instance a past of spending, if it ever ran."""
        self._contracts[instance.id] = instance.contract
        self._opened[instance.id] = instance.spending.at(self._start, instance)
        self._veterans[instance.id] = float(instance.ever_ran) * (1 - instance.discount)

    def end_contract(self, instance: Instance) -> None:
        """Book today's cost of an instance that ends before midnight."""
        self._book(instance, day_of(self._agenda.now))
        self._opened.pop(instance.id, None)

    def contract(self, contract_id: int) -> Contract:
        """Return a contract whose id `between` returned."""
        return self._contracts[contract_id]

    def between(self, first: int, last: int) -> dict[int, Amounts]:
        """Return the cost of the contracts from the first to the last day, by id."""
        found: dict[int, Amounts] = {}
        for day in range(first, min(last, day_of(self._agenda.now)) + 1):
            for part in (self._booked.get(day, {}), self._before(day), self._today(day)):
                for contract_id, amounts in part.items():
                    found[contract_id] = found.get(contract_id, Amounts()).plus(amounts)
        return found

    def _end_day(self) -> None:
        now = self._agenda.now
        for instance in self._roster:
            self._book(instance, day_of(now) - 1)
        self._agenda.at(now + DAY, self._end_day)

    def _book(self, instance: Instance, day: int) -> None:
        spent = instance.spending.at(self._agenda.now, instance)
        amounts = spent.plus(self._opened.get(instance.id, Amounts()), -1)
        self._opened[instance.id] = spent
        self._contracts[instance.id] = instance.contract
        self._booked.setdefault(day, {})[instance.id] = amounts

    def _today(self, day: int) -> dict[int, Amounts]:
        """Return the spending that is not booked yet."""
        now = self._agenda.now
        if day != day_of(now):
            return {}
        found = {}
        for instance in self._roster:
            self._contracts[instance.id] = instance.contract
            spent = instance.spending.at(now, instance)
            found[instance.id] = spent.plus(self._opened.get(instance.id, Amounts()), -1)
        return found

    def _before(self, day: int) -> dict[int, Amounts]:
        """Return the cost of the initial instances before the start; it is deterministic."""
        if day > day_of(self._start):
            return {}
        found = {}
        for contract_id, price_share in self._veterans.items():
            contract = self._contracts[contract_id]
            hours = (min((day + 1) * DAY, self._start) - max(day * DAY, contract.start_date)) / 3600
            if hours > 0:
                found[contract_id] = _past(contract, day, hours, price_share)
        return found


def _past(contract: Contract, day: int, hours: float, price_share: float) -> Amounts:
    phase = contract.profile.phase
    share = LEAST_RUN_SHARE + (1 - LEAST_RUN_SHARE) * noise(phase, day)
    run = hours * share if price_share else 0.0
    up, down = contract.usual_traffic()
    return Amounts(
        gpu_hours=run,
        gpu=run * contract.dph_base * price_share,
        disk_hours=hours,
        disk=hours * contract.storage_total_cost,
        up_kb=up * run,
        down_kb=down * run,
    )
