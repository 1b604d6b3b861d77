"""Everything that touches Prefect: steps, cache by content, dispatch, what the dashboard shows."""

import os

# oneDNN picks kernels by load, so that equal inputs would train unequal weights. Set here, because every flow passes
# here before a step imports TensorFlow, whoever started it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
