"""What masks measure: volumes, intensities, diameters, surfaces, and how two maps agree."""
