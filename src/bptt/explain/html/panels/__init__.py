"""What the page adds to the explanation's blocks: pictures, numbers, things to try."""
