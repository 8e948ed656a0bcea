"""What is learnt: a model and its loss behind one contract."""
