"""Makes what this workflow reads: flowers.csv and iris.onnx. You need it only if you want to change them.

    python3 -m venv /tmp/iris && /tmp/iris/bin/pip install numpy scikit-learn onnx onnxruntime
    /tmp/iris/bin/python train.py

Every second flower of each species is for training, the others say how good the model is: see "held out" below.
"""

import csv
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent
HEADER = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]

iris = load_iris()
measurements, labels = iris.data.astype(np.float32), iris.target
for_training = np.arange(len(labels)) % 2 == 0

# The classifier: standardise, then multinomial logistic regression.
mean, deviation = measurements[for_training].mean(axis=0), measurements[for_training].std(axis=0)
classifier = LogisticRegression().fit((measurements[for_training] - mean) / deviation, labels[for_training])

constants = {
    "mean": mean,
    "scale": 1 / deviation,
    "weights": classifier.coef_.T,
    "bias": classifier.intercept_,
}
graph = helper.make_graph(
    [
        helper.make_node("Sub", ["measurements", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ],
    "iris",
    [helper.make_tensor_value_info("measurements", TensorProto.FLOAT, ["N", 4])],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
    [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, HERE / "iris.onnx")

# What the file says is what the classifier says, and this is how good it is.
session = onnxruntime.InferenceSession(HERE / "iris.onnx", providers=["CPUExecutionProvider"])
(probabilities,) = session.run(["probabilities"], {"measurements": measurements})
expected = classifier.predict_proba((measurements - mean) / deviation)
np.testing.assert_allclose(probabilities, expected, atol=1e-5)
right = probabilities.argmax(axis=1) == labels
print(f"held out: {right[~for_training].sum()} of {(~for_training).sum()} right")
print(f"below 0.7 certain: {(probabilities.max(axis=1) < 0.7).sum()} of {len(labels)}")

# The table, with two rows spoilt on purpose: one that is not a number, one that is no petal.
rows = [[f"{x:.1f}" for x in row] + [iris.target_names[label]] for row, label in zip(iris.data, labels)]
rows[30][3] = "n/a"
rows[110][2] = "51.0"
with open(HERE / "flowers.csv", "w", newline="") as file:
    csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])
