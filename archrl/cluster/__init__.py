"""The vectorised cluster model: state arrays and the kernels that move them. Knows nothing of learning."""
