"""`python -m bench.reports`: how quickly reports are made and checked, how large they are, what a comparison sees."""
