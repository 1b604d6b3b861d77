"""A compact first stage: from a panel CSV to a handoff that passes the audit.

Only points with every needed year are kept; values become SI; points are divided into train, val and test, and
scalers and categories see train points only.
"""

from pathlib import Path

from tasks.subsidence.stage1.panel_clean import clean
from tasks.subsidence.stage1.panel_read import Rejects, read_rows, read_table
from tasks.subsidence.stage1.prepare_features import encode
from tasks.subsidence.stage1.prepare_files import handoff_files
from tasks.subsidence.stage1.prepare_points import clip_thickness, complete, keep_complete, plan_years, project, through
from tasks.subsidence.stage1.prepare_types import Prepared, PreparedHandoff, PrepareOptions
from tasks.subsidence.stage1.publish import previous_files, publish
from tasks.subsidence.stage1.splits import split_points
from tasks.subsidence.stage1.windows import Layout

__all__ = ["PrepareOptions", "PreparedHandoff", "encode_panel", "prepare"]


def prepare(csv: str | Path, out: str | Path, options: PrepareOptions) -> PreparedHandoff:
    """Write the handoff of one city into `out` and say what was dropped.

    `out` may be absent, empty, or an earlier handoff of ours, whose files are replaced and whose other content (run
    folders) stays. Equal CSV bytes and options give equal bytes. Raises HandshakeError for data that make no handoff,
    ConfigError for options or a folder that cannot be used, StoreError when the disk refuses.
    """
    out = Path(out)
    previous_files(out)
    raw, text = read_table(Path(csv))
    prepared = encode_panel(text, options)
    files, manifest = handoff_files(prepared, raw)
    path = publish(out, files, manifest)
    sizes = {name: len(points) for name, points in prepared.holdouts.points.items()}
    return PreparedHandoff(
        manifest=path,
        split_sizes=sizes | {"future": len(prepared.panel)},
        dropped_rows=dict(prepared.rejects.counts),
        dropped_groups=prepared.dropped_groups,
        warnings=prepared.warnings,
    )


def encode_panel(text: str, options: PrepareOptions) -> Prepared:
    """All arrays and facts of a handoff, from the text of a panel table."""
    rejects = Rejects()
    units = {"subs": options.unit_subs, "depth": options.unit_depth, "thickness": options.unit_thickness}
    panel = clean(read_rows(text, options.columns, rejects), city=options.city, units=units, rejects=rejects)
    years = plan_years(panel, options)
    forecastable = int(complete(panel, years.train_end - options.time_steps + 1, years.train_end).sum())
    panel, dropped = keep_complete(panel, years, options)
    panel, censored_rate = clip_thickness(panel, years, options.cap_thickness)
    epsg, x_m, y_m = project(panel, options.epsg)
    holdouts = split_points(
        x_m,
        y_m,
        strategy=options.holdout,
        seed=options.seed,
        val_frac=options.val_frac,
        test_frac=options.test_frac,
        block_m=options.block_m,
        end_year=years.train_end,
        shift=years.shift,
    )
    panel = through(panel, years.train_end + options.horizon)
    encoded, warnings = encode(panel, holdouts, years, options, x_m, y_m)
    layout = Layout(
        time_steps=options.time_steps,
        horizon=options.horizon,
        mode=options.mode,
        x_m=x_m,
        y_m=y_m,
        coords=encoded.coords,
    )
    return Prepared(
        options=options,
        years=years,
        panel=panel,
        layout=layout,
        holdouts=holdouts,
        encoded=encoded,
        epsg=epsg,
        valid_for_forecast=forecastable,
        censored_rate=censored_rate,
        rejects=rejects,
        dropped_groups=dropped,
        warnings=tuple(warnings),
    )
