"""Define every field of an instance's row and how it is derived from an instance.

Units are the API's own: gpu_util in percent, cpu_util in percent of the rented share, disk_util as a ratio,
mem_* in units of 1,024,000,000 bytes, vmem_usage in GiB, gpu_ram and cpu_ram in MiB, disk_* in GB, inet_up
and inet_down in Mbit/s, inet_*_billed in 1000 bytes, inet_*_cost in dollars per GB.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

from exporter.simulator.fleet import instance_prices as prices
from exporter.simulator.fleet import readings
from exporter.simulator.fleet.catalog import Workload, other_model
from exporter.simulator.fleet.machines import Quirk
from exporter.simulator.fleet.readings import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.fleet.instance import Instance

NO_PORT = -1
PORT_RANGE = 100
#: Seconds for which one of two models is named before the other.
NAMED_SECONDS = 180.0
#: TCP ports that containers expose: SSH and typical services; for serving, vLLM and two exporters.
EXPOSED = {Workload.SERVING: (22, 8000, 9100, 9400)}
USUALLY_EXPOSED = (22, 8080)


def _gpu_name(view: View) -> str:
    if view.machine.quirk is Quirk.TWO_MODELS and floor(view.now / NAMED_SECONDS) % 2:
        return other_model(view.gpu).name
    return view.gpu.name


def _billed(kilobytes: float) -> float | None:
    return round(kilobytes, 1) or None


def _first_port(view: View) -> int:
    return 20_000 + view.contract.id % 200 * PORT_RANGE


def _ports(view: View) -> dict[str, list[dict[str, str]]] | None:
    if not view.running:
        return None
    first = _first_port(view)
    return {
        f"{inner}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(first + index)}]
        for index, inner in enumerate(EXPOSED.get(view.template.workload, USUALLY_EXPOSED))
    }


def _extra_env(view: View) -> list[list[str]]:
    return [["HF_TOKEN", f"hf_{view.secret('env')[:34]}"], ["-p 8080:8080", "1"]]


def _volumes(view: View) -> list[dict[str, object]]:
    if view.contract.id % 23:
        return []
    return [{"id": view.contract.id - 1, "avail_space": 80.0, "total_space": 128.0}]


def _dlperf(view: View) -> float | None:
    return round(view.gpu.dlperf * view.contract.num_gpus, 6) if view.machine.dlperf_known else None


def _dlperf_per_dollar(view: View) -> float | None:
    dlperf = _dlperf(view)
    return None if dlperf is None else dlperf / view.contract.dph_total


def _total_flops(view: View) -> float:
    return round(view.gpu.tflops * view.contract.num_gpus, 4)


def _gpu_totalram(view: View) -> int:
    return view.gpu.ram_mib * view.contract.num_gpus


#: In the order of the vendor's page; the API also sends the last eight, which the page does not list.
COLUMNS: dict[str, Callable[[View], object]] = {
    "id": lambda v: v.contract.id,
    "actual_status": lambda v: v.instance.shown_status,
    "cur_state": lambda v: v.instance.cur_state,
    "next_state": lambda v: v.instance.next_state,
    "intended_status": lambda v: v.instance.intended,
    "label": lambda v: v.contract.label,
    "template_id": lambda v: v.template.number,
    "template_hash_id": lambda v: v.template.hash_id,
    "template_name": lambda v: v.template.name,
    "image_uuid": lambda v: v.template.image,
    "image_args": lambda _: [],
    "image_runtype": lambda v: v.template.runtype,
    "extra_env": _extra_env,
    "onstart": lambda v: v.template.onstart,
    "jupyter_token": lambda v: v.secret("jupyter"),
    "status_msg": lambda v: v.instance.status_msg,
    "public_ipaddr": lambda v: v.machine.ip,
    "local_ipaddrs": lambda v: f"10.{v.machine.machine_id % 250}.0.{v.contract.id % 250} 172.17.0.1 \n",
    "ssh_host": lambda v: f"ssh{v.contract.id % 9 + 1}.vast.ai",
    "ssh_idx": lambda v: str(v.contract.id % 9 + 1),
    "ssh_port": lambda v: 10_000 + v.contract.id % 30_000,
    "machine_dir_ssh_port": lambda v: _first_port(v) + PORT_RANGE - 1,
    "machine_id": lambda v: v.machine.machine_id,
    "start_date": lambda v: v.contract.start_date,
    "end_date": lambda v: v.instance.end_date,
    "uptime_mins": readings.uptime_mins,
    "duration": lambda v: v.instance.end_date - v.now,
    "cpu_arch": lambda _: "amd64",
    "cpu_cores": lambda v: v.machine.board.cpu_cores,
    "cpu_cores_effective": lambda v: v.machine.board.cpu_cores * v.share,
    "cpu_name": lambda v: v.machine.board.cpu_name,
    "cpu_ram": lambda v: v.machine.ram_mib,
    "cpu_util": readings.cpu_util,
    "mem_limit": readings.mem_limit,
    "mem_usage": readings.mem_usage,
    "vmem_usage": readings.vmem_usage,
    "gpu_name": _gpu_name,
    "gpu_arch": lambda _: "nvidia",
    "gpu_totalram": _gpu_totalram,
    "gpu_ram": lambda v: v.gpu.ram_mib,
    "gpu_util": readings.gpu_util,
    "gpu_temp": readings.gpu_temp,
    "gpu_frac": lambda v: v.share,
    "gpu_lanes": lambda _: 16,
    "gpu_mem_bw": lambda v: v.gpu.memory_gb_per_s,
    "bw_nvlink": lambda v: v.gpu.nvlink_gb_per_s,
    "disk_name": lambda v: v.machine.disk_name,
    "disk_space": lambda v: v.contract.disk_space,
    "disk_bw": lambda v: v.machine.disk_mb_per_s,
    "disk_util": lambda v: v.disk_util,
    "disk_usage": readings.disk_usage,
    "direct_port_count": lambda v: PORT_RANGE if v.machine.static_ip else NO_PORT,
    "direct_port_start": lambda v: _first_port(v) if v.machine.static_ip else NO_PORT,
    "direct_port_end": lambda v: _first_port(v) + PORT_RANGE - 1 if v.machine.static_ip else NO_PORT,
    "ports": _ports,
    "static_ip": lambda v: v.machine.static_ip,
    "geolocation": lambda v: v.machine.place.geolocation,
    "verification": lambda v: v.machine.verification,
    "rentable": lambda v: v.contract.id % 7 != 0,
    "host_id": lambda v: v.machine.host_id,
    "min_bid": lambda v: prices.min_bid(v.instance),
    "is_bid": lambda v: v.contract.is_bid,
    "dph_base": lambda v: v.contract.dph_base,
    "dph_total": lambda v: v.contract.dph_total,
    "dlperf": _dlperf,
    "dlperf_per_dphtotal": _dlperf_per_dollar,
    "flops_per_dphtotal": lambda v: _total_flops(v) / v.contract.dph_total,
    "total_flops": _total_flops,
    "score": _dlperf_per_dollar,
    "reliability2": lambda v: v.machine.reliability,
    "os_version": lambda v: v.machine.os_version,
    "mobo_name": lambda v: v.machine.board.mainboard,
    "pci_gen": lambda v: v.gpu.pci_gen,
    "pcie_bw": lambda v: v.gpu.pcie_gb_per_s,
    "num_gpus": lambda v: v.contract.num_gpus,
    "webpage": lambda _: None,
    "search": lambda v: prices.search_prices(v.instance),
    "instance": lambda v: prices.instance_prices(v.instance),
    "storage_cost": lambda v: v.machine.storage_cost,
    "storage_total_cost": lambda v: v.contract.storage_total_cost,
    "vram_costperhour": lambda v: v.contract.dph_total / _gpu_totalram(v),
    "credit_balance": lambda v: prices.credit_balance(v.instance, v.now),
    "credit_discount": lambda v: v.instance.discount if v.instance.reserve else None,
    "credit_discount_max": lambda _: 0.4,
    "client_run_time": lambda _: 1.1,
    "host_run_time": lambda _: 2592000.0,
    "external": lambda _: False,
    "time_remaining": lambda v: prices.time_remaining(v.instance, v.now),
    "time_remaining_isbid": lambda v: prices.time_remaining(v.instance, v.now, prices.BID_SURCHARGE),
    "country_code": lambda v: v.machine.place.country_code,
    "volume_info": _volumes,
    "inet_up": lambda v: v.machine.inet_up,
    "inet_down": lambda v: v.machine.inet_down,
    "inet_up_billed": lambda v: _billed(v.instance.traffic.up.at(v.now)),
    "inet_down_billed": lambda v: _billed(v.instance.traffic.down.at(v.now)),
    "inet_up_cost": lambda v: v.machine.inet_up_cost,
    "inet_down_cost": lambda v: v.machine.inet_down_cost,
    "cuda_max_good": lambda v: v.machine.cuda_max_good,
    "driver_version": lambda v: v.machine.driver_version,
}

#: Columns stored with the contract, which can be filtered and sorted by; all others are computed for a reply.
#: actual_status is the stored state: "offline" is computed, so filters never match it.
STORED: dict[str, Callable[[Instance], object]] = {
    "id": lambda i: i.id,
    "actual_status": lambda i: i.status,
    "intended_status": lambda i: i.intended,
    "cur_state": lambda i: i.cur_state,
    "next_state": lambda i: i.next_state,
    "label": lambda i: i.contract.label,
    "template_id": lambda i: i.contract.template.number,
    "template_hash_id": lambda i: i.contract.template.hash_id,
    "image_uuid": lambda i: i.contract.template.image,
    "image_runtype": lambda i: i.contract.template.runtype,
    "machine_id": lambda i: i.contract.machine.machine_id,
    "host_id": lambda i: i.contract.machine.host_id,
    "gpu_name": lambda i: i.contract.machine.gpu.name,
    "verification": lambda i: i.contract.machine.verification,
    "start_date": lambda i: i.contract.start_date,
    "end_date": lambda i: i.end_date,
    "is_bid": lambda i: i.contract.is_bid,
    "dph_base": lambda i: i.contract.dph_base,
    "disk_space": lambda i: i.contract.disk_space,
}


def row(instance: Instance, now: float, names: tuple[str, ...] | None = None) -> dict[str, object]:
    """Return an instance's row with the named columns (None: all); an unknown name gives None."""
    view = View(instance, now)
    if names is None:
        fields = {name: getter(view) for name, getter in COLUMNS.items()}
        fields.update(instance.overrides)
        return fields
    fields = {name: COLUMNS[name](view) if name in COLUMNS else None for name in names}
    if instance.overrides:
        fields.update({name: value for name, value in instance.overrides.items() if name in fields})
    return fields
