"""CT that comes as bytes: what its values are taken to be. numpy alone."""

from __future__ import annotations

import numpy as np

# Slices for teaching and challenges were windowed before they became bytes, and nobody wrote down
# how; it differs from scan to scan. This range is a convention (40 HU, 400 wide) that gives them
# numbers; networks that learn from them go by percentiles.
BYTES_HU = (-160.0, 240.0)


def hounsfield_of_bytes(voxels: np.ndarray) -> np.ndarray:
    """Return float32 Hounsfield units of CT values 0 to 255 that were windowed for soft tissue."""
    low, high = BYTES_HU
    return (voxels.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)).astype(
        np.float32
    )
