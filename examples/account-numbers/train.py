"""Makes everything that the account-numbers example reads: the pictures, two classifiers and the policy's numbers.

    pip install numpy scikit-learn onnx onnxruntime
    python train.py

An account number is nine random digits and a Luhn check digit; each digit is a handwritten 8x8 picture with Gaussian
noise on it. Three splits of the pictures keep the result honest:

    train        the two classifiers are fitted on these pictures, and on no others
    validation   the thresholds of the policy are chosen on account numbers made of these
    test         nothing is fitted to these or chosen on them; they make the table in expected.json

The script writes digits.csv, light.onnx, heavy.onnx, policy.json and expected.json beside itself. It takes less
than a minute, and every random choice in it has a fixed seed.
"""

import csv
import json
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent

SPLIT_SEED = 2024
TRAIN_SEED = 7
VALIDATION_SEED = 100
TEST_SEEDS = [1, 2, 3]

VALIDATION_PICTURES, TEST_PICTURES = 300, 497  # the other 1,000 are for training
NOISE_SIGMA = 2.5  # pixels are 0..16
LENGTH = 10  # digits of an account number, the last of them its check digit

LIGHT_COPIES = 4  # noisy copies of each training picture
HEAVY_UNITS = (512, 256)
HEAVY_EPOCHS, AVERAGED_EPOCHS = 400, 100

VALIDATION_NUMBERS, TEST_NUMBERS = 6_000, 2_000  # the test numbers are drawn anew for each seed
HEAVY_CALLS = 3.0  # how many of a number's ten digits the heavy classifier may be asked for, on average
REJECT_COST = 0.002  # share of right readings that the last handler may lose, to catch wrong ones
FLOOR = 1e-9  # the least probability that a logarithm is taken of


# --- pictures ---------------------------------------------------------------------------------------------------------


def split_pictures():
    """The scikit-learn digits as {split: (pictures [n, 64], labels [n])}, every label equally common in each split."""
    pictures, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_PICTURES, stratify=labels, random_state=SPLIT_SEED
    )
    train, validation = train_test_split(
        rest, test_size=VALIDATION_PICTURES, stratify=labels[rest], random_state=SPLIT_SEED
    )
    splits = {"train": train, "validation": validation, "test": test}
    return {name: (pictures[rows].astype(np.float32), labels[rows]) for name, rows in splits.items()}


def write_pictures(splits, path):
    with open(path, "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["split", "label", *(f"p{i}" for i in range(64))])
        for name, (pictures, labels) in splits.items():
            for picture, label in zip(pictures, labels):
                rows.writerow([name, label, *picture.astype(int)])


def add_noise(pictures, rng):
    noise = rng.normal(0, NOISE_SIGMA, pictures.shape)
    return np.clip(pictures + noise, 0, 16).astype(np.float32)


def shift(pictures, rng, most=0.6):
    """Moves each picture by up to `most` of a pixel in both directions, with bilinear interpolation."""
    padded = np.pad(pictures.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    down, right = rng.uniform(-most, most, (2, len(pictures)))
    shifted = np.zeros((len(pictures), 8, 8))
    for row, column in product((-1, 0, 1), repeat=2):
        weight = np.maximum(0, 1 - np.abs(down - row)) * np.maximum(0, 1 - np.abs(right - column))
        shifted += weight[:, None, None] * padded[:, 1 + row : 9 + row, 1 + column : 9 + column]
    return shifted.reshape(-1, 64)


# --- classifiers ------------------------------------------------------------------------------------------------------
# A classifier is a list of layers, each a matrix [inputs, outputs] and a bias; Relu between them, softmax at the end.


def train_light(pictures, labels):
    """Multinomial logistic regression: one layer of 64 x 10 weights."""
    rng = np.random.default_rng(TRAIN_SEED)
    copies = np.concatenate([add_noise(pictures, rng) for _ in range(LIGHT_COPIES)])
    model = LogisticRegression(C=3, max_iter=5_000).fit(copies / 16, np.tile(labels, LIGHT_COPIES))
    return [(model.coef_.T, model.intercept_)]


def train_heavy(pictures, labels):
    """A wide perceptron that sees every picture shifted and noisy, anew in each epoch.

    Its weights are the mean over the last epochs: what a decaying learning rate would settle to.
    """
    rng = np.random.default_rng(TRAIN_SEED)
    model = MLPClassifier(HEAVY_UNITS, alpha=1e-3, batch_size=100, random_state=TRAIN_SEED)
    history = []
    for epoch in range(HEAVY_EPOCHS):
        order = rng.permutation(len(labels))
        seen = add_noise(shift(pictures[order], rng), rng)
        model.partial_fit(seen / 16, labels[order], classes=np.arange(10))
        if epoch >= HEAVY_EPOCHS - AVERAGED_EPOCHS:
            history.append([parameters.copy() for parameters in (*model.coefs_, *model.intercepts_)])
    mean = [np.mean(values, axis=0) for values in zip(*history)]
    return list(zip(mean[: len(mean) // 2], mean[len(mean) // 2 :]))


def predict(layers, pictures):
    """Probabilities [n, 10] in numpy: what the exported graph is checked against."""
    values = pictures / 16
    for i, (weights, bias) in enumerate(layers):
        values = (np.maximum(values, 0) if i else values) @ weights + bias
    values = np.exp(values - values.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def export(layers, path):
    """Writes the graph: picture f32[N,1,8,8], Flatten, Mul, Gemm (, Relu, Gemm)*, Softmax, probabilities f32[N,10]."""
    constants = {"scale": np.full((1, 1), 1 / 16)}
    nodes = [
        helper.make_node("Flatten", ["picture"], ["pixels"], axis=1),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"]),
    ]
    last = "scaled"
    for i, (weights, bias) in enumerate(layers):
        if i:
            nodes.append(helper.make_node("Relu", [last], [f"active{i}"]))
            last = f"active{i}"
        constants |= {f"weights{i}": weights, f"bias{i}": bias}
        nodes.append(helper.make_node("Gemm", [last, f"weights{i}", f"bias{i}"], [f"sum{i}"]))
        last = f"sum{i}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))

    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def open_classifier(layers, path):
    """The exported graph as a function from pictures [n, 64] to probabilities, once it has been seen to agree."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def classify(pictures):
        return session.run(["probabilities"], {"picture": pictures.reshape(-1, 1, 8, 8)})[0]

    sample = np.random.default_rng(0).uniform(0, 16, (100, 64)).astype(np.float32)
    np.testing.assert_allclose(classify(sample), predict(layers, sample), atol=1e-5)
    np.testing.assert_allclose(classify(sample[:1]), predict(layers, sample[:1]), atol=1e-5)
    return classify


def accuracy(classify, pictures, labels):
    """Share of single pictures read right: as they are, and with noise (twenty noisy copies of each)."""
    rng = np.random.default_rng(VALIDATION_SEED)
    noisy = classify(add_noise(np.tile(pictures, (20, 1)), rng)).argmax(axis=1)
    return {
        "clean": float(np.mean(classify(pictures).argmax(axis=1) == labels)),
        "noisy": float(np.mean(noisy == np.tile(labels, 20))),
    }


# --- account numbers --------------------------------------------------------------------------------------------------

# What a digit adds to the Luhn sum, [place, digit]: in every second place from the left it counts double, digits added.
PLAIN, DOUBLED = np.arange(10), np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9])
LUHN = np.array([DOUBLED if place % 2 == 0 else PLAIN for place in range(LENGTH)])
DIGIT_ADDING = np.argsort(LUHN, axis=1)  # the inverse, [place, what is added]: each row of LUHN is a permutation


def luhn_sum(digits):
    """Zero for a valid number, for each row of `digits` [n, 10]."""
    return LUHN[np.arange(LENGTH), digits].sum(axis=1) % 10


def draw_numbers(pictures, labels, count, seed):
    """Random valid numbers as digits [n, 10], and their noisy pictures [n * 10, 64], drawn from those of each label."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(0, 10, (count, LENGTH))
    digits[:, -1] = 0
    digits[:, -1] = -luhn_sum(digits) % 10
    chosen = np.empty_like(digits)
    for label in range(10):
        chosen[digits == label] = rng.choice(np.flatnonzero(labels == label), np.sum(digits == label))
    return digits, add_noise(pictures[chosen.ravel()], rng)


@dataclass
class Readings:
    """The true digits [n, 10] of some numbers and what each classifier says of every picture [n, 10, 10]."""

    truth: np.ndarray
    light: np.ndarray
    heavy: np.ndarray


def read_numbers(split, light, heavy, count, seed):
    truth, pictures = draw_numbers(*split, count, seed)
    shape = (count, LENGTH, 10)
    return Readings(truth, light(pictures).reshape(shape), heavy(pictures).reshape(shape))


# --- the policy: three handlers ---------------------------------------------------------------------------------------


@dataclass
class Policy:
    retry_below_valid: float  # a digit less certain than this is read again, where the number is valid
    retry_below_invalid: float  # the same, where it is not: then something is known to be wrong
    reject_below: float  # the least joint log probability of a number that is believed


def retry(light, heavy, policy):
    """Handler 1: digits of which the light classifier is not certain are read again by the heavy one."""
    valid = luhn_sum(light.argmax(axis=2)) == 0
    threshold = np.where(valid, policy.retry_below_valid, policy.retry_below_invalid)
    again = light.max(axis=2) < threshold[:, None]
    return np.where(again[:, :, None], heavy, light), again


def correct(probabilities):
    """Handler 2: a number that is not valid gets one digit changed, where that costs the least probability.

    In each place exactly one other digit makes the number valid, so there are ten changes to choose from.
    """
    digits = probabilities.argmax(axis=2)
    wanted = (LUHN[np.arange(LENGTH), digits] - luhn_sum(digits)[:, None]) % 10
    fitting = DIGIT_ADDING[np.arange(LENGTH), wanted]
    gain = log_probability(probabilities, fitting) - log_probability(probabilities, digits)
    best = gain.argmax(axis=1)
    rows = np.flatnonzero(luhn_sum(digits) != 0)
    corrected = digits.copy()
    corrected[rows, best[rows]] = fitting[rows, best[rows]]
    return corrected


def joint(probabilities, digits):
    """What handler 3 judges by: the logarithm of the probability that all ten digits are right."""
    return log_probability(probabilities, digits).sum(axis=1)


def log_probability(probabilities, digits):
    of_digit = np.take_along_axis(probabilities, digits[:, :, None], axis=2)[:, :, 0]
    return np.log(np.maximum(of_digit, FLOOR))


def correct_and_reject(probabilities, policy):
    digits = correct(probabilities)
    return digits, joint(probabilities, digits) >= policy.reject_below


def all_right(digits, truth):
    return (digits == truth).all(axis=1)


def choose_policy(readings):
    """The retry thresholds with most numbers right within the budget of calls, then the strictest cheap rejection."""
    believe_all = -np.inf
    options = []
    for valid, invalid in product([0.8, 0.85, 0.9, 0.95, 0.97], [0.95, 0.97, 0.98, 0.99, 0.995, 0.997]):
        probabilities, again = retry(readings.light, readings.heavy, Policy(valid, invalid, believe_all))
        right = all_right(correct(probabilities), readings.truth)
        if again.sum(axis=1).mean() <= HEAVY_CALLS:
            options.append((right.mean(), valid, invalid))
    _, valid, invalid = max(options)

    probabilities, _ = retry(readings.light, readings.heavy, Policy(valid, invalid, believe_all))
    digits = correct(probabilities)
    certainty, right = joint(probabilities, digits), all_right(digits, readings.truth)
    cheap = [t for t in np.arange(-12, 0, 0.5) if np.mean(right & (certainty < t)) <= REJECT_COST]
    return Policy(valid, invalid, float(max(cheap)))


# --- measuring --------------------------------------------------------------------------------------------------------


def measure(truth, first, final, emitted, heavy_calls):
    """One mode on one set of numbers; `first` is what was read before any handler had seen it."""
    right = all_right(final, truth) & emitted
    outcomes = {
        "exact": right,
        "undetected_wrong": emitted & ~right,
        "withheld": ~emitted,
        "harmed": all_right(first, truth) & ~right,
    }
    return {name: float(np.mean(rows)) for name, rows in outcomes.items()} | {"heavy_calls": float(heavy_calls)}


def compare_modes(readings, policy):
    truth, light, heavy = readings.truth, readings.light.argmax(axis=2), readings.heavy.argmax(axis=2)
    everything = np.ones(len(truth), bool)
    mixed, again = retry(readings.light, readings.heavy, policy)
    heavy_calls = again.sum(axis=1).mean()
    return {
        "none": measure(truth, light, light, everything, 0),
        "detect_and_drop": measure(truth, light, light, luhn_sum(light) == 0, 0),
        "heavy_everywhere": measure(truth, heavy, heavy, everything, LENGTH),
        "heavy_with_corrector": measure(truth, heavy, *correct_and_reject(readings.heavy, policy), LENGTH),
        "light_with_handlers": measure(truth, light, *correct_and_reject(mixed, policy), heavy_calls),
    }


def summarise(runs):
    """Mean, least and greatest over the seeds, of each measure of each mode."""

    def spread(mode, name):
        values = [run[mode][name] for run in runs]
        return {"mean": float(np.mean(values)), "least": min(values), "greatest": max(values)}

    return {mode: {name: spread(mode, name) for name in runs[0][mode]} for mode in runs[0]}


def print_table(modes):
    columns = list(next(iter(modes.values())))
    print(f"{'':21}" + "".join(f"{name:>23}" for name in columns))
    for mode, measures in modes.items():
        cells = ("{mean:.3f} ({least:.3f}-{greatest:.3f})".format(**measures[name]) for name in columns)
        print(f"{mode:21}" + "".join(f"{cell:>23}" for cell in cells))


def write_json(value, path):
    rounded = json.loads(json.dumps(value), parse_float=lambda text: float(f"{float(text):.4g}"))
    path.write_text(json.dumps(rounded, indent=2) + "\n")


def main():
    splits = split_pictures()
    write_pictures(splits, HERE / "digits.csv")

    classifiers, accuracies = {}, {}
    for name, train in {"light": train_light, "heavy": train_heavy}.items():
        layers, path = train(*splits["train"]), HERE / f"{name}.onnx"
        export(layers, path)
        classifiers[name] = open_classifier(layers, path)
        accuracies[name] = {split: accuracy(classifiers[name], *splits[split]) for split in ("validation", "test")}
        print(f"{name}: {accuracies[name]}")

    def read(split, count, seed):
        return read_numbers(split, classifiers["light"], classifiers["heavy"], count, seed)

    policy = choose_policy(read(splits["validation"], VALIDATION_NUMBERS, VALIDATION_SEED))
    print(policy)
    constants = {"noise_sigma": NOISE_SIGMA, **asdict(policy), "probability_floor": FLOOR}
    write_json(constants, HERE / "policy.json")

    modes = summarise([compare_modes(read(splits["test"], TEST_NUMBERS, seed), policy) for seed in TEST_SEEDS])
    print_table(modes)
    expected = {"seeds": TEST_SEEDS, "numbers_per_seed": TEST_NUMBERS, "digit_accuracy": accuracies, "modes": modes}
    write_json(expected, HERE / "expected.json")


if __name__ == "__main__":
    main()
