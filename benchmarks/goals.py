"""The goals of performance, shown beside what is measured; `<=` unless it says otherwise."""

GOALS: dict[str, str] = {
    # Seconds an epoch, of the bare loop's.
    "engine/xor": "0.65",
    "engine/mlp": "0.8",
    "engine/mlp20": "0.65",
    "engine/cnn28": "1.0",
    "engine/lstm": "1.0",
    "engine/resnet": "1.0",
    # The same loop without statistics.
    "default, gradients/mlp20": "1.02",
    "default, gradients/cnn28": "1.02",
    "default, gradients/lstm": "1.02",
    "default, gradients/resnet": "1.02",
    "default, everything/mlp20": "1.05",
    "default, everything/cnn28": "1.05",
    "default, everything/lstm": "1.05",
    "default, everything/resnet": "1.05",
    # Milliseconds from POST to the first step, small jobs a second, megabytes of the API.
    "first step/embedded": "120",
    "first step/production": "60",
    "jobs a second/embedded": ">= 15",
    "jobs a second/production": ">= 15",
    "memory/embedded": "100",
    "memory/production": "100",
    # Milliseconds of a request with so many rows, megabytes of the API with ONNX Runtime.
    "predictions/1": "3",
    "predictions/1000": "30",
    "memory/predictions": "160",
    # Seconds beside pandas, and megabytes at most.
    "table/descent": "faster than pandas, < 300 MB",
    # Milliseconds of the 99th percentile beside 200 long-polls and 50 event streams.
    "waiting/p99": "250",
    # Of the page of a job with 60 layers and 2 000 sampled steps.
    "dashboard/first paint, ms": "1000",
    "dashboard/charts, ms": "2500",
    "dashboard/over the wire, kB": "700",
    "dashboard/memory": "flat",
    # The exponent of seconds over steps, layers and jobs.
    "growth": "about 1",
}
