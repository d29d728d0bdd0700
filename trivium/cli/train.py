"""`trivium train-classifier` and `trivium train-cache`."""



