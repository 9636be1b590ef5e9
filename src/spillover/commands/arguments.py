"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

StudyPath = Annotated[Path, typer.Argument(help="The study file.", show_default=False)]
StorePath = Annotated[Path, typer.Option("--store", help="Where finished steps are kept.")]
ReportPath = Annotated[
    Path | None,
    typer.Option("--report", help="The folder that the report is written to; default: one of its own in report."),
]
FromFolder = Annotated[
    Path | None, typer.Option("--from", help="A folder with the suite's release or with downloaded archives.")
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads; default: all.")]
GpuShare = Annotated[
    float, typer.Option("--gpu-share", min=0.01, max=1, help="Of a GPU's free memory, what asking may take.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps or xpu.")]
TrustTaskCode = Annotated[
    list[Path] | None,
    typer.Option("--trust-task-code", help="A folder of `lm_eval_include` whose code may run; remembered."),
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="auto, float32 or bfloat16; default: the study's.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
SummaryAsJson = Annotated[bool, typer.Option("--json", help="Print the report's summary as JSON, for programs.")]
TrainedOn = Annotated[
    list[str] | None, typer.Option("--trained-on", help="A task the others were trained on; may be repeated.")
]
Budget = Annotated[
    str | None, typer.Option("--budget", help="Time such as 2h; of a design, the arms that validate worse are dropped.")
]
Track = Annotated[
    str | None, typer.Option("--track", help="Follow trainings in mlflow, tensorboard, trackio or wandb.")
]
