"""Units used at the boundaries: SI inside, millimetres only in tables that people read."""

SECONDS_PER_YEAR = 31_556_952.0
MM_PER_M = 1000.0
GAMMA_WATER_N_M3 = 9810.0
