"""Recording to model-ready array, for training and for one file alike."""
