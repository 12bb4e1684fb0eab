"""The one server that processes of tests are forked from, with what is slow to import loaded.

multiprocessing has one such server a process, which starts with the list that was set last: so that
list is here, for all. fairseq_cli.train comes first, since the first of them sets up logging.
"""

import multiprocessing

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "fairseq_cli.train",
        "fairseq_cli.validate",
        "fairseq_cli.hydra_train",
        "torch._dynamo",  # which every optimizer imports: more than the rest of a small training
        "transformers.models.bert.modeling_bert",  # as pretrained encoders import
        "emo_fairseq.experiments.sweep",
        "emo_fairseq.tasks",  # which registers the plugin
        "tests.forked_before",
    ]
)
