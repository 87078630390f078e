"""Programs: PyTorch captured as the canonical graph of one step, run and traced exactly."""

from worker.program.capture import (
    capture_inference,
    capture_training,
    inference_state,
    optimizer_state,
    training_state,
)
from worker.program.codes import Kind, Map, Reduce, Source
from worker.program.compiled import Uncompilable
from worker.program.cost import Share, Summary
from worker.program.ends import TRAINING_BITS
from worker.program.execute import Tamper
from worker.program.fingerprint import check_fingerprint, fingerprinted
from worker.program.generation import Decoder, Generation, Sampling, capture_generation
from worker.program.lower import Unsupported
from worker.program.optimizers import Rates
from worker.program.program import Program
from worker.program.records import Header, Input, Node
from worker.program.steps import capture_step, step_state
from worker.program.wellformed import MalformedProgram

__all__ = [
    "TRAINING_BITS",
    "Decoder",
    "Generation",
    "Header",
    "Input",
    "Kind",
    "MalformedProgram",
    "Map",
    "Node",
    "Program",
    "Rates",
    "Reduce",
    "Sampling",
    "Share",
    "Source",
    "Summary",
    "Tamper",
    "Uncompilable",
    "Unsupported",
    "capture_generation",
    "capture_inference",
    "capture_step",
    "capture_training",
    "check_fingerprint",
    "fingerprinted",
    "inference_state",
    "optimizer_state",
    "step_state",
    "training_state",
]
