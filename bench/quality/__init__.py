"""How good answers are, on data sets that lie beside the checkout."""
