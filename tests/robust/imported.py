"""What a run needs, imported once for the processes that are forked."""

import transformers.models.llama.modeling_llama  # noqa: F401

import spillover.cli
import spillover.config
import spillover.evaluation.predict
import spillover.models.adapters
import spillover.models.load
import spillover.report.page
import spillover.study.mending
import spillover.study.results
import spillover.training.fit
import spillover.training.stages  # noqa: F401
