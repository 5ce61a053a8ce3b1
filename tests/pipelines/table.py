"""What Mirage made of each pipeline, by target: digests and counts from the goldens' index."""

from __future__ import annotations

from tests.pipelines import odd, own
from tests.pipelines.kit import Made, Pipeline, Refused

ARGMAX_TWICE = Refused(
    "layer 1 (argmax_reduce_layer, argmax_reduce, grid 1x1x1)",
    "layer 0 (argmax_partial_layer, ",
    "layer 1 reads it through 2 slots",
    "tensors 'value', 'index'",
    "segmentation fault",
    "Let a consumer that reads the fork through one slot come first",
)
RESIDUAL_TWICE = Refused(
    "layer 1 (linear_with_residual_layer, linear",
    "layer 0 (rmsnorm_layer, rmsnorm",
    "layer 1 reads it through 2 slots",
    "tensor 'x_a'",
    "segmentation fault",
    "Let a consumer that reads the fork through one slot come first",
)
CASE_2 = Refused(
    "layer 0 (rmsnorm_layer, rmsnorm",
    "forks (to layers 2 and 3)",
    "its consumer 2 joins layers 0 and 1",
    "case 3",
    "layer 2 (linear_with_residual_layer, linear",
    "tensors 'x_l1', 'x_m'",
    "Put an identity layer between the two",
)
CASE_3 = Refused(*CASE_2.says[:-2], "tensors 'x_l', 'x_z'", *CASE_2.says[-1:])
UNKNOWN = Refused(
    "layer 0 (no_such_task, grid 8x1x1)", "neither Mirage nor this version knows", "--register"
)
FOUR_TENSORS = Refused(
    "layer 0 (rmsnorm", "4 slots", "2 inputs and 1 outputs", "exactly 3 tensors, inputs first"
)
THREE_DIMS = Refused("rmsnorm_layer", "input 'x' [2, 4, 4096]", "3 dimensions, 2", "[8, 4096]")
STRIDED = Refused("attach_input", "'x' [8, 4096]", "strides [8192, 1]", "contiguous()", "[4096, 1]")
NEEDS_100 = Refused("moe_w13_fp8_layer", "no task for compute capability", "Plan for one of 100")
NEEDS_90 = Refused(
    "moe_w13_linear_layer", "no task for compute capability 80", "Plan for one of 90, 100"
)

PIPELINES = (
    Pipeline(
        "bad",
        odd.alias_two_names,
        {
            80: Made("7d2923a58432198acb0eaef5f0ae85befe03f33c4b287ffea359ac2405c32f47", 18, 3),
            90: Made("d2949814a9dda623e33a163e33e81ddf48f6705551a3f816ab995e1dba309c9f", 18, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.axis_unmapped,
        {
            80: Made("ca28c5dcb29c243ccebaaa6e98f0faedfe4ab29b3b238c463b0ffb7b7013fb46", 514, 3),
            90: Made("c456bca1354f602ed45b6c87d31352885c9bcf888a371faf95fb0a4ad5fef2bf", 514, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.chain_same_tensor_twice,
        {
            80: Made("5f076a6bd0216b17935d431ca68c6af6ce577c6cf9bfa73160c1ad982910d0e7", 74, 4),
            90: Made("33bddfba8dd6d49eabed3c0ed21f219ef9a08337e4a303d990e24f30e1af4382", 74, 4),
        },
    ),
    Pipeline(
        "bad",
        odd.consumer_before_producer,
        {
            80: Made("748bb93dfed79b0af962b344b7d630c7a43238e278d6a00e30ce9270426efafd", 18, 3),
            90: Made("5d5af9243064c07a5b49b8ef8aa4aebc6c412c9605bd2f942f83d64faa90548e", 18, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.dotted_name,
        {
            80: Made("68eb2a01f776b4023612b73d5a23e57b23738a38f106a85056d630a26bac0c7b", 10, 3),
            90: Made("4077db3969a5c22c9938ea538f39c723c2cc3cba94f7030376d8f2d6ebc7e029", 10, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.duplicate_name,
        {
            80: Made("8f69de704e76139b2c5f02aeac3998c3eded94244081ea9339b5b9be7033c805", 10, 3),
            90: Made("598405fbc44e5b60210be8ab39f0627e3a54f708d9e2f4c890d46b23dbd392a8", 10, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.empty_graph,
        {
            80: Made("d8672a1076f66ac1a70396718154ee97ac1ea0a14b236246703fe9d89beae176", 2, 3),
            90: Made("d8672a1076f66ac1a70396718154ee97ac1ea0a14b236246703fe9d89beae176", 2, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.fork_duplicate_edges,
        {
            80: ARGMAX_TWICE,
            90: ARGMAX_TWICE,
        },
        tokens=1,
    ),
    Pipeline(
        "bad",
        odd.fork_duplicate_edges_second,
        {
            80: Made(
                "dac7d70105473cefbcad7bf9396ff97ed89e3d51e8ab35514fd8a42c4b8a3a8c",
                13,
                4,
                num_null_tasks=1,
            ),
            90: Made(
                "0934ba6c13af1a672a0ac613320d5c39e4af89edad6114b4dd3f1cf239079a24",
                13,
                4,
                num_null_tasks=1,
            ),
        },
        tokens=1,
    ),
    Pipeline(
        "bad",
        odd.fork_join_uneven,
        {
            80: Made("2cb2ee9e6d20a6f6beb99b68b4dfd937e1e2e377c3911d94e181df2f5dbfc005", 98, 20),
            90: Made("6aaa22ac666d547894c9e5c9cf2131c5935bbb5170027bc4c69f41bdec25b295", 98, 20),
        },
    ),
    Pipeline(
        "bad",
        odd.fork_lcm_12_4_6,
        {
            80: Made("ce250137b12d919d80e86c50ad30a467f6a519a292257b137ede35864328cd3d", 24, 5),
            90: Made("d5a3b5938c4bee90f44ac3704d69b811c1c92fe95698246c6113b6b71e7547e5", 24, 5),
        },
        tokens=12,
    ),
    Pipeline(
        "bad",
        odd.fork_same_tensor_twice,
        {
            80: RESIDUAL_TWICE,
            90: RESIDUAL_TWICE,
        },
    ),
    Pipeline(
        "bad",
        odd.fork_three_way,
        {
            80: Made("ff070043deb972790ee158cce542dc3f072fa2ba6a847ec0ffaf01963f325745", 86, 4),
            90: Made("5db4b6a29acb182a0044f485b8a72550c2827c8baf5581f840d1d058b062eb3e", 86, 4),
        },
    ),
    Pipeline(
        "bad",
        odd.fuse_ok,
        {
            80: Made("ff213e16e21e895f482d63c4b4cc6ad1112a2af7820148d9c58e88fa6f30d041", 66, 3),
            90: Made("4a203b867272374c7d5c7dc4da39b6f6ae7edc66ddd2bc4b9c58fe6903948361", 66, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.grid_larger_than_dim,
        {
            80: Made("6f672498fc48200aad907432a646ac55f9f8d89e2ac9a92c89e44af1ddd93aac", 18, 3),
            90: Made("d0804e1d0a85e0f52d06108e57b776a764dcc5131df32788a414ced51b3ac1de", 18, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.grid_nondiv_linear,
        {
            80: Made("99c5a8b08570d30f223356256c1987d23ce01a00ac6758f5e218ba938934bc7d", 62, 3),
            90: Made("a8800809b31c3f303f0a4c25a39da2ee9bb9b83437d89002431aa839e7f01cc5", 62, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.grid_nondiv_then_reader,
        {
            80: Made("de5e41656c90e23f992dfcf8bd1555e1b872b10f10697d8711f6ed78cbf02938", 13, 4),
            90: Made("3a08c76e0e00a84d622d5b342cce1bab465b58ef2412bb879578b68b64498cd4", 13, 4),
        },
    ),
    Pipeline(
        "bad",
        odd.grid_over_4096,
        {
            80: Made("5c8aaedb699dfcb09d164b9399eb6de2362a5e52ce2cc27331b841a6812de988", 5002, 3),
            90: Made("c9c83428814f25b15d67ef032ebc204a827f168d1f829d52a3ac80324df8af0e", 5002, 3),
        },
        tokens=5000,
    ),
    Pipeline(
        "bad",
        odd.hidden_output,
        {
            80: Made("f1069f0d9490bf3fa4f979844be6bb32e99f8c4b73b2c2f175e3ce7c76cce095", 11, 3),
            90: Made("add360afd4730260f359c3c57ed397464a71e7a2363b5609c4b408bc824a0f99", 11, 3),
        },
        tokens=1,
        init={"max_num_pages": 4, "page_size": 128},
    ),
    Pipeline(
        "bad",
        odd.in_place,
        {
            80: Made("8f69de704e76139b2c5f02aeac3998c3eded94244081ea9339b5b9be7033c805", 10, 3),
            90: Made("598405fbc44e5b60210be8ab39f0627e3a54f708d9e2f4c890d46b23dbd392a8", 10, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.join_lcm_4_6_12,
        {
            80: Made("3612a89fdeed8b46667fc2d46bb6a56e55b94cdc9045ccb5d899e5a9cc62ffc1", 24, 5),
            90: Made("441ff6042a904653e11cc099affb94ff03bf4a5a5c6c3fd3532dbe6849548916", 24, 5),
        },
        tokens=12,
    ),
    Pipeline(
        "bad",
        odd.linear_batch32,
        {
            80: Made("13f6ada8edd5be43efba0ea5ce13369cd6cb107294b43ae6a1188fb7fee9e298", 66, 3),
            90: Made("e8378698921bb66e052ccebd899cf48c76df67dacebb96b77bde56b42b850a2f", 66, 3),
        },
        tokens=32,
    ),
    Pipeline(
        "bad",
        odd.linear_n_mismatch,
        {
            80: Made("a80a64d2638cb09ea9ff39cbb10a44220dbb4f8c4b2b3aef909432d8da8920ee", 66, 3),
            90: Made("a6a2bd4c3abc9004ba7deaca9863dd155713cc92579e112924c7b60db0c8bca1", 66, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.map_dim_out_of_range,
        {
            80: Made(
                "31959142ddb62f868bc37b32b5397d13c54fd2f08a721619ae214ed0ab484e25",
                10,
                3,
                undefined=True,
            ),
            90: Made(
                "0ee48662707d68d30cf17f0923aa244f40070e6919d09208c460021b497534ed",
                10,
                3,
                undefined=True,
            ),
        },
    ),
    Pipeline(
        "bad",
        odd.map_output_replicated,
        {
            80: Made("10735ccc3bc90d1eb5eefc46cbc3e6189edfa7a645740326e9f83e7180a8360b", 10, 3),
            90: Made("8d654ef2c1bd588cd9dad87ef07c06d35f9434fe257b846fe60c89b4fee3f138", 10, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.map_swap_output,
        {
            80: Made("088f21d5e999c646bd6cd4b79cb12924b4c34f037af499f7468a176f835d9097", 10, 3),
            90: Made("299e2adaf064a54ebc1b7a1d17d7931ade8c35abf24495fb1537da2307076ec1", 10, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.map_swap_weight,
        {
            80: Made("ecbe951e15b626eb8d6ebf3b54dec86261854ec21eaac8c807a59ce417f1506d", 66, 3),
            90: Made("6e1a0903bb91b2611f5e3d4a9bab7b93267219b5c32f66d65ffddd07ca8c1a6b", 66, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.nested_fork,
        {
            80: Made("a66987f324a9b81d5a420ccdad687866ff6db1a8d50f8f082dcb3c9156d9097c", 42, 19),
            90: Made("599a065ce87d8dc42fce9acd132cfd4a44aed6af6512402f42172ac05143d364", 42, 19),
        },
    ),
    Pipeline(
        "bad",
        odd.output_rows_smaller,
        {
            80: Made("e3f2321c3398190628da733524212c3b8905f2382f24fc2749c5deaa86f75f35", 6, 3),
            90: Made("3f1e50d3080c77f9df36cf54673c7c61acf0d20323eee160a57fb2b18e07a3a0", 6, 3),
        },
    ),
    Pipeline(
        "bad",
        odd.py_ndims,
        {
            80: THREE_DIMS,
            90: THREE_DIMS,
        },
    ),
    Pipeline(
        "bad",
        odd.py_noncontig,
        {
            80: STRIDED,
            90: STRIDED,
        },
    ),
    Pipeline(
        "bad",
        odd.residual_map_mismatch,
        {
            80: Made("7cee8bcd3708f1f0afb99373adcbe14e8881bbfda6e9f0fcc19b8f6a3eb358ff", 26, 19),
            90: Made("fec9a1f76de4bf120ea6d11cca8ea327b38a269f11c9b029f1b6a1eb7cdf5e8d", 26, 19),
        },
    ),
    Pipeline(
        "bad",
        odd.shuffle_group_mismatch,
        {
            80: Made("cc23401875349cbffdf575e5cab6c29c2af8e9b616ed200bdefea792495a8fe7", 98, 35),
            90: Made("aa8cc21724759cab53b0a50160541c8f65d9ed447c548e1a91fca4ca017a10d5", 98, 35),
        },
    ),
    Pipeline(
        "bad",
        odd.strip_then_fork,
        {
            80: Made("abc6cc9354b381fb4953a0454fd942f521545fd285f5d8ca7eee8f5472a2e147", 90, 12),
            90: Made("dfc104cd0a70d8a15876c821fdddd6b5b542e7d47c48cdf587c5b6f9a12fdcfd", 90, 12),
        },
    ),
    Pipeline(
        "bad",
        odd.two_outputs_diff_maps,
        {
            80: Made("d2a6dd7c4964778f7cee924076dc0943be8302363505d3cadc76afd94b8d1725", 18, 11),
            90: Made("fe14a1c627fe958bd823fb2d5bd106d0208500a03ed0a3dc1c913d8ffc0f9212", 18, 11),
        },
        tokens=1,
    ),
    Pipeline(
        "bad",
        odd.unknown_task,
        {
            80: UNKNOWN,
            90: UNKNOWN,
        },
    ),
    Pipeline(
        "bad",
        odd.war_buffer_reuse,
        {
            80: Made("fe25afa0749f8d16cde146af7a23fd1d72319ef0a3c57483c4b61a0d3faeb562", 90, 12),
            90: Made("4b82e78ad96bfdb3360c45082b4673a40fe39c4e93572a689fa549aa07951884", 90, 12),
        },
    ),
    Pipeline(
        "bad",
        odd.war_chain_barrier_ok,
        {
            80: Made("94e04103d5da9ece53a910fc3a2a14a1dcca5d069883e4a1afd9d95e5a893bdc", 82, 12),
            90: Made("411e0625f50d5f2391b29b06bdf639883560ccc0ea7af49d60b3b4c093b668fc", 82, 12),
        },
    ),
    Pipeline(
        "bad",
        odd.waw_two_writers,
        {
            80: Made("02878941bd904e853e8e64cec133817fd3c9d97cb4039b6ea37137510278ffc8", 26, 11),
            90: Made("c74dcbe93ab4e8d4705c0a98b318e715f5c2cc5424843b0542036dbd8491a79b", 26, 11),
        },
    ),
    Pipeline(
        "bad",
        odd.wrong_arity,
        {
            80: FOUR_TENSORS,
            90: FOUR_TENSORS,
        },
    ),
    Pipeline(
        "gpu",
        own.small_argmax,
        {
            90: Made("52b20d90b63525f00b133b7908e9dc8994359e2e7c3b246b39a305d5cddb4645", 11, 4),
        },
        tokens=1,
    ),
    Pipeline(
        "gpu",
        own.small_embed,
        {
            90: Made("f0628790f98acfdfaa79245961aa5d16799e8434b91c3fea0e111010565cc10b", 3, 3),
        },
    ),
    Pipeline(
        "gpu",
        own.small_linear,
        {
            90: Made("4d34d39628a9998f44bed630b7762b8735c6c498433a2c853c29a00c9b154719", 10, 3),
        },
    ),
    Pipeline(
        "gpu",
        own.small_linear_residual,
        {
            90: Made("58a60c626848f2c9620f0b47ee7730ab8afeb935f3c12fb1fa09acaab57b7b10", 10, 3),
        },
    ),
    Pipeline(
        "gpu",
        own.small_mlp,
        {
            90: Made("ce99090d75e50825d8e2cd0da676aa40dcc7b420b49e41eea8436671915f3e66", 34, 12),
        },
    ),
    Pipeline(
        "gpu",
        own.small_mlp_noqo,
        {
            90: Made("c3fe28bdd4456ebea327ef5d962af6406af3f51aac7cd940ef14926bf9a12726", 26, 11),
        },
    ),
    Pipeline(
        "gpu",
        own.small_newtensor,
        {
            90: Made("b0af6e45b6774826b35d51181697e07fec5148477bb5b944adfdd2f25076fe20", 18, 4),
        },
    ),
    Pipeline(
        "gpu",
        own.small_rmsnorm,
        {
            90: Made("bc35f6f7e3fdf1a529d4fb4a21452c2c1a5c6e52b8674b172061f42ab8cc40a9", 10, 3),
        },
    ),
    Pipeline(
        "tests",
        own.negative_case2,
        {
            80: CASE_2,
            90: CASE_2,
            100: CASE_2,
        },
    ),
    Pipeline(
        "tests",
        own.negative_case3,
        {
            80: CASE_3,
            90: CASE_3,
            100: CASE_3,
        },
    ),
    Pipeline(
        "tests",
        own.test_diamond_fork_join,
        {
            80: Made("833966710a6f0fbafcfffe45e91350f9c22cae4378a9e645f8a0da072d028925", 1546, 5),
            90: Made("e2f8d3d553546eeb29e9d72828d62eea30f0b5024529ce2e996de5845e42fec5", 1546, 5),
            100: Made("90cf48f8187ea5885de44695a43940bfc911cf97d898099065e4704cb892c2b8", 1546, 5),
        },
    ),
    Pipeline(
        "tests",
        own.test_fork_point,
        {
            80: Made("8abaa2e452eefe5e890551f2f6548d55bbdb15a523297341f8880efe44932bb9", 50, 19),
            90: Made("0f279566669aae573e324ae1a2043ffba63b5e456f64fb5d0ebbea38752825e9", 50, 19),
            100: Made("0f279566669aae573e324ae1a2043ffba63b5e456f64fb5d0ebbea38752825e9", 50, 19),
        },
        tokens=1,
    ),
    Pipeline(
        "tests",
        own.test_gateup_only,
        {
            80: Made("b22aeb88f4a929fd26c6f364e4edb541d4ef85ba54cd0836d050989f83c5c17b", 66, 3),
            90: Made("3ae34d67660726e47113e9f265a88092ef6e2b4fd05aa1425d48bbf8ce0f1965", 66, 3),
            100: Made("531f1c7484bf22c27af8155a23cb0eb0fa826dd1304ed47e49f196cac1229019", 66, 3),
        },
    ),
    Pipeline(
        "tests",
        own.test_gateup_silu,
        {
            80: Made("adb352a761ae593dd2110989ca1d855e6dfa27730987be7c65d0c146e4edecdd", 98, 35),
            90: Made("8bcf77324132259bb2dbd944f7ad010a58d2cda478b1df4ab9472010d7507972", 98, 35),
            100: Made("9228d5be79a8fbd2bf31163b8c741e6fa87c3b1a40ae9c192af239e97f401b8b", 98, 35),
        },
    ),
    Pipeline(
        "tests",
        own.test_gateup_silu_down,
        {
            80: Made("59f84ec6e8d3996a0fd56fb7be0bf5bed17c7359344d15635147fc0ec0904f87", 162, 36),
            90: Made("dd8d463f9f07318eee16fb7547ad8cf767d13befe6cfa3e494f532c9ca99780a", 162, 36),
            100: Made("c689c82737f7ec8467eaf9702ca4bb0e5be30f69d60c33db98b44f446141bc07", 162, 36),
        },
    ),
    Pipeline(
        "tests",
        own.test_join_point,
        {
            90: Made("220c7dd6a6fb1b1d3dd77b32ec46c1a99ef07b6837a322c00ecc95b89a9050fc", 530, 4),
            100: Made("ae4ad7e6295bf787e413ccc77a310aed891bf810a43fc93b0480b6d459057a07", 530, 4),
        },
    ),
    Pipeline(
        "tests",
        own.test_moe_w13_fp8,
        {
            80: NEEDS_100,
            90: NEEDS_100,
            100: Made("df1b5b823213a1f17ca288314dcbd75a3806f809fe8e6411374d9593bd25da5f", 130, 3),
        },
        tokens=16,
    ),
    Pipeline(
        "tests",
        own.test_moe_w13_linear,
        {
            80: NEEDS_90,
            90: Made("a08b289cf679a731289162df1eadb8317406b6f219bb2ba7f23ad5d2e479dcb9", 122, 3),
            100: Made("c03346df9ea04657a4ff299fcf1e8bc91eb38bc26fbb431aa6c95cbac06a4b39", 122, 3),
        },
        tokens=1,
    ),
    Pipeline(
        "tests",
        own.test_moe_w13_silu_mul,
        {
            80: NEEDS_100,
            90: NEEDS_100,
            100: Made("f1426663555cdebcc6f7b0c6240af1f7e702c8f568be3e4159140ffc1520ca65", 258, 4),
        },
        tokens=16,
    ),
    Pipeline(
        "tests",
        own.test_moe_w13_silu_mul_w2,
        {
            80: NEEDS_100,
            90: NEEDS_100,
            100: Made("7390c86dd8710bbc7126cc742e2f6fac597089b5563d8d37d78e06745dbc93ec", 386, 5),
        },
        tokens=16,
    ),
    Pipeline(
        "tests",
        own.test_residual_stripping,
        {
            90: Made("4116e787d074ff165d94675fa3d17e1590acc42bdf111f63fb356ae3d8038628", 530, 12),
        },
    ),
    Pipeline(
        "tests",
        own.test_rmsnorm,
        {
            80: Made("eb6420ea87195b63cfafe4dcc0b8d4c87f08176e8fc0cba6f23fe24bd70aea90", 18, 3),
            90: Made("a4fd9a48bdbfd5b74183d11c3d393736a14565e5dec47efff343943a06cbb2e7", 18, 3),
            100: Made("a4fd9a48bdbfd5b74183d11c3d393736a14565e5dec47efff343943a06cbb2e7", 18, 3),
        },
        tokens=1,
    ),
)
