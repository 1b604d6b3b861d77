"""The client profile: there for the next shell, never instead of the user's own choice."""

import pytest
from prefect.settings import PREFECT_PROFILES_PATH, temporary_settings

from tasks.orchestration.serving.profile import leave_profile, write_profile

URL, AUTH = "http://127.0.0.1:4711/api", "stagegate:secret"
OWN = 'active = "mine"\n\n[profiles.mine]\nPREFECT_API_URL = "http://elsewhere/api"\n'


@pytest.fixture
def profiles(tmp_path):
    path = tmp_path / "home" / "profiles.toml"
    with temporary_settings({PREFECT_PROFILES_PATH: path}):
        yield path


def test_is_used_where_nobody_has_chosen_and_readable_by_its_owner_only(profiles):
    assert write_profile(URL, AUTH)
    assert 'active = "stagegate"' in profiles.read_text() and URL in profiles.read_text()
    assert profiles.stat().st_mode & 0o777 == 0o600


def test_is_written_and_not_used_beside_a_choice_of_the_user(profiles):
    profiles.parent.mkdir()
    profiles.write_text(OWN)
    assert not write_profile(URL, AUTH)
    text = profiles.read_text()
    assert 'active = "mine"' in text and "http://elsewhere/api" in text and AUTH in text
    assert profiles.stat().st_mode & 0o777 == 0o600


def test_is_left_when_its_server_ends(profiles):
    write_profile(URL, AUTH)
    leave_profile(URL)
    assert 'active = "ephemeral"' in profiles.read_text()


def test_of_another_server_stays(profiles):
    write_profile(URL, AUTH)
    leave_profile("http://127.0.0.1:1/api")
    assert 'active = "stagegate"' in profiles.read_text()
