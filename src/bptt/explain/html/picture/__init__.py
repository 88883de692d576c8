"""The unrolled graph as a picture: what is drawn, where it lies, and the SVG."""
