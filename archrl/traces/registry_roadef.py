"""Files of the machine reassignment instances: upstream place at a pinned commit, size and SHA-256 of the original."""

from __future__ import annotations

from archrl.traces.registry_files import _GITHUB, TraceFile, _files

_TEAM_J19 = f"{_GITHUB}/TeamJ19ROADEF2012/ROADEF2012-J19/a7247ba5d3788a544ed888df4a07c597204cb989"
_ANALYSIS = f"{_GITHUB}/circleorange/mrp-approach-analysis/4b067d086980e5fe9a6c286c101ff18d5ce48703"
_DEBOUTE = f"{_GITHUB}/mdeboute/challenge_ROADEF_Google/f0fd6a50d66a4f2331952862bcf4427de3711c37"

ROADEF_FILES: tuple[TraceFile, ...] = (
    *_files(
        f"{_TEAM_J19}/instances",
        ("assignment_a1_1.txt", 200, "da85d10336623e9bf4adb479e505ccad4921b80d2227ba9b0edce3ac782326ea"),
        ("assignment_a1_2.txt", 2_900, "371568eeb8376b564dd160c694a5b70ef0aa1d28177a7f4c6860d1f6c7c41aa5"),
        ("assignment_a1_3.txt", 2_883, "e479144d9f405b78de6bdbb26e51a0fa0e4133b3214744359c67bb41e8a09a33"),
        ("assignment_a1_4.txt", 2_818, "a37344ddf5842c25c435ea49c67af11425bbbe4edb062fc7253ec7cc04466ac0"),
        ("assignment_a1_5.txt", 2_144, "105586f5d172c0a533160421b79b5e19a55ada3a911322fddfd8595aacd0a28d"),
        ("assignment_a2_1.txt", 2_898, "0cdaa428f92123bd9d1ebf8681625a650699eba56d85a8ca707d42437b98cc47"),
        ("assignment_a2_2.txt", 2_903, "a60884ee5174ed52777d9c2fd08d3b4dabad0779ee2f81489ea741468bd57038"),
        ("assignment_a2_3.txt", 2_901, "bf9742763f635328f596d961e8d1bbd9bdcfaebab906d02f8c567611285df7ed"),
        ("assignment_a2_4.txt", 2_786, "ae22ff309dfa4e78c2e82219dc6927522c7d18425ebe252afe2e1d201ded52c6"),
        ("assignment_a2_5.txt", 2_781, "be0e7a8923042121b4452ff806c0c62a6a009af2ecc62d338878136df3c24337"),
        ("assignment_b_1.txt", 14_507, "2c83fea37f3cb8250f48012f09cacd436744399ab0c1490221539c8dfe80effe"),
        ("assignment_b_2.txt", 14_489, "b92f7c6a86a372970317aa8c23c732828f66bd130d4e606d11ebc6e242fec23f"),
        ("assignment_b_3.txt", 58_008, "66022c4c656b7317b130bf7a41ff0695b50b2ea614f7d8573baec62a0908f0d0"),
        ("model_a1_1.txt", 2_389, "52dea68d80ea1e529bc5c51e4f6c09ef6d8211a3557ceceeb058bfff6f7459d5"),
        ("model_a1_2.txt", 62_522, "9eaedd1aa6464275cf0eee82cc93748f006a5c642e22ea3c9dda67c71f2425b7"),
        ("model_a1_3.txt", 50_863, "c1d016d860bc51e4525e37484a7fa3a666d1e5f61b219bd38645e4f73ffd6f53"),
        ("model_a1_4.txt", 32_825, "30add81e7d35e8278b76c73a421da2f613239c2985a0371d73250b3580b98265"),
        ("model_a1_5.txt", 36_914, "fc45b8a5dd788cf749bb0672662ff9a3b5a3109b305012f68ee6235ca2aa5d71"),
        ("model_a2_1.txt", 54_706, "3ea1b5c1f9c525a05384708b979f1f7692c2a3bb0d2014797d26f4898b9c3048"),
        ("model_a2_2.txt", 109_862, "2132bae5e781345c2b247ea5965932b57b285d43880fbc08d27cc55d2a3505a3"),
        ("model_a2_3.txt", 110_852, "254cc96eff34179e07c661a9de44ec7380732791069d18b96b75743489805867"),
        ("model_a2_4.txt", 87_545, "9efeb99e20432bbf3ed394ba1b9bd4cf21e02daa3e0358fe761cf843110bf395"),
        ("model_a2_5.txt", 86_901, "4741abcc1a2ff34699850437ee3bd67f49c90ab27ac1cf51e15c2b85eaac61ca"),
        ("model_b_1.txt", 427_030, "306ddc315c5070387b1606718fbf031518f16ad22d623cb76d1eb79ad3a681e6"),
        ("model_b_2.txt", 424_406, "0deb4decdffe988ebea4d7dcd6cddd4f45bbd0729981593d15eb449a64c8891a"),
        ("model_b_3.txt", 989_332, "e11f06e5559ca7b05cff4426f920556984a70a284283a7d2c101644902ee0d64"),
    ),
    TraceFile(
        "example_solutions/gavra_solution_a1_1.txt",
        300,
        "1e1a933e4145fcc5f17dfccbada9fb2449ad78cf8d5d988785ce61bac715f6ae",
        f"{_ANALYSIS}/gavra/results_a1_1_20250812_170547/solution_a1_1.txt",
    ),
    TraceFile(
        "example_solutions/jask_new_assignment_a1_2.txt",
        2_897,
        "6c7c6d773c05fb4f844a36962af4e4ee7bc68328f70aa1976c695eca213f6d1e",
        f"{_ANALYSIS}/jask/new_assignment_a1_2.txt",
    ),
    TraceFile(
        "example_solutions/jask_new_assignment_a1_4.txt",
        2_794,
        "f40be39ab002fe67341ffa4f8dce9965aa3d4e96316500a96cb2db955c180268",
        f"{_ANALYSIS}/jask/new_assignment_a1_4.txt",
    ),
    TraceFile(
        "milp_resultsA_mdeboute2022.txt",
        6_000,
        "ef41fcb4dc83fa802a00fb7304fd2d9b85e67ae85770844a50896e202cbebbe2",
        f"{_DEBOUTE}/resultsA.txt",
    ),
)
