"""List what can be rented and how it is used: GPU models, processors, locations, templates, labels.

Prices, sizes and speeds are typical of the market; nothing here changes at run time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A GPU model; figures are for a single GPU."""

    name: str
    ram_mib: int
    tflops: float
    memory_gb_per_s: float
    pci_gen: float
    pcie_gb_per_s: float
    nvlink_gb_per_s: float
    dlperf: float
    dollars_per_hour: float
    #: How often it is rented, relative to the others.
    weight: int
    #: Possible numbers of GPUs in one machine.
    sizes: tuple[int, ...]
    idle_celsius: float
    busy_celsius: float
    datacentre: bool = False


GPU_MODELS = (
    GpuModel("RTX 3060", 12288, 12.7, 330.1, 4.0, 11.7, 0.0, 12.9, 0.07, 4, (1, 2, 4), 34, 66),
    GpuModel("RTX 3090", 24576, 35.6, 846.9, 4.0, 20.8, 0.0, 33.4, 0.19, 14, (1, 2, 4, 8), 36, 72),
    GpuModel("RTX 4090", 24564, 82.6, 923.4, 4.0, 22.6, 0.0, 97.2, 0.36, 26, (1, 2, 4, 8), 33, 69),
    GpuModel("RTX 5090", 32607, 104.9, 1518.2, 5.0, 44.9, 0.0, 193.0, 0.52, 12, (1, 2, 4, 8), 32, 68),
    GpuModel("RTX A6000", 49140, 38.7, 668.5, 4.0, 23.1, 56.2, 57.5, 0.48, 6, (1, 2, 4), 37, 76),
    GpuModel(
        "L40S", 46068, 91.6, 702.8, 4.0, 24.3, 0.0, 116.4, 0.78, 8, (1, 2, 4, 8), 31, 64, datacentre=True
    ),
    GpuModel(
        "A100 SXM4", 81920, 19.5, 1555.9, 4.0, 24.6, 600.0, 92.8, 1.05, 10, (4, 8), 30, 58, datacentre=True
    ),
    GpuModel(
        "H100 SXM", 81559, 66.9, 2612.4, 5.0, 53.1, 900.0, 331.7, 2.15, 12, (8,), 30, 62, datacentre=True
    ),
    GpuModel("H200", 143771, 66.9, 3811.0, 5.0, 53.4, 900.0, 346.0, 2.92, 4, (8,), 31, 63, datacentre=True),
)


def other_model(gpu: GpuModel) -> GpuModel:
    """Return the other model in a machine whose host has mixed two models."""
    return GPU_MODELS[GPU_MODELS.index(gpu) - 1]


@dataclass(frozen=True, slots=True)
class Board:
    """Processor and mainboard of a machine."""

    cpu_name: str
    cpu_cores: int
    mainboard: str
    datacentre: bool


BOARDS = (
    Board("Core™ i5-13600K", 20, "Z790 Gaming X", datacentre=False),
    Board("Core™ i9-12900K", 24, "PRO Z690-A", datacentre=False),
    Board("AMD Ryzen 9 7950X 16-Core Processor", 32, "X670E Taichi", datacentre=False),
    Board("AMD EPYC 7302 16-Core Processor", 32, "ROMED8-2T", datacentre=False),
    Board("Xeon® Silver 4110", 32, "S7109GM2NR", datacentre=False),
    Board("AMD EPYC 7763 64-Core Processor", 256, "G492-ZD2-00", datacentre=True),
    Board("AMD EPYC 9554 64-Core Processor", 256, "AS-8125GS-TNHR", datacentre=True),
    Board("Xeon® Platinum 8480C", 224, "HGX B0A", datacentre=True),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Location of a machine."""

    geolocation: str
    country_code: str | None


PLACES = (
    Place("Quebec, CA", "CA"),
    Place("Washington, US", "US"),
    Place("Texas, US", "US"),
    Place("California, US", None),
    Place("Iceland, IS", "IS"),
    Place("Sweden, SE", "SE"),
    Place("Norway, NO", "NO"),
    Place("Germany, DE", "DE"),
    Place("Czechia, CZ", "CZ"),
    Place("Île-de-France, FR", "FR"),
    Place("Japan, JP", "JP"),
    Place("Taiwan, TW", "TW"),
    Place(", KR", None),
)

DISKS = ("Samsung SSD 870", "Samsung SSD 980 PRO", "WD_BLACK SN850X", "KIOXIA KCD8XPUG3T84", "nvme")

OS_VERSIONS = ("22.04", "24.04", "20.04", None)

DRIVERS = (("550.127.05", 12.4), ("560.35.03", 12.6), ("570.86.15", 12.8), ("580.65.06", 13.0))


class Workload(Enum):
    """Use of an instance, which shapes its telemetry."""

    TRAINING = "training"
    SERVING = "serving"
    NOTEBOOK = "notebook"
    RENDERING = "rendering"


@dataclass(frozen=True, slots=True)
class Template:
    """Template of an instance; without `number`, it was started from a bare image."""

    number: int | None
    hash_id: str | None
    name: str | None
    image: str
    runtype: str
    onstart: str
    workload: Workload


TEMPLATES = (
    Template(
        62897,
        "8c1f0a6f6d3b4f0e9f0f4b8c2a9d5e71",
        "PyTorch (Vast)",
        "vastai/pytorch:2.7.1-cuda-12.6.3-py310-24.04",
        "jupyter_direc ssh_direc ssh_proxy",
        "entrypoint.sh",
        Workload.TRAINING,
    ),
    Template(
        110204,
        "1b7d9c52e0a34c88b2f7a41d6c3e9f05",
        "vLLM + Open WebUI",
        "vastai/vllm:v0.9.1-cuda-12.8",
        "ssh_direc ssh_proxy",
        "entrypoint.sh --serve",
        Workload.SERVING,
    ),
    Template(
        2048,
        "abcde12345f0a1b2c3d4e5f60718293a",
        "Tensorflow GPU Template",
        "tensorflow/tensorflow:latest-gpu",
        "jupyter_proxy ssh_proxy",
        "env >> /etc/environment",
        Workload.NOTEBOOK,
    ),
    Template(
        88312,
        "5e2d41c7b9f84a06a3c1d7e8f9024b6c",
        "ComfyUI + Stable Diffusion",
        "vastai/comfy:v0.3.40-cuda-12.8-pytorch-2.7",
        "jupyter_direc ssh_direc ssh_proxy",
        "entrypoint.sh",
        Workload.RENDERING,
    ),
    Template(
        None,
        None,
        None,
        "ghcr.io/acme-research/llama-finetune:1.14.2",
        "ssh_direc ssh_proxy",
        "cd /workspace && ./train.sh",
        Workload.TRAINING,
    ),
    Template(
        None, None, None, "nvidia/cuda:12.4.1-devel-ubuntu22.04", "args", "sleep infinity", Workload.SERVING
    ),
)

#: User labels; None means an instance without a label.
LABELS = (
    "llama-finetune",
    "llama-finetune",
    "llama-finetune",
    "prod-inference",
    "prod-inference",
    "nightly-batch",
    "render farm",
    "équipe-vision",
    "日本語コーパス",
    "ablation/seed=17",
    "",
    None,
    None,
    None,
)
