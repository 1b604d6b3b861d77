"""Quality of one refined scene, from its input and its output in the store."""

from pathlib import Path

from tasks.contracts.refs import ArtifactRef
from tasks.contracts.tile_errors import TileError
from tasks.contracts.tiles import TileInput, TilesConfig
from tasks.store.workspace import Workspace
from tasks.tiles.flow.linked import link
from tasks.tiles.flow.types import JudgedScene, SceneForm
from tasks.tiles.metadata import read_sidecar
from tasks.tiles.scene_quality import scene_quality


def judge_scene(
    scene: TileInput, output: ArtifactRef, config: TilesConfig, form: SceneForm, here: Workspace
) -> JudgedScene:
    """Figures and preview, or the reason why there are none."""
    paths = [here.scratch / folder / Path(ref.name).name for folder, ref in (("in", scene.file), ("out", output))]
    for ref, path in zip((scene.file, output), paths, strict=True):
        link(ref, path, here.store)
    try:
        sidecar = None if scene.sidecar is None else here.store.get_bytes(scene.sidecar)
        meta = read_sidecar(sidecar, scene.id)
        figures, preview = scene_quality(scene.id, *paths, meta, config, bands=form.bands, dtype=form.dtype)
    except TileError as error:
        return JudgedScene(scene=scene, reason=str(error))
    return JudgedScene(
        scene=scene,
        figures=here.store.put_json(figures, name="scene_quality.json"),
        preview=here.store.put_npz(preview, name="preview.npz"),
    )
