"""Two machines and one store on S3: what containers of the one have done, a process of the other does not do again."""

import pytest

from tests.pools.conftest import BUCKET, SETTINGS, in_process
from tests.pools.runs import Asked
from tests.subsidence.mini import write_mini_handoff

pytestmark = [pytest.mark.platform, pytest.mark.xdist_group("engines"), pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def audited(platform_on_s3):
    """An audit whose steps ran in containers."""
    write_mini_handoff(platform_on_s3.folder / "data-root" / "city")
    request = {"stage1_manifest": "city/manifest.json", "set": list(SETTINGS)}
    return Asked(platform_on_s3, "audit-subsidence/default", request).finish()


def test_steps_in_containers_use_the_bucket(platform_on_s3, audited):
    assert audited.exit_code == 0, audited.printed
    assert {row["place"] for row in audited.lineage(platform_on_s3).values()} == {"cpu, cpu"}
    assert set(audited.steps) == {"load-manifest", "audit-handshake", "resolve-config", "finalize-scaling"}
    assert not (platform_on_s3.folder / "store").exists()


def test_a_process_with_another_prefect_home_takes_every_step_from_the_bucket(platform_on_s3, audited, tmp_path):
    manifest = platform_on_s3.folder / "data-root" / "city" / "manifest.json"
    elsewhere = in_process(tmp_path, "subsidence audit", f"s3://{BUCKET}/store", manifest)
    assert elsewhere.answer["cache"] == {"hits": 4, "misses": 0, "steps": 4}


def test_credentials_are_in_no_pool_and_no_deployment(platform_on_s3, s3_for_containers, audited):
    with platform_on_s3.client() as client:
        pools = [client.read_work_pool(name).model_dump_json() for name in ("cpu", "cuda-tf", "cuda-torch")]
        deployments = [
            client.read_deployment_by_name(name).model_dump_json() for name in platform_on_s3.status["deployments"]
        ]
    assert not [text for text in (*pools, *deployments) if s3_for_containers.secret in text]
