"""The Prefect profile `stagegate`: `prefect deployment run ...` in another shell finds the served API."""

from pathlib import Path

from tasks.orchestration.serving.templates import HEARTBEAT_S

NAME = "stagegate"
UNTOUCHED = "ephemeral"  # what Prefect uses before anybody has chosen


def write_profile(api_url: str, auth: str) -> bool:
    """Write the profile, and use it where the user has not chosen another one. Whether it is in use."""
    from prefect.settings.profiles import load_profiles, save_profiles

    profiles = load_profiles()
    own = UNTOUCHED in profiles.names and profiles[UNTOUCHED].source == path()
    free = profiles.active_name == UNTOUCHED and not own
    values = {
        "PREFECT_API_URL": api_url,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),  # else a flow in a shell would be taken for silent
    }
    profiles.update_profile(NAME, values, source=path())
    if free or profiles.active_name == NAME:
        profiles.set_active(NAME)
    _make_private()
    save_profiles(profiles)
    return profiles.active_name == NAME


def leave_profile(api_url: str) -> None:
    """No shell shall look for a server that is gone: back to Prefect's default where ours is in use."""
    from prefect.settings import PREFECT_API_URL
    from prefect.settings.profiles import load_profiles, save_profiles

    profiles = load_profiles()
    if profiles.active_name == NAME and profiles[NAME].settings.get(PREFECT_API_URL) == api_url:
        profiles.set_active(UNTOUCHED)
        _make_private()
        save_profiles(profiles)


def path() -> Path:
    """The file of the user's profiles."""
    from prefect.settings.context import get_current_settings

    return get_current_settings().profiles_path


def _make_private() -> None:
    path().parent.mkdir(parents=True, exist_ok=True)
    path().touch(mode=0o600)
    path().chmod(0o600)
