"""On-demand prices of virtual machines by region, May 2022: AWS and Azure by instance type, Google by vCPU and GiB.

Source: apache/libcloud, `libcloud/data/pricing.json` of 2022-05-22, collected from the price lists of the providers.

What the file is like, and what the readers make of it:

* AWS (`ec2_linux`, 511 types, 20 regions) and Azure (`azure_linux`, 563 sizes, 46 regions) have US dollars per hour of
  the *whole* instance with Linux: m5.large, 2 vCPU, in us-east-1 0.096. A pair without an entry is not sold: NaN.
* Of the Azure sizes 248 are `lowpriority...` (preemptible) and 13 `...promo`: left out, 302 on-demand sizes remain.
* The file has no vCPU counts. For AWS they follow from the size in the name, with the exceptions that
  `ec2_instance_types.py` of apache/libcloud 3.6.0 lists; bare-metal types and i3p are not in that list: 0. For Azure
  they are the number in the name where its naming convention says so (D and E from version 3; B, DC, F, H, L, M, N): 0
  for the others (A, D and DS of version 1 and 2, G, PB).
* Google (`gce_instances`, 22 regions) has dollars per vCPU-hour and per GiB-hour of a machine family. A price of 0 (c2
  and n2 in one region, n2d in three) is no price: NaN. Left out are the shared-core f1 and g1, priced by instance, and
  the `*_custom` families, some of whose prices are those of another family (n1_custom has SKUs of n2d_custom).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archrl.errors import ConfigError, TraceError
from archrl.traces.json_file import read_json
from archrl.traces.table import FloatArray, IntArray, locate

VM_PRICES2022 = "cloud_vm_prices_2022"
"""Folder of the trace set below the data root."""
NO_VCPU_COUNT = 0
"""`vcpu_count` of an instance type whose name does not tell it."""
VM_PROVIDERS = {"aws": "ec2_linux", "azure": "azure_linux"}
GCE_FAMILIES = ("c2", "e2", "m1", "n1", "n2", "n2d")

_FILE = "pricing.json"
_MAX_USD = 1e6
_AWS_SIZE = re.compile(r"(?!i3p\.)[a-z0-9-]+\.(medium|large|(\d*)xlarge)", re.ASCII)
_AWS_EXCEPTIONS = {
    name: count
    for count, names in {
        1: "m1.small t1.micro t2.nano t2.micro t2.small",
        2: "c1.medium m2.xlarge t2.medium t3.nano t3.micro t3.small t3.medium t3a.nano t3a.micro t3a.small t3a.medium "
        "t4g.nano t4g.micro t4g.small t4g.medium",
        4: "m2.2xlarge",
        8: "c1.xlarge m2.4xlarge",
        16: "hs1.8xlarge",
        36: "c4.8xlarge d2.8xlarge",
        96: "hpc6a.48xlarge",
    }.items()
    for name in names.split()
}
_AZURE_SIZE = re.compile(r"standard(?:(?:dc|[bflm]|h[bc]?|n[cdv])(\d+)(?!\d).*|[de](\d+)[a-z]*v[3-9])", re.ASCII)
_AZURE_LEFT_OUT = re.compile(r"lowpriority.*|.*promo", re.ASCII)


@dataclass(frozen=True)
class VmPrices:
    """Prices of one provider; `I` instance types, `R` regions, both sorted."""

    provider: str  # "aws" or "azure"
    instance_type: tuple[str, ...]  # (I,)
    region: tuple[str, ...]  # (R,)
    vcpu_count: IntArray  # (I,) vCPU of one instance, NO_VCPU_COUNT when unknown
    instance_usd_per_hour: FloatArray  # (I, R) US dollars per hour of one whole instance; NaN: not sold

    def usd_per_hour(self, instance_type: str, region: str) -> float:
        """US dollars per hour of one whole instance.

        Raises:
            ConfigError: If type or region is unknown, or the type is not sold in the region.
        """
        row = _position(self.instance_type, "instance_type", instance_type)
        price = float(self.instance_usd_per_hour[row, _position(self.region, "region", region)])
        if np.isnan(price):
            sold = [name for k, name in enumerate(self.region) if not np.isnan(self.instance_usd_per_hour[row, k])]
            raise ConfigError(f"region={region!r}: {instance_type} is not sold there; allowed: {', '.join(sold)}")
        return price

    def usd_per_vcpu_hour(self, instance_type: str, region: str) -> float:
        """US dollars per hour of one vCPU: the price of the instance divided by its vCPU.

        Raises:
            ConfigError: As `usd_per_hour`, or if the vCPU count of the type is unknown.
        """
        price = self.usd_per_hour(instance_type, region)
        count = int(self.vcpu_count[self.instance_type.index(instance_type)])
        if count == NO_VCPU_COUNT:
            raise ConfigError(f"instance_type={instance_type!r}: its vCPU count is unknown; use usd_per_hour")
        return price / count


@dataclass(frozen=True)
class GcePrices:
    """Prices of Google machine families; `F` families, `R` regions, both sorted."""

    family: tuple[str, ...]  # (F,)
    region: tuple[str, ...]  # (R,)
    vcpu_usd_per_hour: FloatArray  # (F, R) US dollars per hour of one vCPU; NaN: not sold
    mem_usd_per_gib_hour: FloatArray  # (F, R) US dollars per hour of one GiB of memory; NaN: not sold

    def usd_per_vcpu_hour(self, family: str, region: str) -> float:
        """US dollars per hour of one vCPU, without its memory.

        Raises:
            ConfigError: If family or region is unknown, or the family is not sold in the region.
        """
        column = _position(self.region, "region", region)
        price = float(self.vcpu_usd_per_hour[_position(self.family, "family", family), column])
        if np.isnan(price):
            raise ConfigError(f"region={region!r}: {family} is not sold there; choose another region or family")
        return price


def read_vm_prices2022(root: str | Path, provider: str = "aws") -> VmPrices:
    """Read the on-demand prices of AWS or Azure.

    Args:
        root: Data root, the folder that holds `cloud_vm_prices_2022/`.
        provider: "aws" or "azure".

    Raises:
        ConfigError: If `provider` is another word.
        TraceError: If the file is missing or malformed.
    """
    if provider not in VM_PROVIDERS:
        raise ConfigError(f"provider={provider!r}; allowed: {', '.join(VM_PROVIDERS)}; Google: read_gce_prices2022")
    path = locate(Path(root) / VM_PRICES2022, _FILE)
    section = ("compute", VM_PROVIDERS[provider])
    content = _at(path, read_json(path), *section)
    types = sorted(name for name in content if provider == "aws" or not _AZURE_LEFT_OUT.fullmatch(name))
    cells = {name: _at(path, content, name, under=section) for name in types}
    regions = sorted({region for prices in cells.values() for region in prices})
    if not regions:
        raise TraceError(f"{path}, key {'.'.join(section)}: 0 prices; at least one is needed; download it again")
    out = np.full((len(types), len(regions)), np.nan)
    for row, name in enumerate(types):
        for region, price in cells[name].items():
            out[row, regions.index(region)] = _price(path, (*section, name, region), price)
    count = _aws_vcpu_count if provider == "aws" else _azure_vcpu_count
    vcpu_count = np.asarray([count(name) for name in types], dtype=np.int32)
    return VmPrices(provider, tuple(types), tuple(regions), vcpu_count, out)


def read_gce_prices2022(root: str | Path) -> GcePrices:
    """Read the on-demand prices of Google's predefined machine families.

    Args:
        root: Data root, the folder that holds `cloud_vm_prices_2022/`.

    Raises:
        TraceError: If the file is missing or malformed.
    """
    path = locate(Path(root) / VM_PRICES2022, _FILE)
    content, section = read_json(path), ("compute", "gce_instances")
    keys = [(*section, family, part, "on_demand") for part in ("cpu", "ram") for family in GCE_FAMILIES]
    cells = [_at(path, content, *key) for key in keys]
    regions = sorted({region for prices in cells for region in prices})
    out = np.full((len(keys), len(regions)), np.nan)
    for row, (key, prices) in enumerate(zip(keys, cells, strict=True)):
        for region, cell in prices.items():
            where = (*key, region, "price")
            price = _price(path, where, cell.get("price") if isinstance(cell, dict) else cell, zero_allowed=True)
            out[row, regions.index(region)] = price or np.nan
    vcpu, mem = np.split(out, 2)
    return GcePrices(GCE_FAMILIES, tuple(regions), vcpu, mem)


def _at(path: Path, content: Any, *keys: str, under: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """The object under a sequence of keys."""
    for k, key in enumerate(keys):
        content = content.get(key) if isinstance(content, dict) else None
        if not isinstance(content, dict):
            name = ".".join((*under, *keys[: k + 1]))
            raise TraceError(f"{path}, key {name}: {content!r}; allowed: an object; download the file again")
    return content  # type: ignore[no-any-return]


def _price(path: Path, keys: tuple[str, ...], price: Any, *, zero_allowed: bool = False) -> float:
    number = isinstance(price, int | float) and not isinstance(price, bool)
    if not number or not 0 <= price < _MAX_USD or (price == 0 and not zero_allowed):
        allowed = f"dollars, {'at least' if zero_allowed else 'above'} 0 and below {_MAX_USD:g}"
        raise TraceError(f"{path}, key {'.'.join(keys)}: {price!r}; allowed: {allowed}; download the file again")
    return float(price)


def _aws_vcpu_count(name: str) -> int:
    match = _AWS_SIZE.fullmatch(name)
    if name in _AWS_EXCEPTIONS or match is None:
        return _AWS_EXCEPTIONS.get(name, NO_VCPU_COUNT)
    return {"medium": 1, "large": 2}.get(match[1]) or 4 * int(match[2] or 1)


def _azure_vcpu_count(name: str) -> int:
    match = _AZURE_SIZE.fullmatch(name)
    return int(match[1] or match[2]) if match else NO_VCPU_COUNT


def _position(names: tuple[str, ...], what: str, name: str) -> int:
    if name not in names:
        closest = difflib.get_close_matches(name, names, 1)
        hint = f" (did you mean {closest[0]!r}?)" if closest else ""
        allowed = ", ".join(names) if len(names) < 50 else f"{len(names)} names, from {names[0]} to {names[-1]}"
        raise ConfigError(f"{what}={name!r}: not in the price list{hint}; allowed: {allowed}")
    return names.index(name)
