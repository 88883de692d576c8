"""A reader's formula compared with the exact gradient."""
