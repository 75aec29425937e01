"""Statistics of judges: agreement, latent truth, calibration, bias, and bounds that hold at every moment."""
