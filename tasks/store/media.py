"""Media types by suffix."""

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".geojson": "application/geo+json",
    ".h5": "application/x-hdf5",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".keras": "application/x-keras",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".nc": "application/x-netcdf",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".pt": "application/x-torch",
    ".safetensors": "application/x-safetensors",
    ".svg": "image/svg+xml",
    ".tar": "application/x-tar",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
}
UNKNOWN = "application/octet-stream"


def media_type_of(name: str) -> str:
    """The media type that a file name's last suffix stands for; application/octet-stream where it says nothing."""
    _, dot, suffix = name.rpartition(".")
    return MEDIA_TYPES.get(dot + suffix.lower(), UNKNOWN)
