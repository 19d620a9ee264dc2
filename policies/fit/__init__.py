"""Offline fits with scikit-learn; never imported by what serves."""
