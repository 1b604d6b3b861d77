"""Fix what every number of the handoff means."""

from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import COSMETIC, IngestedHandoff, Scaled, Settings, SplitRefs


@step(title="finalize scaling", unkeyed=COSMETIC)
def finalize_scaling(sidecars: IngestedHandoff, parts: SplitRefs, settings: Settings, here: Workspace) -> Scaled:
    """Units, names, bounds and residual scales, from the train split; the future split tells its years only."""
    from tasks.subsidence.handoff.sidecars import coordinate_sources, holdout_places
    from tasks.subsidence.loading import config, stored_split
    from tasks.subsidence.manifest import read_manifest
    from tasks.subsidence.scaling import finalize, scaling_kwargs

    manifest = read_manifest(sidecars, here.store)
    columns = (manifest.config.cols.lon or "longitude", manifest.config.cols.lat or "latitude")
    steps = manifest.config.TIME_STEPS + manifest.config.FORECAST_HORIZON_YEARS
    semantics = finalize(
        manifest,
        config(settings),
        stored_split(parts, "train", steps, here),
        future=stored_split(parts, "future", steps, here) if parts.has("future") else None,
        sources=coordinate_sources(sidecars, here.store),
        holdout=holdout_places(sidecars, here.store, columns),
    )
    return Scaled(
        semantics=here.store.put_json(semantics.model_dump(mode="json"), name="semantics.json"),
        public=here.store.put_json(scaling_kwargs(semantics), name="scaling_kwargs.json"),
    )
