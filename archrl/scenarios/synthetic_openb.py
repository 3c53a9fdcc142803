"""Parameters of the synthetic generator, fitted to the openb trace; written by `synthetic_report --write`.

Statistics of Alibaba cluster-trace-gpu-v2023 (Weng et al., USENIX ATC 2023); no row of the trace is contained.

| quantity | requests | KS distance | mean, trace | mean, model |
|---|---:|---:|---:|---:|
| CPU, milli-cores | 8119 | 0.025 | 10469 | 10503 |
| memory, MiB | 8119 | 0.059 | 37241 | 37197 |
| GPU, GPUs | 8119 | 0.020 | 0.74594 | 0.74823 |
| lifetime cpu_only (mean: up to a day), s | 1050 | 0.069 | 3218.2 | 3049.9 |
| lifetime shared_gpu (mean: up to a day), s | 2561 | 0.013 | 3722.7 | 3748.2 |
| lifetime one_gpu (mean: up to a day), s | 3538 | 0.023 | 3578 | 3610.5 |
| lifetime multi_gpu (mean: up to a day), s | 73 | 0.071 | 12779 | 12908 |
| gap between requests, s | 8118 | 0.052 | 361.7 | 361.41 |
"""

from __future__ import annotations

from archrl.config import load_config
from archrl.scenarios.synthetic_params import SyntheticParams

OPENB_PARAMS = load_config(
    {
        "origin": "openb: 8119 requests of list default, GPU types of list gpuspec25",
        "request_types": [
            {"cpu_milli": 3152, "mem_mib": 5600, "gpu_count": 1, "gpu_milli": 810, "share": 0.1421},
            {"cpu_milli": 11300, "mem_mib": 49152, "gpu_count": 1, "gpu_milli": 1000, "share": 0.1065},
            {"cpu_milli": 8000, "mem_mib": 30517, "gpu_count": 1, "gpu_milli": 470, "share": 0.0708},
            {"cpu_milli": 11400, "mem_mib": 48128, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0658},
            {"cpu_milli": 3152, "mem_mib": 5600, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0606},
            {"cpu_milli": 4000, "mem_mib": 22888, "gpu_count": 1, "gpu_milli": 320, "share": 0.0483},
            {"cpu_milli": 11908, "mem_mib": 47104, "gpu_count": 1, "gpu_milli": 470, "share": 0.0478},
            {"cpu_milli": 12500, "mem_mib": 57344, "gpu_count": 0, "gpu_milli": 0, "share": 0.0468},
            {"cpu_milli": 9810, "mem_mib": 41560, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0392},
            {"cpu_milli": 4000, "mem_mib": 30517, "gpu_count": 1, "gpu_milli": 230, "share": 0.0376},
            {"cpu_milli": 18708, "mem_mib": 64512, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0373},
            {"cpu_milli": 32000, "mem_mib": 49152, "gpu_count": 0, "gpu_milli": 0, "share": 0.0356},
            {"cpu_milli": 11908, "mem_mib": 47104, "gpu_count": 1, "gpu_milli": 650, "share": 0.0309},
            {"cpu_milli": 14200, "mem_mib": 58368, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0269},
            {"cpu_milli": 15700, "mem_mib": 58368, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0234},
            {"cpu_milli": 8000, "mem_mib": 30517, "gpu_count": 0, "gpu_milli": 0, "share": 0.0233},
            {"cpu_milli": 11908, "mem_mib": 47104, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0208},
            {"cpu_milli": 4000, "mem_mib": 24576, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0206},
            {"cpu_milli": 12000, "mem_mib": 24576, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0198},
            {"cpu_milli": 12000, "mem_mib": 16384, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0176},
            {"cpu_milli": 15400, "mem_mib": 51200, "gpu_count": 0, "gpu_milli": 0, "share": 0.0148},
            {"cpu_milli": 16000, "mem_mib": 32768, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0142},
            {"cpu_milli": 24200, "mem_mib": 93184, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0137},
            {"cpu_milli": 16500, "mem_mib": 51200, "gpu_count": 0, "gpu_milli": 0, "share": 0.0133},
            {"cpu_milli": 8000, "mem_mib": 16384, "gpu_count": 1, "gpu_milli": 1000, "share": 0.0132},
            {"cpu_milli": 64200, "mem_mib": 263168, "gpu_count": 8, "gpu_milli": 1000, "share": 0.0053},
            {"cpu_milli": 16200, "mem_mib": 66560, "gpu_count": 2, "gpu_milli": 1000, "share": 0.002},
            {"cpu_milli": 32200, "mem_mib": 132096, "gpu_count": 4, "gpu_milli": 1000, "share": 0.0018},
        ],
        "type_constraints": [
            {"gpu_types": ["T4"], "share": 0.5968},
            {"gpu_types": ["G2"], "share": 0.1634},
            {"gpu_types": ["P100"], "share": 0.1416},
            {"gpu_types": ["V100M16", "V100M32"], "share": 0.0982},
        ],
        "node_types": [
            {"cpu_milli": 96000, "mem_mib": 393216, "gpu_count": 8, "gpu_type": "G2", "share": 0.4527},
            {"cpu_milli": 104000, "mem_mib": 524288, "gpu_count": 2, "gpu_type": "T4", "share": 0.319},
            {"cpu_milli": 16000, "mem_mib": 122880, "gpu_count": 2, "gpu_type": "P100", "share": 0.0882},
            {"cpu_milli": 128000, "mem_mib": 786432, "gpu_count": 8, "gpu_type": "G3", "share": 0.0322},
            {"cpu_milli": 32000, "mem_mib": 131072, "gpu_count": 4, "gpu_type": "V100M16", "share": 0.0231},
            {"cpu_milli": 64000, "mem_mib": 262144, "gpu_count": 2, "gpu_type": "P100", "share": 0.0181},
            {"cpu_milli": 96000, "mem_mib": 786432, "gpu_count": 8, "gpu_type": "V100M32", "share": 0.0173},
            {"cpu_milli": 8000, "mem_mib": 32768, "gpu_count": 1, "gpu_type": "V100M16", "share": 0.0157},
            {"cpu_milli": 96000, "mem_mib": 393216, "gpu_count": 4, "gpu_type": "T4", "share": 0.014},
            {"cpu_milli": 48000, "mem_mib": 376832, "gpu_count": 4, "gpu_type": "V100M32", "share": 0.0074},
            {"cpu_milli": 64000, "mem_mib": 262144, "gpu_count": 8, "gpu_type": "V100M16", "share": 0.0058},
            {"cpu_milli": 8000, "mem_mib": 61440, "gpu_count": 1, "gpu_type": "P100", "share": 0.0025},
            {"cpu_milli": 8000, "mem_mib": 61440, "gpu_count": 2, "gpu_type": "P100", "share": 0.0016},
            {"cpu_milli": 128000, "mem_mib": 1048576, "gpu_count": 1, "gpu_type": "A10", "share": 0.0016},
            {"cpu_milli": 82000, "mem_mib": 344064, "gpu_count": 8, "gpu_type": "V100M16", "share": 0.0008},
        ],
        "lifetimes": {
            "cpu_only": {
                "weight": [0.2313, 0.6776, 0.0911],
                "mu": [5.0283, 6.5757, 9.8451],
                "sigma": [0.0904, 1.3764, 0.2388],
            },
            "shared_gpu": {
                "weight": [0.4655, 0.0807, 0.4538],
                "mu": [4.9568, 6.9099, 7.6777],
                "sigma": [1.1052, 0.1571, 1.7376],
            },
            "one_gpu": {
                "weight": [0.3683, 0.5738, 0.0579],
                "mu": [5.0544, 7.3961, 9.3944],
                "sigma": [0.8572, 1.1087, 2.6431],
            },
            "multi_gpu": {
                "weight": [0.1035, 0.4811, 0.4154],
                "mu": [3.539, 5.9874, 9.4084],
                "sigma": [0.2641, 1.0779, 2.4091],
            },
        },
        "batch_correlation": 0.7507,
        "arrivals": {
            "mean_gap_s": 361.7021,
            "batch_continue": 0.1232,
            "batch_gap_s": 16.9837,
            "hour_weight": [
                1.5143,
                1.3875,
                1.1341,
                1.34,
                1.3115,
                0.9852,
                0.8965,
                1.0359,
                0.6938,
                0.3738,
                0.5576,
                0.548,
                0.3992,
                0.3706,
                0.3643,
                0.7159,
                0.7698,
                1.2165,
                1.6441,
                1.3749,
                1.0169,
                1.359,
                1.3432,
                1.6474,
            ],
            "day_weight": [1.2028, 0.9664, 0.6304, 0.8111, 1.2642, 1.0394, 1.0857],
        },
    },
    SyntheticParams,
)
"""Default parameters."""
