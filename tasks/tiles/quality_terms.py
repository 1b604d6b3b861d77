"""What `quality.json` says about itself: its figures, its baselines, and how they can mislead."""

from tasks.contracts.tiles import BANDS
from tasks.tiles.references import UNSHARP_AMOUNT, UNSHARP_SIGMA_PX

_BANDS = ", ".join(BANDS)
INPUT_FORM = f"opt_v1, float32 (4, H, W), {_BANDS}, reflectance 0..1, NaN where invalid"
OUTPUT_FORM = f"opt_v2, float32 (4, H, W), {_BANDS}, reflectance 0..1, NaN where the input is invalid"
METRICS = {
    "ndvi_rmse": "root mean square difference of NDVI over valid pixels",
    "edge_correlation": "Pearson correlation of the Sobel magnitudes of B08",
    "change_rms": "root mean square of opt_v2 - opt_v1 over all bands, reflectance",
    "mean_ndvi_change": "mean NDVI of opt_v2 less that of opt_v1",
    "share_bit_identical": "share of samples (per tile) or of tiles (over all) that equal opt_v1 bit for bit",
    "psnr_db": "peak signal-to-noise ratio against the reference, data range 1; null where nothing differs",
    "ssim": "structural similarity, Gaussian windows 11x11 of sigma 1.5, K 0.01 and 0.03, mean over bands",
    "evi_rmse": "root mean square difference of EVI where its denominator is at least 0.1",
    "spectral_angle_deg": "mean angle between spectra, degrees",
    "edge_shift_px": "largest distance from an edge (Sobel of B08 above 0.1) to the nearest of the other, either way",
}
BASELINES = {
    "identity": "opt_v1 itself",
    "unsharp": f"Gaussian unsharp filter, sigma {UNSHARP_SIGMA_PX:g} px, amount {UNSHARP_AMOUNT:g}, clipped to 0..1",
}
FAILURE_MODES = (
    "A model that changes nothing meets both preservation targets; see share_bit_identical and the verdict.",
    "NDVI is unstable over water, shadow and snow, where red and near infrared are both small or both large.",
    "A model can buy a better NDVI of dark water and river banks by brightening them; psnr_db shows it, NDVI does not.",
    "Edge correlation rewards copying the noise of opt_v1 and punishes removing it.",
    "A single false edge decides edge_shift_px.",
    "Clouds are bright, sharp and plausible: nothing here notices that they hide the ground.",
    "Errors of opt_v1 in the radiometry of whole bands pass every check that refers to opt_v1.",
)
REFERENCE_FAILURE_MODES = {
    "human_labels": "Reference and tile may differ in date, place, sun angle and processing; half a pixel shows.",
    "physics_derived": "The degradation is known and simple; errors of a real first stage are neither.",
    "classical_method": "The reference has the artefacts of its filter, and rewards having them too.",
}
