"""From text to vectors: an encoder folder, the BERT in it, and the precision it is served in."""
