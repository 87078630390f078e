"""Job files: what stands in them becomes the job, and whatever is wrong is said before anything is
sent, with the file, the field, the value, the rule and the remedy."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from textwrap import dedent

import pytest

from tests.jobs.helpers import training
from worker.chain.types import Job
from worker.examples.digits import digits
from worker.jobs import InferenceJob, TrainingJob
from worker.jobs.estimate import duration, estimate
from worker.jobs.jobfile import KINDS, JobFile, JobFileError, MarketSection
from worker.program import Kind

DIGITS = Path(__file__).parents[2] / "worker" / "examples" / "digits.toml"

MODEL = """import torch
import torch.nn.functional as F
from torch import nn
from parts import ROWS
from worker.jobs import InferenceRecipe, TrainingRecipe

def build(rows=ROWS, width: int = 3, **changes):
    torch.manual_seed(4)
    module = nn.Linear(5, width)
    data = [torch.arange(rows * 5.0).view(rows, 5) / 50, torch.arange(rows) % width]
    fields = dict(module=module, loss_fn=F.cross_entropy, data=data,
                  optimizer=torch.optim.SGD(module.parameters(), lr=0.1))
    return TrainingRecipe(**{**fields, **changes})

def uneven():
    return build(data=[torch.zeros(4, 5), torch.zeros(3, dtype=torch.int64)])

def named_optimizer():
    return build(optimizer="sgd")

def pair():
    return nn.Linear(5, 3), F.cross_entropy

def nothing():
    pass

def broken():
    return build(rows=0) / 2

def answers():
    return InferenceRecipe(module=nn.Linear(5, 2).eval(), data=[torch.zeros(7, 5)], names=["y"])

number = 7
"""

JOB = {"entry": "my_model.py:build", "steps": 10, "batch_rows": 4, "segment_steps": 4}


def toml(**sections) -> str:
    """Tables as TOML; values are written as in JSON, which TOML reads."""
    lines = []
    for name, table in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_model.py").write_text(MODEL)
    (tmp_path / "parts.py").write_text("ROWS = 10\n")
    yield tmp_path
    for name in ("parts", "assay_entry_my_model"):
        sys.modules.pop(name, None)


def load(folder: Path, text: str) -> JobFile:
    path = folder / "job.toml"
    path.write_text(text)
    return JobFile.load(path)


# --- what is right ---


def test_the_example_is_the_digits_job():
    """Protects users who copy it: the file gives the very job of the demo, program and all."""
    file = JobFile.load(DIGITS)
    assert file.market == MarketSection()
    definition, expected = file.definition(), digits()
    captured = definition.capture()
    assert captured.root == expected.capture().root
    assert definition.job(captured) == expected.job(captured)


def test_the_example_names_every_field():
    text = DIGITS.read_text()
    for section in (KINDS["training"].section, MarketSection):
        for field in fields(section):
            assert f"\n{field.name} = " in text or f"\n# {field.name} = " in text, field.name


def test_what_stands_in_the_file_becomes_the_job(folder):
    """Protects owners: numbers from the file, arguments for the entry, files beside it imported,
    and the same job wherever it is read from."""
    text = toml(
        job={**JOB, "seed": 9, "bits": 8},
        arguments={"width": 2, "clip_norm": 0.5},
        market={"price": 7, "fee": 0.25, "checks": 2, "bid_seconds": 5, "commit_seconds": 50}
        | {"clock": 90},
    )
    file = load(folder, text)
    assert file.market == MarketSection(
        price=7.0, fee=0.25, checks=2, bid_seconds=5, commit_seconds=50, clock=90
    )
    path = list(sys.path)
    job = file.definition()
    assert sys.path == path
    assert isinstance(job, TrainingJob)
    assert (job.steps, job.batch_rows, job.segment_steps) == (10, 4, 4)
    assert (job.seed, job.bits, job.clip_norm, job.schedule) == (9, 8, 0.5, None)
    assert job.rows == 10 and job.module.weight.shape == (2, 5)
    assert load(folder, text).definition().capture().root == job.capture().root


def test_inference_is_a_kind_of_its_own(folder):
    """Protects the schema: another kind has other fields, another recipe and another job."""
    numbers = {"kind": "inference", "entry": "my_model.py:answers", "batch_rows": 2}
    job = load(folder, toml(job={**numbers, "segment_steps": 3, "seed": 5, "bits": 9}))
    job = job.definition()
    assert isinstance(job, InferenceJob)
    assert (job.steps, job.segment_steps, job.seed, job.names) == (4, 3, 5, ["y"])
    assert {n.attributes[4] for n in job.capture().nodes if n.kind == Kind.DOT} == {9}


def test_an_entry_may_be_in_a_package():
    given = {"entry": "worker.examples.digits:recipe", "steps": 4, "batch_rows": 2}
    file = JobFile._from(Path("job.toml"), {"job": {**given, "segment_steps": 2}})
    assert file.definition().rows == 1347


# --- what is wrong with the tables: the user's code is not even imported ---

TABLES = [
    ("steps = ", "is not TOML"),
    ("", r"\[job\] is missing; see worker/examples/digits.toml"),
    (toml(jbo=JOB), r"\[jbo\] is no section; there are \[job\], \[arguments\], \[market\]"),
    ("job = 3", "job = 3: must be a table; write"),
    ('arguments = "x"\n' + toml(job=JOB), "arguments = 'x': must be a table; write"),
    (toml(job={**JOB, "kind": "trainng"}), "job.kind = 'trainng': must be one of training, step, "),
    (toml(job={**JOB, "kind": 1}), "job.kind = 1: must be one of training"),
    (toml(job={**JOB, "step": 1}), r"job.step is no field; \[job\] has kind, entry, batch"),
    (toml(job={"entry": "a.py:b"}), "job.batch_rows is missing; see worker/examples/digits.toml"),
    (toml(job={**JOB, "steps": "10"}), "job.steps = '10': must be a whole number; it is a str"),
    (toml(job={**JOB, "steps": 1.5}), "job.steps = 1.5: must be a whole number; it is a float"),
    (toml(job={**JOB, "steps": True}), "job.steps = True: must be a whole number; it is a bool"),
    (toml(job={**JOB, "steps": 0}), "job.steps = 0: must be at least 1; write a number from 1"),
    (toml(job={**JOB, "batch_rows": -4}), "job.batch_rows = -4: must be at least 1"),
    (toml(job={**JOB, "segment_steps": 0}), "job.segment_steps = 0: must be at least 1"),
    (toml(job={**JOB, "entry": 3}), "job.entry = 3: must be text in quotes; it is a int"),
    (toml(job=JOB, market={"prise": 1}), r"market.prise is no field; \[market\] has price, fee"),
    (toml(job=JOB, market={"price": "1"}), "market.price = '1': must be a number; it is a str"),
    (toml(job=JOB, market={"price": 0}), "market.price = 0.0: must be a number of tokens above 0"),
    (toml(job=JOB, market={"fee": -1}), "market.fee = -1.0: must be a number of tokens"),
    (toml(job=JOB) + "\n[market]\nprice = inf", "market.price = inf: must be a number of tokens"),
    (toml(job=JOB) + "\n[market]\nprice = nan", "market.price = nan: must be a number of tokens"),
    (toml(job=JOB, market={"checks": 0}), "market.checks = 0: must be at least 1"),
    (toml(job=JOB, market={"clock": 0}), "market.clock = 0: must be at least 1"),
    (toml(job=JOB, market={"clock": 1.5}), "market.clock = 1.5: "),
    (toml(job=JOB, market={"bid_seconds": 0}), "market.bid_seconds = 0: must be at least 1"),
    (toml(job=JOB, market={"commit_seconds": 0}), "market.commit_seconds = 0: must be at least 1"),
]


@pytest.mark.parametrize(("text", "said"), TABLES, ids=range(len(TABLES)))
def test_tables_that_cannot_be_are_refused(folder, text, said):
    """Protects owners: a typing error costs nothing."""
    (folder / "my_model.py").write_text("raise SystemExit('imported')")
    with pytest.raises(JobFileError, match=said) as caught:
        load(folder, text)
    assert str(caught.value).startswith(str(folder / "job.toml"))


def test_a_missing_file_says_what_to_copy(tmp_path):
    with pytest.raises(JobFileError, match=r"none.toml cannot be read .*copy one: worker/examples"):
        JobFile.load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"a = \xff")
    with pytest.raises(JobFileError, match=r"bytes.toml cannot be read .*not text in UTF-8"):
        JobFile.load(tmp_path / "bytes.toml")


# --- what is wrong with the entry, and with what it returns ---

ENTRIES = [
    ({"entry": "build"}, {}, "job.entry = 'build': must be file.py:function or package"),
    ({"entry": "my_model.py"}, {}, "must be file.py:function or package.module:function"),
    ({"entry": "other.py:build"}, {}, "there is no file .*/other.py; the path is relative to the"),
    ({"entry": "nowhere.at.all:build"}, {}, "nowhere.at.all cannot be imported: ModuleNotFound"),
    ({"entry": "my_model.py:bild"}, {}, "my_model.py has no function bild; it has build, uneven,"),
    ({"entry": "my_model.py:number"}, {}, "my_model.py has no function number; it has build"),
    ({"entry": "my_model.py:pair"}, {}, "returned a tuple of Linear, function, not a TrainingRec"),
    (
        {"entry": "my_model.py:nothing"},
        {},
        r"a NoneType, not .*return worker.jobs.TrainingRecipe\(",
    ),
    ({"entry": "my_model.py:answers"}, {}, "returned a InferenceRecipe, not a TrainingRecipe"),
    (
        {"entry": "my_model.py:broken"},
        {},
        r"broken returns: data\[0\] = shape \[0, 5\]: must",
    ),
    ({"entry": "my_model.py:uneven"}, {}, r"uneven returns: data = 4 rows in data\[0\], 3 rows in"),
    ({"entry": "my_model.py:named_optimizer"}, {}, "returns: optimizer = 'sgd': must be a torch.o"),
    ({}, {"widht": 3, "bits": 1}, "it raised TypeError: .*unexpected keyword .*my_model.py:13"),
    ({"entry": "my_model.py:pair"}, {"width": 3}, r"arguments = {'width': 3}: .*it is pair\(\)"),
    ({}, {"width": "wide"}, "job.entry = 'my_model.py:build': it raised TypeError.*my_model.py:9"),
    ({"batch_rows": 11}, {}, "job.batch_rows = 11: must be from 1 to the data set's 10 rows"),
    ({"segment_steps": 11}, {}, "job.segment_steps = 11: must be from 1 to steps, which is 10"),
    ({"steps": 900, "segment_steps": 3}, {}, "job.segment_steps = 3: must be 300 segments are too"),
    ({"seed": -1}, {}, "job.seed = -1: must be an unsigned 64-bit integer"),
    ({"bits": 21}, {}, "job.bits = 21: must be from 2 to 20"),
]


@pytest.mark.parametrize(("changes", "arguments", "said"), ENTRIES, ids=range(len(ENTRIES)))
def test_an_entry_that_cannot_be_is_refused(folder, changes, arguments, said):
    """Protects owners: the file, the field and the line of their own code are named."""
    file = load(folder, toml(job={**JOB, **changes}, arguments=arguments))
    with pytest.raises(JobFileError, match=said) as caught:
        file.definition()
    assert str(caught.value).startswith(f"{folder / 'job.toml'}: ")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def build(:", r"my_model.py cannot be imported: SyntaxError: .*my_model.py, line 1"),
        (
            "import torch\nimport not_there",
            "ModuleNotFoundError: .*not_there.*my_model.py:2: imp",
        ),
        ("import sys\nsys.exit(2)", "cannot be imported: SystemExit: 2, at .*my_model.py:2: sys"),
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero, at .*my_model.py:2: 1 / 0"),
    ],
)
def test_a_file_that_does_not_run_is_refused_by_its_line(folder, source, said):
    (folder / "my_model.py").write_text(dedent(source))
    with pytest.raises(JobFileError, match=said):
        load(folder, toml(job=JOB)).definition()
    assert "assay_entry_my_model" not in sys.modules


def test_more_checks_than_segments_are_refused(folder):
    file = load(folder, toml(job=JOB, market={"checks": 4}))
    with pytest.raises(JobFileError, match=r"market.checks = 4: must be at most the job's 3 segm"):
        file.definition()


# --- estimates ---


def test_an_estimate_counts_the_whole_job():
    """Protects owners: work, sizes and money are said of what is posted, not of something else."""
    job = training()
    captured = job.capture()
    found = estimate(job, captured)
    step = captured.summary()
    assert isinstance(found.job, Job) and found.job.segments == 3
    assert found.flops == 10 * step.flops and found.work_units == 10 * step.work_units
    assert found.seconds == 10 * found.step_seconds > 0
    assert found.data_bytes == 10 * 5 * 4 + 10 * 8
    state = sum(t.numel() * t.element_size() for t in job.initial_state())
    assert found.published_bytes == found.data_bytes + state + len(captured.to_bytes())
    assert 10 * step.work_units / found.units_per_second == pytest.approx(found.seconds)
    text = dict(found.rows())
    assert "a step as native code, compiled in" in text["time"]
    assert len(text["first losses"].split()) == 4
    assert text["job"] == "10 steps of 4 rows, out of 10, in 3 segments"
    assert found.document()["work_units"] == found.work_units
    json.dumps(found.document())


def test_durations_for_people():
    found = [duration(s) for s in (0.0123, 3.4, 90, 300, 9000)]
    assert found == ["12.3 ms", "3.4 s", "90 s", "5 min", "2.5 h"]
