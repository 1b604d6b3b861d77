"""Where a manifest is looked for when none is named: the data folder, then `./results`; and what was not taken."""

from pathlib import Path

from pydantic import Field

from tasks.contracts.base import Frozen
from tasks.contracts.errors import MissingInputError
from tasks.subsidence.handoff.choice import Choice, find_manifest

DEFAULT_FOLDER = Path("results")  # where the public first stage leaves its handoffs
SHOWN = 5  # candidates that the warnings name one by one


class Search(Frozen):
    """A finished search; paths are relative to the folder that was searched."""

    folder: str = Field(description="--data-dir or ./results")
    chosen: str
    rejected: dict[str, str] = Field(description="Other candidates and the reason against each.")
    notes: dict[str, str] = Field(description="What is worth knowing about the chosen one.")

    def warnings(self) -> list[str]:
        """One sentence a candidate."""
        lines = [
            f"Stage-1 candidate {label} in {self.folder} was not taken: {why}" for label, why in self.rejected.items()
        ]
        more = len(lines) - SHOWN
        lines = lines if more <= 0 else [*lines[:SHOWN], f"{more} more candidates in {self.folder} were not taken"]
        return [*lines, *(f"Stage-1 manifest {label}: {note}" for label, note in self.notes.items())]


def search_folders(
    data_dir: Path | None, default: Path | None, *, city: str | None, model: str | None
) -> tuple[Path, Search]:
    """The newest fitting manifest of the first folder that has one, and what was not taken.

    Raises MissingInputError naming every folder that was searched, with the reasons; HandshakeError for a tie.
    """
    named = (("--data-dir", data_dir), ("./results", default))
    refused: dict[str, str] = {}
    for name, folder in named:
        if folder is None or (name == "./results" and not folder.is_dir()):
            continue
        try:
            choice = find_manifest(folder, city=city, model=model)
        except MissingInputError as error:
            if not folder.is_dir():
                raise
            refused[name] = _relative(str(error.found), folder)
            continue
        return choice.path, _search(name, folder, choice, refused)
    raise _nowhere(data_dir, default, city, refused)


def _search(name: str, folder: Path, choice: Choice, refused: dict[str, str]) -> Search:
    return Search(
        folder=name,
        chosen=choice.path.relative_to(folder).as_posix(),
        rejected={**refused, **{label: _relative(why, folder) for label, why in choice.rejected.items()}},
        notes=choice.notes,
    )


def _relative(text: str, folder: Path) -> str:
    """The text without the place of the data folder on this machine."""
    return text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")


def _nowhere(data_dir: Path | None, default: Path | None, city: str | None, refused: dict) -> MissingInputError:
    places = [f"{data_dir} ({refused['--data-dir']})"] if data_dir is not None else []
    if default is None:
        places.append("./results (outside the data root, not searched)")
    else:
        places.append(f"./results ({refused.get('./results', 'does not exist')})")
    return MissingInputError(
        "no Stage-1 manifest fits",
        expected="a Stage-1 manifest" + (f" of city {city!r}" if city else ""),
        found=f"looked in {' and '.join(places)}",
        remedy="Pass --data-dir or --stage1-manifest, or run prepare; without any data option the twin city runs.",
    )
