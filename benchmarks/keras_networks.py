"""The networks of the workloads in layers of Keras: from the input to the features that the output reads."""

from typing import Any

from benchmarks.by_hand import STAGES


def dnn(layers: Any, network: dict[str, Any], x: Any) -> Any:
    for width in network["hidden"]:
        x = layers.Dense(width, activation=network["activation"])(x)
    return x


def cnn(layers: Any, network: dict[str, Any], x: Any) -> Any:
    for block in network["blocks"]:
        x = layers.Conv2D(block["filters"], block["kernel"], padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    return dnn(layers, {"hidden": network["hidden"], "activation": "relu"}, layers.Flatten()(x))


def rnn(layers: Any, network: dict[str, Any], x: Any) -> Any:
    return layers.LSTM(network["hidden"])(x)


def resnet(layers: Any, network: dict[str, Any], x: Any) -> Any:
    """The same convolutions, additions and projections as `by_hand.Branches`."""

    def convolved(x: Any, filters: int, stride: int = 1) -> Any:
        x = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(axis=1)(x))

    def branches(x: Any, filters: int, stride: int, convolutions: int) -> Any:
        y = convolved(x, filters, stride)
        for _ in range(convolutions - 1):
            y = convolved(y, filters)
        differs = stride > 1 or x.shape[1] != filters
        return layers.Add()([y, layers.Conv2D(filters, 1, stride, use_bias=False)(x) if differs else x])

    x = convolved(x, 64)
    for filters, stride in STAGES:
        x = branches(x, filters, 1, 2) if stride == 1 else branches(branches(x, filters, stride, 1), filters, 1, 1)
        x = branches(x, filters, 1, 2)
    return layers.GlobalAveragePooling2D()(x)


NETWORKS = {"dnn": dnn, "cnn": cnn, "rnn": rnn, "sequential": resnet}
