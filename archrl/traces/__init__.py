"""Public trace files as typed tables with units in their names. The only room that opens data files.

Readers take the data root, a folder with one sub-folder per trace set; `default_root()` is the usual one. A malformed
file raises `archrl.errors.TraceError` with file, row, column, value and what is allowed.

Download and verification: `python -m archrl.traces`, or `archrl.traces.fetch`.
"""

from __future__ import annotations

from archrl.traces.alibaba_dlrm2025 import DLRM, NO_LIMIT, DlrmReplicas, read_dlrm2025
from archrl.traces.azure_vm2017 import (
    AZURE_VM2017,
    NO_BIN,
    AzureDurationBins,
    AzureFlavours,
    AzureVms,
    read_azure_vm2017,
)
from archrl.traces.fgd_published import FgdPublished, read_fgd_published
from archrl.traces.openb import (
    OPENB,
    OpenbNodes,
    OpenbPods,
    openb_workloads,
    read_openb_nodes,
    read_openb_pods,
)
from archrl.traces.registry import TRACE_SETS, TraceSet, default_root, is_present, trace_set
from archrl.traces.registry_files import TraceFile

__all__ = [
    "AZURE_VM2017",
    "DLRM",
    "NO_BIN",
    "NO_LIMIT",
    "OPENB",
    "TRACE_SETS",
    "AzureDurationBins",
    "AzureFlavours",
    "AzureVms",
    "DlrmReplicas",
    "FgdPublished",
    "OpenbNodes",
    "OpenbPods",
    "TraceFile",
    "TraceSet",
    "default_root",
    "is_present",
    "openb_workloads",
    "read_azure_vm2017",
    "read_dlrm2025",
    "read_fgd_published",
    "read_openb_nodes",
    "read_openb_pods",
    "trace_set",
]
