"""A head for any model: chains sampled and labelled, the fit, its calibration and its honest figures."""
