"""The training log: means over batches of unequal size, rows as CSV."""

import csv
import io
import json

from tasks.subsidence.network.logbook import Means, log_bytes


def test_means_weigh_batches_by_their_size_and_counts_are_counts():
    means = Means()
    for weight, loss, skipped in ((30.0, 1.0, 0.0), (10.0, 5.0, 1.0)):
        means.add(["loss", "skipped_steps", "weight"], [loss, skipped, weight])
    assert means.result() == {"loss": 2.0, "skipped_steps": 1.0}


def test_means_go_on_where_they_were_written_down():
    means = Means()
    means.add(["loss", "weight"], [1.0, 30.0])
    again = Means(json.loads(json.dumps(means.sums)))
    again.add(["loss", "weight"], [5.0, 10.0])
    assert again.result() == {"loss": 2.0}


def test_a_batch_that_is_not_finite_has_no_part_in_the_mean():
    means = Means()
    for loss in (2.0, float("nan"), 4.0):
        means.add(["loss", "weight"], [loss, 1.0])
    assert means.result() == {"loss": 3.0}


def test_a_value_that_a_row_lacks_stays_empty_and_an_unknown_one_is_left_out():
    text = log_bytes([{"epoch": 0, "loss": 0.5, "other": 1.0}], ["epoch", "loss", "lr"]).decode()
    assert list(csv.reader(io.StringIO(text))) == [["epoch", "loss", "lr"], ["0", "0.5", ""]]
