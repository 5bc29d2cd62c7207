"""How good an encoder is: sts · pairs · calibration · triplets · transfer · baselines."""
