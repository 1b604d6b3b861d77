"""Run a trained model: forecast windows, refine tiles."""

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tiles import TileInput, TilesConfig
from tasks.orchestration.step import step
from tasks.store.workspace import Workspace
from tasks.subsidence.types import COSMETIC, Blueprint, Inferred, Scaled, Settings, SplitRefs, Trained
from tasks.tiles.flow.types import Manner, ModelRefs, RefinedScene, RefinedShard, SceneForm, Writing


@step(title="infer", pool="cuda-tf", unkeyed=COSMETIC)
def infer_subsidence(
    parts: SplitRefs, scaled: Scaled, blueprint: Blueprint, trained: Trained, settings: Settings, here: Workspace
) -> Inferred:
    """Quantiles of the evaluated and of the future windows, and the physics of the evaluated ones."""
    from tasks.subsidence import infer, loading
    from tasks.subsidence.network.identifiability import gradient_correlation
    from tasks.subsidence.settings import device

    device.configure(loading.config(settings), here)
    sem = loading.semantics(scaled, here)
    network = loading.network(blueprint, trained.best_weights, here)
    infer.check_fits(network, sem)
    name = "test" if parts.has("test") else "val"
    evaluated = loading.split(parts, name, sem, here)
    fields = infer.physics(network, evaluated, sem)
    scalars = {
        "scalars": infer.scalars(network),
        "diagnostics": infer.diagnostics(network, fields),
        "identifiability": gradient_correlation(network, evaluated),
    }
    future = loading.split(parts, "future", sem, here) if parts.has("future") else None
    future_fields = infer.physics(network, future, sem) if future is not None else {}
    return Inferred(
        evaluation=loading.put_prediction(infer.predict(network, evaluated), "evaluation.npz", here),
        evaluated_split=name,
        future=None if future is None else loading.put_prediction(infer.predict(network, future), "future.npz", here),
        fields=here.store.put_npz(fields, name="fields.npz") if fields else None,
        future_fields=here.store.put_npz(future_fields, name="future_fields.npz") if future_fields else None,
        scalars=here.store.put_json(scalars, name="scalars.json"),
    )


@step(title="infer", pool="cuda-torch", retries=1, unkeyed=("manner",))
def infer_tiles(
    shard: ArtifactRef, model: ModelRefs, config: TilesConfig, writing: Writing, manner: Manner, here: Workspace
) -> RefinedShard:
    """Refine the tiles of one shard."""
    from tasks.tiles.flow import refined

    return refined.refine_shard(shard, model, config, writing, manner, here)


@step(title="infer scene", pool="cuda-torch", retries=1, unkeyed=("manner",))
def infer_scene(
    scene: TileInput, model: ModelRefs, config: TilesConfig, form: SceneForm, manner: Manner, here: Workspace
) -> RefinedScene:
    """Refine one GeoTIFF, window by window."""
    from tasks.tiles.flow import refined_scene

    return refined_scene.refine_scene(scene, model, config, form, manner, here)
