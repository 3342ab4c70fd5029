"""What customers did with the answers that they were shown: labels for training, and figures of each model's version.

`shown` (which answers showed what, and which of them an interaction is about), `recent` (reads the last answers back at
a start), `labels` (joins the two topics in the order of time, and writes the labels).
"""
