"""Public trace files as typed tables with units in their names. The only room that opens data files.

Readers take the data root, a folder with one sub-folder per trace set; `default_root()` is the usual one. A malformed
file raises `archrl.errors.TraceError` with file, row, column, value and what is allowed.

Every source of requests over time also gives a `DemandSeries`, all of them by name through `read_demand`.

Download and verification: `python -m archrl.traces`, or `archrl.traces.fetch`.
"""

from __future__ import annotations

from archrl.traces.alibaba_dlrm2025 import DLRM, NO_LIMIT, DlrmReplicas, read_dlrm2025
from archrl.traces.alibaba_genai2026 import (
    GENAI,
    NO_REPLICA,
    GenaiGpuDuty,
    GenaiLatencies,
    GenaiQps,
    GenaiQueueSizes,
    genai2026_demand,
    read_genai_gpu_duty,
    read_genai_latencies,
    read_genai_qps,
    read_genai_queue_sizes,
)
from archrl.traces.azure_llm2023 import AZURE_LLM2023, AzureLlmRequests, azure_llm2023_demand, read_azure_llm2023
from archrl.traces.azure_vm2017 import (
    AZURE_VM2017,
    NO_BIN,
    AzureDurationBins,
    AzureFlavours,
    AzureVms,
    read_azure_vm2017,
)
from archrl.traces.bundle import Bundle
from archrl.traces.callgraphs_dgg import DGG, DggGraphs, DggServices, read_dgg, read_dgg_services
from archrl.traces.deathstarbench import DEATHSTARBENCH, NO_PARENT, Spans, read_deathstarbench
from archrl.traces.demand import DEMAND_NAMES, read_demand
from archrl.traces.fgd_published import FgdPublished, read_fgd_published
from archrl.traces.genai_requests import NO_MODEL, GenaiRequests, genai_requests_demand, read_genai_requests
from archrl.traces.nab import (
    NAB,
    NAB_DEMAND,
    NabSeries,
    nab_demand,
    nab_demand_anomalies,
    nab_names,
    read_nab,
)
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
from archrl.traces.roadef2012 import (
    ROADEF2012,
    ROADEF2012_INSTANCES,
    ROADEF2012_SOLUTIONS,
    ReassignmentTables,
    read_assignment,
    read_reassignment,
    read_roadef2012,
    read_roadef2012_solution,
    write_assignment,
    write_model,
)
from archrl.traces.roadef2012_published import (
    MILP_INSTANCES,
    PUBLISHED_EXAMPLES,
    PUBLISHED_INITIAL,
    PUBLISHED_S41,
    MilpResult,
    Published,
    best_published,
    published_costs,
    read_milp_results,
)
from archrl.traces.series import DemandSeries
from archrl.traces.tianchi2018 import (
    NOT_PLACED,
    TIANCHI2018,
    TIANCHI_SOLUTIONS,
    Tianchi2018,
    TianchiNodes,
    TianchiReplicas,
    TianchiRules,
    TianchiServices,
    read_tianchi2018,
    read_tianchi_solution,
)
from archrl.traces.vm_prices2022 import VM_PRICES2022, GcePrices, VmPrices, read_gce_prices2022, read_vm_prices2022
from archrl.traces.web_per_second import WEB_PER_SECOND, nasa1995_demand, read_nasa_counts
from archrl.traces.wikipedia2009 import WIKIPEDIA2009, WikipediaHours, read_wikipedia2009, wikipedia2009_demand
from archrl.traces.worldcup98 import WORLDCUP98, worldcup98_demand

__all__ = [
    "AZURE_LLM2023",
    "AZURE_VM2017",
    "DEATHSTARBENCH",
    "DEMAND_NAMES",
    "DGG",
    "DLRM",
    "GENAI",
    "MILP_INSTANCES",
    "NAB",
    "NAB_DEMAND",
    "NOT_PLACED",
    "NO_BIN",
    "NO_LIMIT",
    "NO_MODEL",
    "NO_PARENT",
    "NO_REPLICA",
    "OPENB",
    "PUBLISHED_EXAMPLES",
    "PUBLISHED_INITIAL",
    "PUBLISHED_S41",
    "ROADEF2012",
    "ROADEF2012_INSTANCES",
    "ROADEF2012_SOLUTIONS",
    "TIANCHI2018",
    "TIANCHI_SOLUTIONS",
    "TRACE_SETS",
    "VM_PRICES2022",
    "WEB_PER_SECOND",
    "WIKIPEDIA2009",
    "WORLDCUP98",
    "AzureDurationBins",
    "AzureFlavours",
    "AzureLlmRequests",
    "AzureVms",
    "Bundle",
    "DemandSeries",
    "DggGraphs",
    "DggServices",
    "DlrmReplicas",
    "FgdPublished",
    "GcePrices",
    "GenaiGpuDuty",
    "GenaiLatencies",
    "GenaiQps",
    "GenaiQueueSizes",
    "GenaiRequests",
    "MilpResult",
    "NabSeries",
    "OpenbNodes",
    "OpenbPods",
    "Published",
    "ReassignmentTables",
    "Spans",
    "Tianchi2018",
    "TianchiNodes",
    "TianchiReplicas",
    "TianchiRules",
    "TianchiServices",
    "TraceFile",
    "TraceSet",
    "VmPrices",
    "WikipediaHours",
    "azure_llm2023_demand",
    "best_published",
    "default_root",
    "genai2026_demand",
    "genai_requests_demand",
    "is_present",
    "nab_demand",
    "nab_demand_anomalies",
    "nab_names",
    "nasa1995_demand",
    "openb_workloads",
    "published_costs",
    "read_assignment",
    "read_azure_llm2023",
    "read_azure_vm2017",
    "read_deathstarbench",
    "read_demand",
    "read_dgg",
    "read_dgg_services",
    "read_dlrm2025",
    "read_fgd_published",
    "read_gce_prices2022",
    "read_genai_gpu_duty",
    "read_genai_latencies",
    "read_genai_qps",
    "read_genai_queue_sizes",
    "read_genai_requests",
    "read_milp_results",
    "read_nab",
    "read_nasa_counts",
    "read_openb_nodes",
    "read_openb_pods",
    "read_reassignment",
    "read_roadef2012",
    "read_roadef2012_solution",
    "read_tianchi2018",
    "read_tianchi_solution",
    "read_vm_prices2022",
    "read_wikipedia2009",
    "trace_set",
    "wikipedia2009_demand",
    "worldcup98_demand",
    "write_assignment",
    "write_model",
]
