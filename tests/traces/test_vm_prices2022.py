"""Prices of virtual machines: units, what is not sold, vCPU by name, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces import read_gce_prices2022, read_vm_prices2022
from archrl.traces.vm_prices2022 import GCE_FAMILIES, NO_VCPU_COUNT
from tests.traces.builders import write_text

AWS = {
    "m5.large": {"us-east-1": 0.096, "eu-central-1": 0.115},
    "m5.metal": {"us-east-1": 4.608},
    "c5.9xlarge": {"sa-east-1": 2},
    "c6g.medium": {"us-east-1": 0.034},
}
AZURE = {
    "standardd2v3": {"eastus": 0.096, "westeurope": 0.12},
    "standardd2v2": {"eastus": 0.1},
    "lowpriorityd2v3": {"eastus": 0.02, "moon": 0.01},
    "standardh16promo": {"eastus": 1.0},
    "basica0": {"eastus": 0.018},
}


def gce(price: object = 0.03) -> dict[str, Any]:
    part = {"description": "x", "on_demand": {"us-central1": {"price": price, "sku": "A"}}, "preemptible": {}}
    cells = {family: {"cpu": part, "ram": part} for family in GCE_FAMILIES}
    cells["n2"] = {
        "cpu": {"on_demand": {"us-central1": {"price": 0.5, "sku": "A"}, "asia-east1": {"price": 0.0, "sku": "B"}}},
        "ram": {"on_demand": {"us-central1": {"price": 0.25, "sku": "A"}}},
    }
    return cells | {"f1": {"cpu": part}, "n2_custom_extended": {"cpu": {}, "ram": part}}


def write(root: Path, *, compressed: bool = False, **sections: Any) -> None:
    content = {"ec2_linux": AWS, "azure_linux": AZURE, "gce_instances": gce()} | sections
    text = json.dumps({"compute": content, "storage": {}, "updated": 1})
    write_text(root / "cloud_vm_prices_2022" / "pricing.json", text, compressed=compressed)


@pytest.mark.parametrize("compressed", [False, True])
def test_aws_by_instance_and_by_vcpu(tmp_path: Path, compressed: bool) -> None:
    write(tmp_path, compressed=compressed)
    prices = read_vm_prices2022(tmp_path)
    assert prices.provider == "aws"
    assert prices.instance_type == ("c5.9xlarge", "c6g.medium", "m5.large", "m5.metal")
    assert prices.region == ("eu-central-1", "sa-east-1", "us-east-1")
    assert prices.vcpu_count.tolist() == [36, 1, 2, NO_VCPU_COUNT]
    nan = np.nan
    np.testing.assert_array_equal(
        prices.instance_usd_per_hour, [[nan, 2, nan], [nan, nan, 0.034], [0.115, nan, 0.096], [nan, nan, 4.608]]
    )
    assert prices.usd_per_hour("m5.large", "us-east-1") == 0.096
    assert prices.usd_per_vcpu_hour("m5.large", "us-east-1") == 0.048
    assert prices.usd_per_hour("m5.metal", "us-east-1") == 4.608


def test_azure_without_preemptible_and_promotional_sizes(tmp_path: Path) -> None:
    write(tmp_path)
    prices = read_vm_prices2022(tmp_path, "azure")
    assert prices.instance_type == ("basica0", "standardd2v2", "standardd2v3")
    assert prices.region == ("eastus", "westeurope")
    assert prices.vcpu_count.tolist() == [NO_VCPU_COUNT, NO_VCPU_COUNT, 2]
    assert prices.usd_per_vcpu_hour("standardd2v3", "westeurope") == 0.06


def test_google_by_vcpu_and_gib(tmp_path: Path) -> None:
    write(tmp_path)
    prices = read_gce_prices2022(tmp_path)
    assert prices.family == ("c2", "e2", "m1", "n1", "n2", "n2d")
    assert prices.region == ("asia-east1", "us-central1")
    assert prices.usd_per_vcpu_hour("n2", "us-central1") == 0.5
    np.testing.assert_array_equal(prices.mem_usd_per_gib_hour[4], [np.nan, 0.25])
    np.testing.assert_array_equal(prices.vcpu_usd_per_hour[4], [np.nan, 0.5])
    with pytest.raises(ConfigError, match=r"region='asia-east1': n2 is not sold there"):
        prices.usd_per_vcpu_hour("n2", "asia-east1")
    with pytest.raises(ConfigError, match=r"family='n3': not in the price list.*; allowed: c2, e2, m1, n1, n2, n2d"):
        prices.usd_per_vcpu_hour("n3", "us-central1")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("t3.nano", 2), ("t2.nano", 1), ("t2.medium", 2), ("t3.2xlarge", 8), ("m5.24xlarge", 96), ("c4.8xlarge", 36)),
        *(("c4.4xlarge", 16), ("m2.xlarge", 2), ("hpc6a.48xlarge", 96), ("u-12tb1.112xlarge", 448), ("c1.medium", 2)),
        *(("i3p.16xlarge", 0), ("i3.16xlarge", 64), ("m9.huge", 0), ("is4gen.medium", 1), ("a1.metal", 0)),
    ],
)
def test_aws_vcpu_counts(tmp_path: Path, name: str, count: int) -> None:
    write(tmp_path, ec2_linux={name: {"us-east-1": 1.0}})
    assert read_vm_prices2022(tmp_path).vcpu_count.tolist() == [count]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("standardd16asv4", 16), ("standarde64iv3", 64), ("standardf72sv2", 72), ("standardb1ls", 1)),
        *(("standardm416msv2", 416), ("standardnc4ast4v3", 4), ("standardh8", 8), ("standardhb120rsv2", 120)),
        *(("standardd14v2", 0), ("standarda4", 0), ("standardds3v2", 0), ("standardg5", 0), ("standarddc2s", 2)),
    ],
)
def test_azure_vcpu_counts(tmp_path: Path, name: str, count: int) -> None:
    write(tmp_path, azure_linux={name: {"eastus": 1.0}})
    assert read_vm_prices2022(tmp_path, "azure").vcpu_count.tolist() == [count]


@pytest.mark.parametrize(
    ("instance_type", "region", "message"),
    [
        ("m5.lrge", "us-east-1", r"instance_type='m5\.lrge': not in the price list \(did you mean 'm5\.large'\?\)"),
        (
            "m5.large",
            "us-west-1",
            r"region='us-west-1': not in the price list \(did you mean 'us-east-1'\?\); allowed: eu",
        ),
        ("m5.large", "sa-east-1", r"region='sa-east-1': m5\.large is not sold there; allowed: eu-central-1, us-east-1"),
        ("m5.metal", "us-east-1", r"instance_type='m5\.metal': its vCPU count is unknown; use usd_per_hour"),
    ],
)
def test_what_has_no_price(tmp_path: Path, instance_type: str, region: str, message: str) -> None:
    write(tmp_path)
    with pytest.raises(ConfigError, match=message):
        read_vm_prices2022(tmp_path).usd_per_vcpu_hour(instance_type, region)


def test_unknown_provider(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"provider='gcp'; allowed: aws, azure; Google: read_gce_prices2022"):
        read_vm_prices2022(tmp_path, "gcp")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"m5.large": {"us-east-1": 0.0}},
            r"key compute\.ec2_linux\.m5\.large\.us-east-1: 0\.0; allowed: dollars, above 0",
        ),
        ({"m5.large": {"us-east-1": -1}}, r"us-east-1: -1; allowed: dollars, above 0 and below 1e\+06"),
        ({"m5.large": {"us-east-1": 10**400}}, r"us-east-1: 10{400}; allowed: dollars"),
        ({"m5.large": {"us-east-1": "0.1"}}, r"us-east-1: '0\.1'; allowed: dollars"),
        ({"m5.large": {"us-east-1": True}}, r"us-east-1: True; allowed: dollars"),
        ({"m5.large": {"us-east-1": None}}, r"us-east-1: None; allowed: dollars"),
        ({"m5.large": 0.1}, r"key compute\.ec2_linux\.m5\.large: 0\.1; allowed: an object"),
        ({"m5.large": {}}, r"key compute\.ec2_linux: 0 prices"),
        ({}, r"key compute\.ec2_linux: 0 prices"),
        (None, r"key compute\.ec2_linux: None; allowed: an object"),
    ],
)
def test_a_bad_price_is_named(tmp_path: Path, section: object, message: str) -> None:
    write(tmp_path, ec2_linux=section)
    with pytest.raises(TraceError, match=rf"pricing\.json, .*{message}"):
        read_vm_prices2022(tmp_path)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (gce(-0.1), r"gce_instances\.c2\.cpu\.on_demand\.us-central1\.price: -0\.1; allowed: dollars, at least 0"),
        (gce(None), r"gce_instances\.c2\.cpu\.on_demand\.us-central1\.price: None"),
        (gce() | {"e2": {"cpu": {}, "ram": {}}}, r"gce_instances\.e2\.cpu\.on_demand: None; allowed: an object"),
        (gce() | {"m1": {"cpu": {"on_demand": {"x": 3}}}}, r"gce_instances\.m1\.ram: None; allowed: an object"),
        (gce() | {"m1": {p: {"on_demand": {"x": "y"}} for p in ("cpu", "ram")}}, r"m1\.cpu\.on_demand\.x\.price: 'y'"),
    ],
)
def test_a_bad_price_of_google_is_named(tmp_path: Path, section: object, message: str) -> None:
    write(tmp_path, gce_instances=section)
    with pytest.raises(TraceError, match=rf"pricing\.json, key compute\..*{message}"):
        read_gce_prices2022(tmp_path)


@pytest.mark.parametrize("text", ["[]", '{"compute": []}'])
def test_another_json_is_refused(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "cloud_vm_prices_2022" / "pricing.json", text)
    with pytest.raises(TraceError, match=r"key compute(\.ec2_linux)?: (None|\[\]); allowed: an object"):
        read_vm_prices2022(tmp_path)
