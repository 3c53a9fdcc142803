"""Files of the trace sets of demand and prices: upstream place at a pinned commit, size and SHA-256 of the original.

Files that lie upstream as archives (`.tbz2`, `.tar.gz`) are registered and kept as such.
"""

from __future__ import annotations

from archrl.traces.registry_files import _ALIBABA, _GITHUB, TraceFile, _files

_WORLDCUP = f"{_GITHUB}/nimamahmoudi/worldcup98-dataset/82460213f0d5a86fa57b6d4b0b5f260e606e713b"
_WIKIPEDIA = f"{_GITHUB}/YuchenLuo/WikiTraffic/24db76bb3b08589d253de0565814ae6412625c47"
_WEB = f"{_GITHUB}/reconfigurable-ml-pipeline/web-service-datasets/7404ad6643602943511e75ab3095fb1ccc990fd1"
_AZURE = f"{_GITHUB}/Azure/AzurePublicDataset/b469a113cedca53ddc3bdea71a143dc4b7d8700c"
_LIBCLOUD = f"{_GITHUB}/apache/libcloud/ec6a28bdb57e53c1263788f10ed2262083bde205"
_NUMENTA = f"{_GITHUB}/numenta/NAB/ea702d75cc2258d9d7dd35ca8e5e2539d71f3140"

WORLDCUP_FILES = _files(
    _WORLDCUP,
    ("LICENSE.upstream", 1_070, "a5c5a7a66a585ceedd3664226380b0ec9ded8a62df837fc199d747d96b286128"),
    ("README.upstream.md", 2_105, "2ea3e6b660ba929cf94acf4b93c5b0d52b4b9310fc3db22f00fd6c487f91698d"),
    ("invocation_count.csv", 3_157_125, "d05038f98af96f6fab054f90445e02a68f37fd00a79c23f45b9b48e5ec91fb8e"),
)
WIKIPEDIA_FILES = _files(
    _WIKIPEDIA,
    ("README.upstream.md", 379, "b5ac2cd8ad1e5e5db4c7b56e2bbc6801b4369048a0eedcf54cb0db14374e58fc"),
    ("log.txt", 1_136_022, "c676042180af3f33b79b938c5beafce7946f27a63caa967c3594635d80d7f97b"),
)
WEB_PER_SECOND_FILES = (
    *_files(
        _WEB,
        ("README.upstream.md", 3_770, "f21efae92ead5e4ce8efcfcfb88a47dfdb46f82df0bd1a0339b956942c45dc20"),
    ),
    TraceFile(
        "nasa_workload.tbz2",
        1_184_063,
        "7fa62292d993dde1f278eaa039b50860203a86fbc93a8f92150a548191be4ded",
        f"{_WEB}/dataset/nasa/workload.tbz2",
    ),
)
AZURE_LLM_FILES = (
    *_files(
        _AZURE,
        ("AzureLLMInferenceDataset2023.md", 2_636, "9996a0d9e4d94ee52bc3564a33f51e172a34f4a58960a05f066a2b8061f9a1e0"),
        ("LICENSE.upstream", 18_653, "9bbc1ea9fe5c96df01b311a2ac864d5b18fc87b9948bfd14770e4b44db755ee9"),
    ),
    *_files(
        f"{_AZURE}/data",
        (
            "AzureLLMInferenceTrace_code.csv",
            320_117,
            "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
        ),
        (
            "AzureLLMInferenceTrace_conv.csv",
            719_188,
            "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
        ),
    ),
)
GENAI_FILES = _files(
    f"{_ALIBABA}/cluster-trace-v2026-GenAI",
    ("README.upstream.md", 13_550, "389a0cb2da5212bdccbf3fc00bffd9850b6c0142a5855167dcef350083e526fe"),
    (
        "basemodel_update_latency_anon.tar.gz",
        57_327,
        "4a0cfd5537dc0e7e19340cc8cfc49c26d6aef0ffd85f3ed68db1f4e157811e9d",
    ),
    ("data_trace_processed.tar.gz", 555_549, "6ae9212039410957a301574d419a5744d5285057805ab5094536198bef9d43fb"),
    ("lora_request_trace.tar.gz", 266_184, "3205a42d9b11e027434448a21e20125e382e0caab4bcda9cd56aca7cc6c0d57f"),
    ("lora_update_latency_anon.tar.gz", 192_882, "15fb8a51adad7d05861fdd73174642027b3d9fed821d7e762f330cf2d81e9c38"),
    (
        "pipeline_inference_data_anon.tar.gz",
        255_769,
        "4899bd06c7089764046ae8b1ba5dfd243e47062c96d9ff34f7d344558602bbd5",
    ),
    ("pod_gpu_duty_cycle_anon.tar.gz", 832_148, "c4070218189b2811995c30dd9fefb8a793a83a54dccebe7b41cab2d123916855"),
    ("qps.tar.gz", 119_651, "6bd1a21e3f916740df1e768fc43346148f1598b15fcc68c658a8faf1f87461c6"),
    ("queue_rt_raw_anon.tar.gz", 134_246, "419deaccd1cc33ef3050b676f75a49af726c169de62ae29344ea2fdf1d4f3819"),
    ("queue_size_raw_anon.tar.gz", 4_863, "585499916ed94900921e72c01213a618cad52443fc3f20f1e0e7ad4c4bb11798"),
)
VM_PRICES_FILES = _files(
    f"{_LIBCLOUD}/libcloud/data",
    ("pricing.json", 2_016_881, "0f1125d1ea4901acfc6bb39a7743b000d8134d0a8f5da49b8ca5132979d3193c"),
)
NAB_FILES = (
    *_files(
        f"{_NUMENTA}/data",
        ("README.upstream.md", 2_931, "1d32963e44a52323b44affff374a1222ebe5ef19ef8f7f6c6fd7a747aa52db30"),
    ),
    *_files(
        f"{_NUMENTA}/labels",
        ("combined_labels.json", 7_015, "98724014c162fcfd4be605683517f194051a54e98756c53667bd33ddbc644d9b"),
        ("combined_windows.json", 15_359, "1e1fbc4601321aad8d0f8b3784c8134299379f68f6c1f7777565f8ffd57ab6b1"),
    ),
    *_files(
        f"{_NUMENTA}/data/realAWSCloudwatch",
        ("ec2_cpu_utilization_24ae8d.csv", 105_367, "ab446fbd8b9f37507eb2fdb06315826d8daeef02e241133ce06e0ee571ba53d9"),
        ("ec2_cpu_utilization_53ea38.csv", 116_041, "8942e498de7b40f1b4a6d802755592c09b8fb73ce8f658763a09cb9ea1ea94ac"),
        ("ec2_cpu_utilization_5f5533.csv", 119_229, "01613e6f632d067f11a5dfd40a188b0789752b388d9bc77a398bd06333878a76"),
        ("ec2_cpu_utilization_77c1ca.csv", 106_007, "90ceabd570b449241ee24ff8a116a793979b7671ce4490707311bfea0e0aae1f"),
        ("ec2_cpu_utilization_825cc2.csv", 113_675, "d768419037c9db269343822957314f57ee21a7d9a4d41df2add0d1ba45ba84de"),
        ("ec2_cpu_utilization_ac20cd.csv", 116_980, "749a15c2e1a4543c21fee9cbf3338cd8a7ed5f5f8a1308b9b099b06c2c66e66b"),
        ("ec2_cpu_utilization_c6585a.csv", 104_962, "d936cea74682ed43ac96b778352d7de294c0b0c168f4a7e6817162346cdb28c1"),
        ("ec2_cpu_utilization_fe7f93.csv", 115_788, "f3433f8171f4dcea86c0c7af9996d0f166f812fa0f4567f1d5cd85d2d2cd69b4"),
        (
            "ec2_disk_write_bytes_1ef3de.csv",
            116_626,
            "ce3d6c6a652ed7c31a6dd3727a36e128fcac6fb2381c63267ad0fbc02eccd9df",
        ),
        (
            "ec2_disk_write_bytes_c0d644.csv",
            101_626,
            "a0e734a66098bb81833835f0839dadafbc8ae829c51494670ee8849e46eb5b63",
        ),
        ("ec2_network_in_257a54.csv", 117_236, "39104b08f2e0a673b5137eb7681897fcadf0955fedf565740a6a94edc63a81a4"),
        ("ec2_network_in_5abac7.csv", 120_827, "c27ef93f582af63bf42e80d804764cbe64ae987620f3cfab5477d6ebb3c6157e"),
        ("elb_request_count_8c0756.csv", 101_052, "74c26574a01ca9fb89dddb5021e2e13c3a93eb25dc640438a9acb1ceb00f1021"),
        ("grok_asg_anomaly.csv", 131_065, "86a0abe9d58e376858d2fd4f4a438f1997e24c64a09e5af03accd4e1b372ac47"),
        (
            "iio_us-east-1_i-a2eb1cd9_NetworkIn.csv",
            37_339,
            "f115fbe6542159eed5612445bfa620708a28ab6b41349d1432bb15c3a3b8414d",
        ),
        ("rds_cpu_utilization_cc0c53.csv", 117_806, "d5df979ef85928769a016cd0f935919d8c2a113926e21e1eb3a5001d688760e2"),
        ("rds_cpu_utilization_e47b3b.csv", 113_599, "6b712b922ab3b3404c5a629d64a570c390c99471ee8b9b0ff7665f553fda92c1"),
        under="realAWSCloudwatch/",
    ),
    *_files(
        f"{_NUMENTA}/data/realKnownCause",
        (
            "ambient_temperature_system_failure.csv",
            233_321,
            "230b68ccca20f59d562afd5d24ad52939c9b784386bed0054018358bf9120581",
        ),
        (
            "cpu_utilization_asg_misconfiguration.csv",
            539_274,
            "58ba65dc0737cfbac11b51514476d50c438d44011232144bb8d93f392df58f9f",
        ),
        (
            "ec2_request_latency_system_failure.csv",
            123_428,
            "98378580aa80157e057c61d59d81daddccc6c65a2c0c800e3f01f603b8215c3f",
        ),
        (
            "machine_temperature_system_failure.csv",
            732_223,
            "92bf5b87fc7f9bba8ca0b7ec63ccaac8cb4a1371a258e8c29a10ae9c018d82a4",
        ),
        ("nyc_taxi.csv", 265_771, "d8fa6f7f0734bf5c8be12c52a94e20a82664c397d9dec4449156bd453d32856d"),
        ("rogue_agent_key_hold.csv", 55_527, "47b110baa8e3636574c1033dda1cce780873647fab58223d159d4fee6f180e86"),
        ("rogue_agent_key_updown.csv", 138_333, "9797cfef477c13306f7a33874ab4d6cf700f8f2c7e5825a2a5bc02004370909a"),
        under="realKnownCause/",
    ),
    *_files(
        f"{_NUMENTA}/data/realTraffic",
        ("TravelTime_387.csv", 59_846, "38e70e9ead8227fd023bff6e93247d5bc01ee008f781b921a156962419b399bb"),
        ("TravelTime_451.csv", 51_918, "7c174adfc457b201cd111d60688f7ec37eb7201c8080790dc41eeff477bd7345"),
        ("occupancy_6005.csv", 59_122, "cd357d7820d675074270fd976d4af1fc1e7854ecb764783028cbcb18d980c91d"),
        ("occupancy_t4013.csv", 62_609, "5663a8122a300360eb51fbbd0f21706da05af1af55262926d6a226bb6d071704"),
        ("speed_6005.csv", 57_538, "7976e7596cd1e579696c737576e96a26fe041484472ed7d0a463ce2b094d7aa7"),
        ("speed_7578.csv", 25_928, "15ba994384730cb5a2e6818f17ded1430b40d92eb7a08e5b1a48a445c8c350f6"),
        ("speed_t4013.csv", 57_400, "fa5532d6f7db36cadc73e657fd4dfef05cb1ec44d4010243b314d3f1bbd6a7b5"),
        under="realTraffic/",
    ),
    *_files(
        f"{_NUMENTA}/data/realTweets",
        ("Twitter_volume_AAPL.csv", 368_111, "826f5cf404c2890784a7824f7102fd00cb134a4948e12e44ec320d095cbbc217"),
        ("Twitter_volume_AMZN.csv", 364_666, "234f5e63f19a62720dfb7ccfd6ecc8349b94d93b33ef8aafbdb17edda0b654f3"),
        ("Twitter_volume_CRM.csv", 350_820, "e7133bf26479623d58fc7367107aea1cd7df6020420dece48b0eee4d26cdb28a"),
        ("Twitter_volume_CVS.csv", 348_802, "f0bdc89cba3dd2265b47069187c750eeae18ef48f76f86067ee26ea1af9c3114"),
        ("Twitter_volume_FB.csv", 359_760, "a7096bd646759486bda6796b5600cd33a4590f0842bf274ea7acba001b3ba591"),
        ("Twitter_volume_GOOG.csv", 361_270, "3a39cc23d1ff6a0f234b55298d0c46c21d2e94ddb81a0dad9e1e46e3aaa9ec90"),
        ("Twitter_volume_IBM.csv", 351_268, "4309bd56d28ddcbdc168e207da9717395fa2e9f74dba41fa768e0f7da8a116fa"),
        ("Twitter_volume_KO.csv", 355_283, "f3aa8157043c6569911031535bd1f7a73b428b5a2d95238d79b9d5b88ceebbd2"),
        ("Twitter_volume_PFE.csv", 348_926, "18d2804d6a5dae63fe711baaba9242dce38a32bfade3dcdee1d8a7c1a866e41b"),
        ("Twitter_volume_UPS.csv", 350_182, "be50f06bbb9d020f37653c8c5cf19af63f77aa0019d8cf10849d91f4af455af4"),
        under="realTweets/",
    ),
)
