"""What a run needs, imported once for the processes that are forked."""

import accelerate  # noqa: F401
import altair  # noqa: F401
import peft  # noqa: F401
import rouge_score.rouge_scorer  # noqa: F401
import sacrebleu.metrics.bleu  # noqa: F401
import transformers.models.llama.modeling_llama  # noqa: F401
import vl_convert  # noqa: F401

import spillover.cli
import spillover.config
import spillover.evaluation.predict
import spillover.models.adapters
import spillover.models.load
import spillover.report.page
import spillover.study.mending
import spillover.study.results
import spillover.training.drift.measure
import spillover.training.fit
import spillover.training.stages  # noqa: F401
