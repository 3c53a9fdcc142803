"""Files of each trace set: upstream place at a pinned commit, and size and SHA-256 of the original bytes."""

from __future__ import annotations

from typing import NamedTuple


class TraceFile(NamedTuple):
    """One file as it lies upstream."""

    name: str  # path below the folder of the trace set
    size_bytes: int
    sha256: str
    url: str


_GITHUB = "https://raw.githubusercontent.com"
_ALIBABA = f"{_GITHUB}/alibaba/clusterdata/7a6c496e4f4b6ce6150be8f881cb051bf2abff42"
_FGD = f"{_GITHUB}/hkust-adsl/kubernetes-scheduler-simulator/8f3d6417353c5083c6d56617f255fadd8dc306bc"
_HUAWEI = f"{_GITHUB}/huaweicloud/trace_generation_rnn/fa856db037539396ae5dbc71f5a255f74c888443"


def _files(url: str, *rows: tuple[str, int, str], under: str = "") -> tuple[TraceFile, ...]:
    """Files of one upstream folder. A text that explains the data is kept as `README.upstream.md`."""
    return tuple(
        TraceFile(under + name, size, sha256, f"{url}/{name.replace('.upstream', '')}") for name, size, sha256 in rows
    )


OPENB_FILES = (
    *_files(
        f"{_ALIBABA}/cluster-trace-gpu-v2023",
        ("README.upstream.md", 5_237, "4445ce29c045d3281f857f25c392b78880658978ea4fc420ec3f5b4bf621bc80"),
    ),
    *_files(
        f"{_ALIBABA}/cluster-trace-gpu-v2023/csv",
        ("openb_node_list_all_node.csv", 52_287, "5a85c2af79c66a1efff8bbcbda430400aae56d8431370d738480967e1a9c6b15"),
        ("openb_node_list_gpu_node.csv", 42_353, "2beca64b4d3dfa342036a34b56a495c6cef9225db836c81f541282cb1df320b5"),
        ("openb_pod_list_cpu0.csv", 499_765, "1bc3fd9ee5c1468ccd018f624d9222746e08d59f963f66b925804734271c0eaa"),
        ("openb_pod_list_cpu037.csv", 518_687, "8ed554026d041b15ff21ddc104d9a21dbd9a93c496262fa23ef7b5be27e220dc"),
        ("openb_pod_list_cpu050.csv", 525_811, "747f43247bffc2b0bb081d7f61f0705ca8d390dafc0b647e642c92f3baf3ba1e"),
        ("openb_pod_list_cpu072.csv", 537_576, "f8a2b031461b54d7b9f06d55473c2371eb3357b78a255c646bdca5e0833a8a2f"),
        ("openb_pod_list_cpu100.csv", 554_709, "bec1c33fbdde61fd463877534ec79b393aec73e1cbb22d55fab9f166ac480982"),
        ("openb_pod_list_cpu200.csv", 622_703, "b7e9d8a1a601da84d6e0b4110b19ef5001be5e4796d33e7b82f166ba95161f87"),
        ("openb_pod_list_cpu235.csv", 651_171, "87bebd4d012faa8305ce1fd82737f51cf03361aac28b75d42e34aa656d7f4ee0"),
        ("openb_pod_list_cpu300.csv", 710_698, "76528825f40ee662cb098b3b6e683c1efd9f87a0c8af7e628df1f32c639636d1"),
        ("openb_pod_list_default.csv", 575_468, "1ee7ed79c27a3b0861cda8ddba86a004c6aba904caafa329a76ae93ca63834a8"),
        ("openb_pod_list_gpushare20.csv", 574_603, "9be2d0efb52e242c32e23dd184cc5fcc1983478c6c9c02cbb6b4b62925c0ffcd"),
        ("openb_pod_list_gpushare40.csv", 572_662, "d83ce79a4eb6987524bedbb0c65e41aed3a36bf6c1b78b86234c3687a07e1d40"),
        ("openb_pod_list_gpushare60.csv", 566_361, "d31809628128a1f24491086eda4af3e23882b9213d3ef57a56ee2d1af69492fe"),
        ("openb_pod_list_gpuspec05.csv", 577_176, "8f1c0ef7e4e511e982bd2818898ba22ee6d273bf5fce124b7ace285b5928cf4e"),
        ("openb_pod_list_gpuspec10.csv", 579_461, "2dc7e4cb9480484f08539720b433a9ec9ab5d76b396f3f7557c53a2ff78a7611"),
        ("openb_pod_list_gpuspec20.csv", 582_612, "6b9b89ab8913c1c074e994e98f548cf1a872fc5f76f2442ca8cd514a478b00a9"),
        ("openb_pod_list_gpuspec25.csv", 584_915, "9d030679a2ccd7e27a7ec9ff15baff34480d22a0012515691fc187e3f35ee68c"),
        ("openb_pod_list_multigpu20.csv", 271_530, "d9ec6f6c74fb980cc0b81239470c6353fceea077ea9abd610003b604c7cc2b01"),
        ("openb_pod_list_multigpu30.csv", 277_920, "a5e479c6444b1d83eef848159cf00c3cfa13441b2d1e2c113c391b91f1cc5b11"),
    ),
    *_files(
        f"{_FGD}/experiments/analysis/expected_results",
        ("analysis_allo_discrete.csv", 823_208, "e00aff5923a52d53e47c16ec9d19190de4e788c15334865a77bd46e1bd006ea1"),
        ("analysis_frag_discrete.csv", 787_709, "0d9181864ef9adb2169f232124c6af767579fe2a3c08f940419b4989420c8ce2"),
        under="fgd_published/",
    ),
)
AZURE_FILES = (
    *_files(
        f"{_HUAWEI}/resources/maps",
        ("batch_size_map.txt", 422, "cadfbeb07dbad921ebf7b12e42b5840ca51d5012917b3e18fe2f4109f869e753"),
        ("flav_map.txt", 115, "2b7ae5498471022e4bb0d62b148cbde01d5704a5fef482096ad780e17cbb0902"),
        ("v1.interval_map.txt", 59_653, "404436c751ac5a345092b8b5c9cb91ca99ae013c675fd932cfb7fc633eb9579d"),
    ),
    *_files(
        f"{_HUAWEI}/resources/traces",
        ("LICENSE", 712, "89fabd8b979478da05528531af644fe9c9a8f3feb1cb796623db7ef43af932b7"),
        ("v1.dev.c2100000.txt", 979_525, "46521121c2917b14800abd090354b41045ff5f5d88f8b144456af6e098196b32"),
        ("v1.dev.txt", 632_536, "78a3e6c258553b458bd8e55d867ef5fa1a2b82cdd5c4c4b1f777210669835af6"),
        ("v1.train.txt", 3_079_978, "9c2f66e4d003f7a60db7c6ca63f4af8ef553922339a10cda848498d92f0e8d64"),
    ),
    *_files(
        _HUAWEI,
        ("INPUT.upstream.md", 3_306, "efb81ad78cb4844d0b6ec2d0ec04911347f1976b6bf57d3c6384f62f013681fd"),
        ("README.upstream.md", 1_078, "c75b9bc5c8f56f3a4c03fefa1501dc6c4e77d1e40c3ac3eb01be05fa4f760a11"),
    ),
)
DLRM_FILES = (
    *_files(
        f"{_ALIBABA}/cluster-trace-gpu-v2025",
        ("README.upstream.md", 5_418, "488ca82c502e1a186a2ed673281c3d2176813adb3ad77c976259388a8aea7f98"),
        ("disaggregated_DLRM_trace.csv", 2_118_900, "fb17bc4b3f412d5280f70f04a1bdf2adfc4429d1e61237a5b106e86206414295"),
    ),
)
