"""What a run needs, imported once for the processes that are forked, which ask no hub."""

# ruff: noqa: F401
import contextlib
import functools
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # the libraries read it when they are imported

import accelerate
import altair
import peft
import regex
import sacrebleu.metrics.bleu
import transformers.models.llama.modeling_llama
import vl_convert

import spillover.cli
import spillover.config
import spillover.evaluation.predict
import spillover.models.adapters
import spillover.models.load
import spillover.report.page
import spillover.store.mending
import spillover.study.results
import spillover.training.drift.measure
import spillover.training.fit
import spillover.training.stages

# Charts are looked at where pages are tested; each process would start an engine of its own to draw them.
vl_convert.vegalite_to_svg = lambda *_, **__: "<svg></svg>"

with contextlib.suppress(ImportError):  # lm-eval is an extra
    import datasets
    import lm_eval.__main__
    import lm_eval.evaluator
    import lm_eval.models.huggingface
    import lm_eval.tasks

    import spillover.evaluation.harness.lm

    # Its own tasks are thousands of files, read for every run, and no run here asks one of them.
    manager = lm_eval.tasks.TaskManager
    manager.__init__ = functools.partialmethod(manager.__init__, include_defaults=False)
