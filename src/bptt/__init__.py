"""The gradient of a recurrent network through time."""
