"""What tokens learn of date and place, in fp32; a sample whose date or place is unknown goes without the term."""

import torch
from torch import Tensor, nn

from tasks.tiles.positions import sincos

INITIAL_SCALE = 0.1
# Day of the year of the 15th of each month in a common year; the first entry stands for an unknown month.
_MID_MONTH_DAYS = (float("nan"), 15, 46, 74, 105, 135, 166, 196, 227, 258, 288, 319, 349)


class PairTerm(nn.Module):
    """scale · [code of the first value | code of the second value]; 0 where either is NaN."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim
        self.scale = nn.Parameter(torch.full((1,), INITIAL_SCALE))

    def forward(self, pairs: Tensor) -> Tensor:
        """(..., 2) to (..., dim)."""
        known = pairs.isfinite().all(dim=-1, keepdim=True)
        codes = sincos(torch.where(known, pairs.float(), 0.0), self.dim // 2).flatten(-2)
        return torch.where(known, self.scale.float() * codes, 0.0)


class TimeTerm(PairTerm):
    """Of year and day of year (1-based)."""


class LocationTerm(PairTerm):
    """Of latitude and longitude, degrees."""


def dates(year: Tensor, day_of_year: Tensor, month: Tensor, frames: int) -> Tensor:
    """Year and day for each frame, (B,T,2) in fp32; a month without a day stands for its day 15.

    year, day_of_year: (B,) or (B,T), NaN where unknown; month: (B,), 0 where unknown.
    """
    years, days = (value.float().reshape(len(month), -1).expand(-1, frames) for value in (year, day_of_year))
    leap = ((years % 4 == 0) & (years % 100 != 0)) | (years % 400 == 0)
    mid = torch.tensor(_MID_MONTH_DAYS, device=month.device)[month][:, None] + (leap & (month[:, None] > 2))
    return torch.stack([years, torch.where(days.isfinite(), days, mid)], dim=-1)
