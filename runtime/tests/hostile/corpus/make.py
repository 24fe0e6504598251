#!/usr/bin/env python3
"""Makes the models that `hostile.rs` starts from. Needs the packages onnx and numpy: python3 make.py"""
import pathlib

import numpy as np
from onnx import TensorProto as T, helper as h, numpy_helper as nh

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(1)


def n(op, takes, gives, **attributes):
    return h.make_node(op, takes.split(), gives.split(), **attributes)


def c(name, value, dtype=np.float32):
    return nh.from_array(np.array(value, dtype), name)


def w(name, *shape):
    return nh.from_array(rng.standard_normal(shape).astype(np.float32) * 0.3, name)


def info(name, shape, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, shape)


def save(name, nodes, constants, takes, gives, opset=17):
    graph = h.make_graph(nodes, name, takes, gives, constants)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=8, producer_name="eddyline")
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


X, Y = info("x", ["N", 4]), info("y", ["N", 4])
IMAGE = info("x", ["N", 3, 8, 8])
sizes = lambda name, *values: c(name, values, np.int64)

# What models are made of.
save("convolutions", [
    n("Conv", "x w b", "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    n("BatchNormalization", "a s o m v", "bn"), n("Relu", "bn", "r"), n("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
    n("Conv", "p d", "q", group=4, kernel_shape=[1, 1]), n("Clip", "q lo hi", "k"), n("GlobalAveragePool", "k", "g"),
    n("Flatten", "g", "f"), n("Gemm", "f fw fb", "l", transB=1), n("Softmax", "l", "y", axis=1),
], [w("w", 4, 3, 3, 3), w("b", 4), w("s", 4), w("o", 4), w("m", 4), c("v", [1, 1, 1, 1]), w("d", 4, 1, 1, 1), c("lo", 0.0), c("hi", 6.0),
    w("fw", 4, 4), w("fb", 4)], [IMAGE], [Y])
save("attention", [
    n("MatMul", "x wq", "q"), n("MatMul", "x wk", "k"), n("MatMul", "x wv", "v"), n("Transpose", "k", "t", perm=[0, 2, 1]),
    n("MatMul", "q t", "s"), n("Div", "s d", "e"), n("Softmax", "e", "p", axis=-1), n("MatMul", "p v", "o"), n("Add", "o x", "a"),
    n("LayerNormalization", "a g b", "y", axis=-1),
], [w("wq", 4, 4), w("wk", 4, 4), w("wv", 4, 4), c("d", 2.0), w("g", 4), w("b", 4)], [info("x", ["N", 6, 4])], [info("y", ["N", 6, 4])])
save("through_shapes", [
    n("Shape", "x", "s"), n("Gather", "s zero", "batch", axis=0), n("Unsqueeze", "batch first", "bu"), n("Concat", "bu rest", "to", axis=0),
    n("Reshape", "x to", "r"), n("Transpose", "r", "t", perm=[0, 2, 1]), n("Reshape", "t back", "f"), n("Add", "f w", "y"),
], [c("zero", 0, np.int64), sizes("first", 0), sizes("rest", 2, 2), sizes("back", -1, 4), w("w", 4)], [X], [Y])
save("up_and_down", [
    n("Resize", "x  scales".replace("  ", " _ "), "u", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    n("ConvTranspose", "x tw", "ct", strides=[2, 2]), n("Concat", "u ct", "cat", axis=1), n("Pad", "cat pads", "pd"),
    n("Slice", "pd from to", "sl"), n("AveragePool", "sl", "y", kernel_shape=[2, 2], strides=[2, 2]),
], [c("scales", [1, 1, 2, 2]), w("tw", 3, 2, 2, 2), sizes("pads", 0, 0, 1, 1, 0, 0, 1, 1), sizes("from", 0, 0, 0, 0), sizes("to", 9, 9, 16, 16)],
    [IMAGE], [info("y", ["N", 5, 8, 8])])
model = HERE / "up_and_down.onnx"
import onnx
m = onnx.load(model); m.graph.node[0].input[1] = ""; model.write_bytes(m.SerializeToString())
save("recurrent", [n("Transpose", "x", "t", perm=[1, 0, 2]), n("LSTM", "t w r b", "o h c", hidden_size=3), n("Squeeze", "h ax", "y")],
    [w("w", 1, 12, 4), w("r", 1, 12, 3), w("b", 1, 24), sizes("ax", 0)], [info("x", ["N", 5, 4])], [info("y", ["N", 3])])
save("choices", [
    n("TopK", "x k", "v i", axis=1), n("Cast", "i", "f", to=T.FLOAT), n("Mul", "v f", "m"), n("ArgMax", "x", "am", axis=1, keepdims=1),
    n("Cast", "am", "af", to=T.FLOAT), n("Where", "cond m w", "wh"), n("Greater", "x w", "gt"), n("Not", "gt", "cond0"), n("Add", "wh af", "y"),
], [sizes("k", 4), w("w", 4), nh.from_array(np.array([True, False, True, False]), "cond")], [X], [Y])
save("sums", [n("ReduceMean", "x", "rm", axes=[1], keepdims=1), n("Sub", "x rm", "d"), n("Pow", "d two", "p"), n("ReduceSum", "p ax", "s", keepdims=1),
    n("Sqrt", "s", "q"), n("Div", "d q", "y"), ], [c("two", 2.0), sizes("ax", 1)], [X], [Y])
save("made_constants", [n("Shape", "w", "s"), n("ConstantOfShape", "s", "z", value=c("v", [0.5])), n("Expand", "z to", "e"), n("Range", "from until by", "r"),
    n("Cast", "r", "rf", to=T.FLOAT), n("Tile", "rf times", "t"), n("Slice", "t zero four", "t4"), n("Add", "e t4", "a"), n("Add", "x a", "y")],
    [w("w", 4), sizes("to", 1, 4), c("from", 0, np.int64), c("until", 4, np.int64), c("by", 1, np.int64), sizes("times", 2), sizes("zero", 0), sizes("four", 4)],
    [X], [Y])
save("whole_numbers", [n("Gather", "table x", "e", axis=0), n("ReduceSum", "e ax", "y", keepdims=0)], [w("table", 16, 4), sizes("ax", 1)],
    [info("x", ["N", 3], T.INT64)], [Y])
save("bytes", [n("Cast", "x", "f", to=T.FLOAT), n("Mul", "f s", "y")], [c("s", [0.1])], [info("x", ["N", 4], T.UINT8)], [Y])
save("quantised", [n("QuantizeLinear", "x s z", "q"), n("DequantizeLinear", "q s z", "y")], [c("s", 0.1), nh.from_array(np.array(3, np.uint8), "z")], [X], [Y])
save("parts", [n("Split", "x sp", "a b", axis=1), n("Squeeze", "a ax", "sa"), n("Unsqueeze", "sa ax", "ua"), n("Concat", "b ua b ua", "cc", axis=1),
    n("DepthToSpace", "img", "ds", blocksize=2), n("Flatten", "ds", "fl"), n("Add", "cc fl", "y")], [sizes("sp", 1, 3), sizes("ax", -1), w("img", 1, 8, 1, 1)],
    [info("x", ["N", 4])], [info("y", ["N", 8])])
branch = lambda name, op: h.make_graph([n(op, "x w", f"{name}_y")], name, [], [info(f"{name}_y", None)])
save("branch", [n("If", "c", "y", then_branch=branch("then", "Add"), else_branch=branch("else", "Mul"))],
    [nh.from_array(np.array(True), "c"), w("w", 4)], [X], [Y])
body = h.make_graph([n("Add", "state item", "sum"), n("Identity", "sum", "out")], "body", [info("state", [4]), info("item", [4])], [info("sum", [4]), info("out", [4])])
save("scan", [n("Squeeze", "x zero", "rows"), n("Scan", "s rows", "last all", body=body, num_scan_inputs=1), n("Unsqueeze", "last zero", "y")],
    [w("s", 4), sizes("zero", 0)], [info("x", [1, 3, 4])], [info("y", [1, 4])])
save("two_ways", [n("Relu", "x", "a"), n("Sigmoid", "z", "b"), n("Mul", "a b", "y"), n("Tanh", "y", "u")], [], [X, info("z", ["N", 4])], [Y, info("u", ["N", 4])])
save("einsum", [n("Einsum", "x w", "y", equation="ni,ij->nj")], [w("w", 4, 4)], [X], [Y])
save("scatter", [n("ScatterND", "base i u", "s"), n("GatherElements", "s gi", "g", axis=0), n("Add", "x g", "y")],
    [w("base", 4), nh.from_array(np.array([[1], [3]], np.int64), "i"), w("u", 2), sizes("gi", 3, 2, 1, 0)], [X], [Y])

# What asks for more than there is.
big = 1 << 20
save("bomb_computed_size", [n("Mul", "s s", "ss"), n("Concat", "ss ss", "size", axis=0), n("ConstantOfShape", "size", "z"), n("ReduceMax", "z", "m", keepdims=0), n("Add", "x m", "y")],
    [sizes("s", 1 << 12)], [X], [Y])
save("bomb_row_and_column", [n("Add", "r q", "rq"), n("Add", "rq p", "z"), n("ReduceMax", "z", "m", keepdims=0), n("Add", "x m", "y")],
    [w("r", 700, 1, 1), w("q", 1, 700, 1), w("p", 1, 1, 700)], [X], [Y])
save("bomb_doubling", [n("Concat", f"d{i} d{i}", f"d{i + 1}", axis=0) for i in range(40)] + [n("ReduceMax", "d40", "m", keepdims=0), n("Add", "x m", "y")],
    [w("d0", 16)], [X], [Y])
save("bomb_size_of_the_input", [n("Shape", "x", "s"), n("Cast", "s", "f", to=T.FLOAT), n("Pow", "f p", "e"), n("Cast", "e", "i", to=T.INT64), n("Expand", "one i", "z"),
    n("ReduceMax", "z", "m", keepdims=0), n("Add", "x m", "y")], [c("p", 16.0), c("one", [1.0])], [X], [Y])
save("bomb_of_items", [n("Expand", "x to", "z"), n("ReduceMax", "z", "y", axes=[2, 3], keepdims=0)], [sizes("to", 1, 4, 1 << 15, 1 << 15)],
    [info("x", ["N", 4, 1, 1])], [Y])
save("bomb_kernel", [n("MaxPool", "x", "p", kernel_shape=[1 << 20, 1 << 20], pads=[1 << 19, 1 << 19, 1 << 19, 1 << 19], strides=[1 << 20, 1 << 20]),
    n("Flatten", "p", "y")], [], [IMAGE], [info("y", ["N", "M"])])
save("bomb_range", [n("Mul", "a a", "aa"), n("Range", "zero aa one", "r"), n("ReduceMax", "r", "m", keepdims=0), n("Cast", "m", "f", to=T.FLOAT), n("Add", "x f", "y")],
    [c("a", big, np.int64), c("zero", 0, np.int64), c("one", 1, np.int64)], [X], [Y])
save("bomb_in_a_branch", [n("If", "c", "y", then_branch=h.make_graph(
    [n("Mul", "s s", "ss"), n("ConstantOfShape", "ss", "z"), n("ReduceMax", "z", "m", keepdims=0), n("Add", "x m", "then_y")], "then", [], [info("then_y", None)]),
    else_branch=branch("else", "Mul"))], [nh.from_array(np.array(True), "c"), w("w", 4), sizes("s", big)], [X], [Y])
save("halves", [n("Identity", "x", "a"), n("Split", "a", "y u", axis=1, num_outputs=2)], [], [X], [info("y", ["N", 2]), info("u", ["N", 2])], 18)
save("bomb_window", [n("HannWindow", "k", "h"), n("ReduceMax", "h", "m", keepdims=0), n("Add", "x m", "y")], [c("k", 1 << 40, np.int64)], [X], [Y])
save("far_dimension", [n("LayerNormalization", "x w", "y", axis=-(1 << 31))], [w("w", 4)], [X], [Y])
save("near_dimension", [n("LayerNormalization", "x w", "y", axis=-3)], [c("w", [1] * 4)], [X], [Y])
save("no_number", [n("Expand", "c s", "d"), n("If", "d", "y", then_branch=branch("then", "Add"), else_branch=branch("else", "Mul"))], [nh.from_array(np.array(True), "c"), c("w", [1] * 4), sizes("s", 0)], [X], [Y])
inner = branch("then", "Add")
inner.node[0].CopyFrom(n("LayerNormalization", "x w", inner.output[0].name, axis=-3))
save("near_dimension_inside", [n("If", "c", "y", then_branch=inner, else_branch=branch("else", "Mul"))], [nh.from_array(np.array(True), "c"), c("w", [1] * 4)], [X], [Y])
save("many_limits", [n("Clip", "r q", "rq"), n("Add", "rq p", "z"), n("ReduceMax", "z", "m", keepdims=0), n("Add", "x m", "y")],
    [c("r", np.ones((700, 1, 1))), c("q", np.ones((1, 700, 1))), c("p", np.ones((1, 1, 700)))], [X], [Y])
save("wide_scale", [n("SimplifiedLayerNormalization", "r q", "rq"), n("Add", "rq p", "z"), n("ReduceMax", "z", "m", keepdims=0), n("Add", "x m", "y")],
    [c("r", np.ones((700, 1, 1))), c("q", np.ones((1, 700, 1))), c("p", np.ones((1, 1, 700)))], [X], [Y])
# Layers over channels that are told by a node behind them that their input is one number: against what is in front, and where nothing is known of that.
norm = lambda of: [n("HannWindow", "b", "h"), n("ReduceMax", "h", "t", keepdims=0), n("Add", "x t", "y"), n("BatchNormalization", f"{of} o o o o", "b")]
save("number_from_behind", norm("a") + [n("Relu", "x", "a")], [c("o", [1] * 4)], [X], [Y])
save("number_from_behind_only", norm("a") + [n("Reshape", "x n", "a"), n("Gather", "nz i", "n", axis=0), n("NonZero", "x", "nz")], [c("o", [1] * 4), c("i", 0, np.int64)], [X], [Y])
inner = branch("then", "Add")
inner.node[0].CopyFrom(n("BatchNormalization", "t o o o o", inner.output[0].name))
save("no_channels_inside", [n("ReduceMax", "x", "t", keepdims=0), n("If", "c", "z", then_branch=inner, else_branch=branch("else", "Mul")), n("Add", "x z", "y")],
    [nh.from_array(np.array(True), "c"), c("o", [1] * 4), c("w", [1] * 4)], [X], [Y])
save("many_sizes", [n("Mul", "s s", "ss"), n("Concat", "ss ss", "two", axis=0), n("Tile", "two ss", "size"), n("ConstantOfShape", "size", "z"), n("ReduceMax", "z", "m", keepdims=0), n("Add", "x m", "y")],
    [sizes("s", 1 << 12)], [X], [Y])
# 32,768 dimensions; and one whose length is a sum of 2³⁶ parts, of lengths that do not go together.
doubled = [n("Concat", f"d{i} d{i}", f"d{i + 1}", axis=0) for i in range(40)]
rest = [n("ReduceMax", "d40", "m", keepdims=0), n("Add", "x m", "y")]
save("many_dimensions", doubled[:11] + [n("Expand", "d11 d11", "d12")] + doubled[12:] + rest, [c("d0", [1] * 16, np.int64)], [X], [Y])
save("long_formula", doubled[:4] + [n("Max", "d4 d0", "e"), n("Concat", "d4 e", "d5", axis=0)] + doubled[5:] + rest, [c("d0", [1] * 16, np.int64)], [X], [Y])
# What is no graph.
save("circle", [n("Add", "x b", "a"), n("Relu", "a", "b"), n("Relu", "b", "y")], [], [X], [Y])
save("unknown_operator", [n("Frobnicate", "x", "y")], [], [X], [Y])
save("no_maker", [n("Add", "x w", "y")], [], [X], [Y])
deep = branch("g0", "Add")
for depth in range(1, 15):
    deep = h.make_graph([n("If", "c", f"g{depth}_y", then_branch=deep, else_branch=branch(f"e{depth}", "Mul"))], f"g{depth}", [], [info(f"g{depth}_y", None)])
save("deep", [n("If", "c", "y", then_branch=deep, else_branch=branch("e", "Mul"))], [nh.from_array(np.array(True), "c"), w("w", 4)], [X], [Y])
