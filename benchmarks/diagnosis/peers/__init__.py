"""What other tools would have said, by their published rules and default thresholds, on the same evidence.

Only ideas and numbers are theirs. Where a tool looks at something that is not recorded, the nearest recorded statistic
stands for it, and the rule says so. A symptom is right if one of the codes that it stands for was expected.
"""

from collections.abc import Callable, Iterator

from benchmarks.diagnosis.peers.alarm import Alarm
from benchmarks.diagnosis.peers.autotrainer import autotrainer
from benchmarks.diagnosis.peers.sagemaker import sagemaker
from benchmarks.diagnosis.peers.torchmortem import torchmortem
from benchmarks.diagnosis.peers.umlaut import umlaut
from models.diagnosis.evidence import Evidence

Rules = Callable[[Evidence], Iterator[Alarm]]
PEERS: dict[str, Rules] = {
    "AutoTrainer": autotrainer,
    "SageMaker Debugger": sagemaker,
    "UMLAUT": umlaut,
    "torchmortem": torchmortem,
}
